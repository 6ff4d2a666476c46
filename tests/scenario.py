"""Scenarios: transcripts of one xDS stream in plain text, played against anything that speaks xDS.

A file shows one rule of the protocol and is named by it. Its lines, one event each:

    # C22 a comment; the number is that of the conformance scenario
    % ungated                         an option of the server: `ungated`, `only Cluster` (a service of a single type),
                                      `order` and all types
    = Cluster a@1(e1) b@1             a snapshot; `a` has version 1 and refers to `e1`. The next line, if
    = Endpoint e1@1                   of another type, is part of it; types that it does not mention stay as they were
    > Cluster                         a request without names (SotW and delta)
    > Endpoint e1 e2                  SotW: the names asked for; `-` alone is an explicitly empty list
    > Endpoint +e1 -e2 has:e1@1       delta: subscribe, unsubscribe, initial_resource_versions
    > Cluster had                     SotW: version_info of the last response that was accepted, on an earlier stream
    > Cluster ack=1                   accepts the response with nonce 1; SotW repeats the last names if it gives none
    > Cluster nack=1 bad_tls          refuses it with the error message `bad_tls`; further words as above
    > Cluster nonce=7                 any nonce, without a meaning
    > Cluster node=other              the node id of this request; `node=` sends no node. Else the first request of a
                                      stream carries the node, and it alone
    < Cluster n=1 a b@2 -c            a response: nonce, resources (version if it matters; `@absent` is the empty
                                      resource that stands for a missing one), removed names (delta)
    ! Cluster n=1 bad_tls             status: the last nonce sent, and the error if there is one
    ! Cluster holds a@1 b@2           status: what the peer has acknowledged
    ! closed INVALID_ARGUMENT         the request above it ended the stream
    ---                               the stream breaks; the node opens another, and nonces start again

After each event come all responses to it, in order: no `<` line means that the server stays silent. Types are Cluster,
Endpoint, Listener, Route, Secret; a type_url of none of them is written in full, and `-` is the empty one. A reference
goes from Cluster to Endpoint, from Listener to Route, from Route to Cluster; `Secret/x` names another type.

At its end every scenario acknowledges what it has not, and must fall silent with fewer responses than requests: the
last ACK is never answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from xds_server.errors import ProtocolViolation
from xds_server.xds import type_url
from xds_server.xds.channel import TypeStatus
from xds_server.xds.messages import DeltaRequest, DeltaResponse, NackDetail, Node, SotwRequest, SotwResponse
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

DIRECTORY = Path(__file__).parent / "scenarios"

TYPES = {
    "Cluster": type_url.CLUSTER,
    "Endpoint": type_url.ENDPOINT,
    "Listener": type_url.LISTENER,
    "Route": type_url.ROUTE,
    "Secret": type_url.SECRET,
    "-": "",
}
WORDS = {url: word for word, url in TYPES.items()}
REFERS_TO = {"Cluster": "Endpoint", "Listener": "Route", "Route": "Cluster"}

NODE = "node"
INTERNAL = 13
"""The gRPC code in every NACK of Envoy."""

Request = SotwRequest | DeltaRequest
Response = SotwResponse | DeltaResponse


class Driver(Protocol):
    """What a scenario is played against."""

    def offer(self, snapshot: Snapshot, expected: int) -> Sequence[Response]:
        """Publish a snapshot; gives back all responses that follow. `expected` is how many the scenario lists.

        A driver behind a network waits for that many, and then makes sure that there are no more.
        """

    def send(self, request: Request, expected: int) -> Sequence[Response]:
        """Send one request; gives back all responses that follow.

        Raises:
            ProtocolViolation: the stream was closed with this status.
        """

    def reconnect(self) -> None:
        """Break the stream and open the node's next one."""

    def status(self) -> dict[str, TypeStatus]:
        """What the server knows about the stream, by type URL."""


@dataclass(frozen=True)
class Options:
    """The `%` lines of a scenario."""

    gate: bool = True
    order: tuple[str, ...] = type_url.PUSH_ORDER
    types: frozenset[str] | None = None


