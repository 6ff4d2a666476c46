"""What is sent through a proxy under drawn policies: most of it by what a rule asks for, the rest whatever comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.envoy.witness import Case
from tests.envoy.words import (
    FITTING,
    HEADERS,
    MESH_ALPN,
    NAMES,
    OWN_IP,
    PATHS,
    QUERIES,
    VALUES,
    Fields,
)
from xds_server.explain.traffic import HTTP_1, Connection, Request

CASES = 30
"""For each set of policies."""


@dataclass(frozen=True, slots=True)
class Door:
    """A port by which a proxy takes something.

    Attributes:
        kind: what goes in: "http", "https" (which the proxy reads), "tls" (which it does not), "by-name" (the same, by
            the name of a cluster), "tcp" or "tcp-in-tls".
        hosts: whom it is for, names or patterns.
        says_port: the port that a Host header must name here; 0 for none.
    """

    address: str
    port: int
    kind: str
    hosts: tuple[str, ...] = ("*",)
    says_port: int = 0


@dataclass(frozen=True, slots=True)
class Aim:
    """What a rule asks for: a request by its `match`, or a connection to a name."""

    door: Door
    names: tuple[str, ...]
    match: Fields
    alpn: tuple[str, ...] = ()


def aims_at(virtual_services: Iterable[Fields], doors: Sequence[Door]) -> tuple[Aim, ...]:
    """One aim for each match of each rule at each door where it may hold."""
    return tuple(
        Aim(door, names, match)
        for spec in virtual_services
        for door in doors
        for names in [_names(spec["hosts"], door.hosts)]
        for match in _asked_at(door, spec)
        if names and match.get("port", door.port) in {door.port, door.says_port}
    )


def _asked_at(door: Door, spec: Fields) -> Iterator[Fields]:
    if door.kind in {"http", "https"}:
        for rule in spec.get("http", ()):
            yield from rule.get("match", [{}])
    else:
        for rule in spec.get(door.kind.partition("-")[0], ()):
            yield from rule.get("match", [{}])


def _names(hosts: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    """Names that both let in."""
    return tuple(
        name
        for name in NAMES
        if any(under(name.lower(), host) for host in hosts) and any(under(name.lower(), host) for host in allowed)
    )


def under(name: str, pattern: str) -> bool:
    """Whether a name or pattern is one of `pattern`."""
    return name == pattern or (pattern.startswith("*") and name.removeprefix("*").endswith(pattern[1:]))


@st.composite
def cases(
    draw: st.DrawFn,
    ports: tuple[int, ...],
    addresses: tuple[str, ...],
    aims: tuple[Aim, ...] = (),
    by: int | None = None,
    *,
    alpn: bool = False,
) -> tuple[Case, ...]:
    """What is sent: of four, three by one of `aims`."""
    each = _case(ports, addresses, aims, by, alpn=alpn)
    return tuple(draw(st.lists(each, min_size=CASES, max_size=CASES)))


@st.composite
def _case(
    draw: st.DrawFn,
    ports: tuple[int, ...],
    addresses: tuple[str, ...],
    aims: tuple[Aim, ...],
    by: int | None,
    *,
    alpn: bool,
) -> Case:
    if draw(st.integers(0, 3)) and aims:
        aim: Aim = draw(st.sampled_from(aims))
        return draw(_aimed(aim, by))
    return draw(_anything(ports, addresses, by, alpn=alpn))


@st.composite
def _anything(
    draw: st.DrawFn, ports: tuple[int, ...], addresses: tuple[str, ...], by: int | None, *, alpn: bool
) -> Case:
    kind = draw(st.sampled_from(("http", "http", "http", "http", "tls", "bytes")))
    offers = draw(st.sampled_from(MESH_ALPN if alpn else ((), ("h2", "http/1.1")))) if kind == "tls" else ()
    connection = Connection(
        address=draw(st.sampled_from(addresses)),
        port=draw(st.sampled_from(ports)),
        captured_by=by,
        source=draw(st.sampled_from(("10.7.5.5", OWN_IP))) if by else "127.0.0.1",
        source_port=draw(st.integers(1024, 65535)) if by else 0,
        tls=kind == "tls",
        server_name=draw(st.sampled_from(("", *NAMES[:-1]))) if kind == "tls" else "",
        alpn=offers,
        http=HTTP_1 if kind == "http" else "",
    )
    return Case(connection, None if kind == "bytes" else draw(request(ports, "https" if kind == "tls" else "http")))


@st.composite
def request(draw: st.DrawFn, ports: tuple[int, ...], scheme: str) -> Request:
    """Any request."""
    authority = draw(st.sampled_from(NAMES))
    if draw(st.booleans()):
        authority += f":{draw(st.sampled_from(ports))}"
    headers = draw(st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(VALUES)), max_size=3))
    return Request(
        authority=authority,
        path=draw(st.sampled_from(PATHS)) + draw(st.sampled_from(QUERIES)),
        method=draw(st.sampled_from(("GET", "POST"))),
        scheme=scheme,
        headers=tuple(headers),
    )


@st.composite
def _aimed(draw: st.DrawFn, aim: Aim, by: int | None) -> Case:
    door, name = aim.door, draw(st.sampled_from(aim.names))
    tls = door.kind not in {"http", "tcp"}
    subnets = aim.match.get("destinationSubnets", [door.address]) if by else [door.address]
    connection = Connection(
        address=subnets[0].partition("/")[0],
        port=door.port,
        captured_by=by,
        source="10.7.5.5" if by else "127.0.0.1",
        source_port=draw(st.integers(1024, 65535)) if by else 0,
        tls=tls,
        server_name=draw(_server_name(aim, name)) if tls else "",
        alpn=aim.alpn,
        http=HTTP_1 if door.kind == "http" else "",
    )
    return Case(connection, None if door.kind.startswith("tcp") else draw(_fitting_request(aim, name)))


def _server_name(aim: Aim, name: str) -> st.SearchStrategy[str]:
    """One of the names that a tls rule asks for."""
    asked = aim.match.get("sniHosts", [name])
    return st.sampled_from([each for each in NAMES[:-1] if any(under(each.lower(), host) for host in asked)] or asked)


@st.composite
def _fitting_request(draw: st.DrawFn, aim: Aim, name: str) -> Request:
    """A request that has what `aim` asks for, as often as that can be."""
    match, door = aim.match, aim.door
    query = "&".join(f"{key}={draw(_value(asks))}" for key, asks in match.get("queryParams", {}).items())
    headers = [(key, draw(_value(asks))) for key, asks in match.get("headers", {}).items()]
    path = draw(_value(match["uri"])) if "uri" in match else draw(st.sampled_from(PATHS))
    if match.get("ignoreUriCase") and draw(st.booleans()):
        path = path.swapcase()
    return Request(
        authority=draw(_authority(aim, name)),
        path=(path if path.startswith("/") else f"/{path}")
        + (f"?{query}" if query else draw(st.sampled_from(("", *QUERIES)))),
        method=next(each for each in ("GET", "POST") if _fits(match.get("method", {"prefix": ""}), each)),
        scheme="http" if door.kind == "http" else "https",
        headers=tuple(headers),
    )


def _authority(aim: Aim, name: str) -> st.SearchStrategy[str]:
    if aim.door.says_port:
        return st.just(f"{name}:{aim.door.says_port}")
    spelled = [each + port for each in aim.names for port in ("", f":{aim.door.port}")]
    asked = aim.match.get("authority")
    fitting = [each for each in spelled if asked and _fits(asked, each)]
    return st.sampled_from(fitting or [name, name, f"{name}:{aim.door.port}"])


def _fits(asked: Fields, text: str) -> bool:
    """Whether `text` has what a StringMatch of these drawn words asks for."""
    ((how, wanted),) = asked.items()
    if how == "regex":
        return re.fullmatch(wanted, text) is not None
    return text == wanted if how == "exact" else text.startswith(wanted)


def _value(asked: Fields) -> st.SearchStrategy[str]:
    """A text that a StringMatch asks for; `{}` asks for any."""
    if "regex" in asked:
        return st.sampled_from(FITTING[asked["regex"]])
    if "prefix" in asked:
        return st.sampled_from(("", "1", "/b")).map(lambda more: f"{asked['prefix']}{more}")
    return st.just(asked["exact"]) if asked else st.sampled_from(VALUES)