@dataclass(frozen=True)
class Event:
    """One event and the responses that must follow it."""

    line: int
    sign: str
    lines: tuple[str, ...]
    responses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A parsed file."""

    path: Path
    options: Options
    events: tuple[Event, ...]


def scenarios(variant: str) -> list[Path]:
    """All files of a variant, "sotw" or "delta"."""
    return sorted((DIRECTORY / variant).glob("*.txt"))


def parse(path: Path) -> Scenario:
    """The scenario in a file."""
    options, events = Options(), list[Event]()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.partition("#")[0].strip()
        sign, rest = text[:1], text[1:].strip()
        last = events[-1] if events else None
        if sign == "%":
            options = _option(options, rest)
        elif sign == "<" and last:
            events[-1] = replace(last, responses=(*last.responses, rest))
        elif sign == "=" and last and _continues(last, number, rest):
            events[-1] = replace(last, lines=(*last.lines, rest))
        elif sign:
            events.append(Event(number, sign, (rest,)))
    return Scenario(path, options, tuple(events))


def _continues(snapshot: Event, number: int, text: str) -> bool:
    """Whether a `=` line belongs to the snapshot before it: right below, and of a type not yet mentioned."""
    mentioned = {line.split()[0] for line in snapshot.lines}
    adjacent = snapshot.line + len(snapshot.lines) == number
    return snapshot.sign == "=" and adjacent and not snapshot.responses and text.split(maxsplit=1)[0] not in mentioned


def _option(options: Options, text: str) -> Options:
    word, *types = text.split()
    if word == "only":
        return replace(options, types=frozenset(TYPES[name] for name in types))
    if word == "order":
        return replace(options, order=tuple(TYPES[name] for name in types))
    assert word == "ungated", text
    return replace(options, gate=False)


def snapshot_after(before: dict[str, list[Resource]], lines: Sequence[str]) -> dict[str, list[Resource]]:
    """Resources by word for their type, once `=` lines have been applied."""
    after = dict(before)
    for line in lines:
        word, *resources = line.split()
        after[word] = [_resource(word, text) for text in resources]
    return after


def _resource(word: str, text: str) -> Resource:
    match = re.fullmatch(r"([^@]+)@([^(]+)(?:\((.*)\))?", text)
    assert match, text
    name, version, refs = match.groups()
    targets = (target.rpartition("/") for target in (refs or "").split(",") if target)
    references = tuple((TYPES[kind or REFERS_TO[word]], name) for kind, _, name in targets)
    return Resource(TYPES[word], name, version, f"{name}@{version}".encode(), references)


def label(resource: Resource) -> str:
    """`name@version` of a resource that a scenario made, read from its bytes as a peer would."""
    if resource.body[:1] == b"\x0a":
        return f"{resource.body[2:].decode()}@absent"
    return resource.body.decode()


def spoken(response: Response, expected: str) -> str:
    """A response as a scenario writes it; versions only where `expected` gives them."""
    asserted = {word.partition("@")[0] for word in expected.split() if "@" in word}
    labels = (label(resource) for resource in response.resources)
    names = sorted(text if (name := text.partition("@")[0]) in asserted else name for text in labels)
    removed = sorted(response.removed) if isinstance(response, DeltaResponse) else ()
    return " ".join([WORDS[response.type_url], f"n={response.nonce}", *names, *(f"-{name}" for name in removed)])


def _sorted(line: str) -> str:
    word, nonce, *rest = line.split()
    return " ".join([word, nonce, *sorted(rest, key=lambda name: (name.startswith("-"), name))])


@dataclass
class Player:
    """Plays one scenario against a driver, in the part of Envoy."""

    driver: Driver
    variant: str
    snapshot: dict[str, list[Resource]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, Response] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    responses: int = 0
    closed: str = ""

    def play(self, scenario: Scenario) -> None:
        """Check every event, then the invariant that the last ACK is never answered.

        Raises:
            AssertionError: naming file and line.
        """
        for event in scenario.events:
            where = f"{scenario.path.name}:{event.line}: {event.sign} {event.lines[0]}"
            assert not self.closed or _tells_the_end(event), f"{where}: the stream had ended with {self.closed}"
            actual = self._happens(event, where)
            expected = [_sorted(line) for line in event.responses]
            padded = [*expected, *[""] * len(actual)]
            assert [spoken(r, e) for r, e in zip(actual, padded, strict=False)] == expected, where
        assert not self.closed or _tells_the_end(scenario.events[-1]), f"{scenario.path.name}: ended with {self.closed}"
        self._fall_silent(scenario)

    def _happens(self, event: Event, where: str) -> Sequence[Response]:
        expected = len(event.responses)
        if event.sign == "=":
            self.snapshot = snapshot_after(self.snapshot, event.lines)
            resources = (resource for group in self.snapshot.values() for resource in group)
            return self._heard(self.driver.offer(Snapshot.of(resources), expected))
        if event.sign == ">":
            return self._say(event.lines[0], expected)
        if event.sign == "!":
            self._check(event.lines[0], where)
        else:
            assert (event.sign, event.lines) == ("-", ("--",)), where
            self._break()
        return ()

    def _say(self, line: str, expected: int) -> Sequence[Response]:
        request = self._request(line)
        self.requests += 1
        try:
            return self._heard(self.driver.send(request, expected))
        except ProtocolViolation as violation:
            self.closed = violation.status
            return ()

    def _heard(self, responses: Sequence[Response]) -> Sequence[Response]:
        for response in responses:
            named = [label(resource).partition("@")[0] for resource in response.resources]
            named += response.removed if isinstance(response, DeltaResponse) else ()
            assert len(set(named)) == len(named), f"a name twice in {response}"
            assert response.nonce not in self.versions, f"a nonce twice: {response}"
            self.versions[response.nonce] = response.version
            self.unanswered[response.nonce] = response
        self.responses += len(responses)
        return responses

    def _break(self) -> None:
        self.driver.reconnect()
        self.names, self.unanswered, self.versions = {}, {}, {}
        self.requests = self.responses = 0

    def _fall_silent(self, scenario: Scenario) -> None:
        for _ in range(20):
            if self.closed or not self.unanswered:
                break
            nonce, response = next(iter(self.unanswered.items()))
            self._say(f"{WORDS[response.type_url]} ack={nonce}", 0)
        assert self.closed or not self.unanswered, f"{scenario.path.name}: the server does not fall silent"
        assert self.responses < max(self.requests, 1), f"{scenario.path.name}: the last ACK was answered"

    def _check(self, line: str, where: str) -> None:
        word, *claims = line.split()
        if word == "closed":
            assert [self.closed] == claims, where
            return
        status = self.driver.status()[TYPES[word]]
        if claims[0] == "holds":
            assert sorted(label(resource) for resource in status.resources.values()) == sorted(claims[1:]), where
        else:
            error = [status.error.message] if status.error else []
            assert [f"n={status.sent_nonce}", *error] == claims, where

    def _request(self, line: str) -> Request:
        word, *rest = line.split()
        url = TYPES.get(word, word)
        words = list(_attributes(rest))
        given = {key: value for key, value in words if key}
        names = [value for key, value in words if not key]
        nonce = given.get("ack") or given.get("nack") or given.get("nonce", "")
        error = NackDetail(INTERNAL, given["error"]) if "error" in given else None
        node_id = given.get("node", "" if self.requests else NODE)
        node = Node(node_id) if node_id else None
        if "ack" in given or "nack" in given:
            self.unanswered.pop(nonce, None)
        if self.variant == "delta":
            return _delta_request(url, names, nonce, error, node)
        if "ack" in given:
            self.accepted[url] = self.versions[nonce]
        answers = {"ack", "nack", "nonce", "had"} & given.keys()
        if names or url not in self.names or not answers:
            self.names[url] = tuple(name.strip('"') for name in names if name != "-")
        return SotwRequest(url, self.names[url], self.accepted.get(url, "") if answers else "", nonce, error, node)


def _tells_the_end(event: Event) -> bool:
    return event.sign == "!" and event.lines[0].startswith("closed ")


def _attributes(words: list[str]) -> Iterator[tuple[str, str]]:
    """(key, value) of each word; the word after `nack=` is the error, a plain name has no key."""
    remaining = iter(words)
    for word in remaining:
        key, separator, value = word.partition("=")
        if not separator:
            yield ("had", "") if word == "had" else ("", word)
            continue
        yield key, value
        if key == "nack":
            yield "error", next(remaining)


def _delta_request(url: str, words: list[str], nonce: str, error: NackDetail | None, node: Node | None) -> DeltaRequest:
    subscribe = tuple(word[1:].strip('"') for word in words if word.startswith("+"))
    unsubscribe = tuple(word[1:].strip('"') for word in words if word.startswith("-"))
    versions = dict(word.removeprefix("has:").split("@", 1) for word in words if word.startswith("has:"))
    return DeltaRequest(url, subscribe, unsubscribe, versions, nonce, error, node)
