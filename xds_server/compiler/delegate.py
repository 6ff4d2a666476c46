"""What `delegate` means: a rule of one VirtualService goes on in another, whose rules then take its place.

What the root matches narrows what the delegate matches; what the delegate leaves out, the root fills in. A rule whose
delegate cannot be used is not there at all, as in Istio, and its requests fall to later rules; here the author is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from typing import cast

from xds_server.compiler.export import export_to, is_exported
from xds_server.compiler.finding import Outcome, Place, nearest
from xds_server.compiler.table import Diff, Index, Table
from xds_server.memo import Memo
from xds_server.policy.document import Document
from xds_server.policy.values import StringMatch
from xds_server.policy.virtual_service import Destination, HTTPMatchRequest, HTTPRoute, VirtualServiceSpec
from xds_server.problem import Problem

_FILLED_IN = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrors",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "headers",
)
"""What a rule takes from the root where the delegate says nothing."""

Key = tuple[str, str]
"""(namespace, name) of a VirtualService."""


@dataclass(frozen=True, eq=False)
class Delegating(Document):
    """A VirtualService whose delegates have been filled in.

    Attributes:
        places: where each of its HTTP rules is written, which may be another document.
    """

    places: tuple[Place, ...] = ()


def placed_rules(document: Document) -> list[tuple[HTTPRoute, Place]]:
    """The HTTP rules of a VirtualService, each with where it is written."""
    rules = _spec(document).http
    if isinstance(document, Delegating):
        return list(zip(rules, document.places, strict=True))
    return [(rule, Place(document).at("http", index)) for index, rule in enumerate(rules)]


class Delegation:
    """Every VirtualService with its delegates filled in, kept up to date as documents come and go."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._by_key: dict[Key, Document] = {}
        self._roots: Index[Key, Document] = Index()
        self._filled: Table[Document, Document] = Table()

    def update(self, diff: Diff) -> Diff:
        """The same change, in documents with their delegates filled in: new objects where a delegate is another."""
        for document in diff.removed:
            self._by_key.pop((document.namespace, document.name), None)
        for document in diff.added:
            self._by_key[(document.namespace, document.name)] = document
        edited = diff.removed | diff.added
        for document in edited:
            self._roots.put(document, () if document in diff.removed else delegate_keys(document))
        leading = {root for each in edited for root in self._roots.under((each.namespace, each.name))}
        touched, rows = edited | leading, self._filled.rows
        before = {document: rows[document].value for document in touched if document in rows}
        changed = self._filled.remake(touched, lambda d: None if d in diff.removed else self._fill(d))
        return Diff(
            frozenset(before[document] for document in changed if document in before),
            frozenset(rows[document].value for document in changed if document in rows),
        )

    @property
    def problems(self) -> Iterator[Problem]:
        """Of rules that lead nowhere."""
        return self._filled.all_problems

    def _fill(self, document: Document) -> Outcome[Document]:
        keys = delegate_keys(document)
        found = tuple(self._by_key.get(key) for key in keys)
        known = (key for key, each in self._by_key.items() if not _spec(each).hosts)
        return self._memo(filled, document, found, tuple(sorted(known)) if None in found else ())


def delegate_keys(document: Document) -> tuple[Key, ...]:
    """The VirtualServices that a document delegates to, each once, in order."""
    rules = _spec(document).http
    return tuple(dict.fromkeys(_key(rule, document) for rule in rules if rule.delegate is not None))


def filled(document: Document, delegates: tuple[Document | None, ...], known: tuple[Key, ...]) -> Outcome[Document]:
    """A VirtualService with the rules of its delegates in place of those that name them.

    Args:
        document: the root.
        delegates: what `delegate_keys` are, in order.
        known: every VirtualService without hosts, sorted; () will do when all delegates are known.
    """
    by_key = dict(zip(delegate_keys(document), delegates, strict=True))
    if not by_key:
        return Outcome(document)
    made = [
        _rules_of(rule, place, by_key, known) if rule.delegate else Outcome(((rule, place),))
        for rule, place in placed_rules(document)
    ]
    placed = [each for outcome in made for each in outcome.value]
    spec = _spec(document).model_copy(update={"http": tuple(rule for rule, _ in placed)})
    same = {field.name: getattr(document, field.name) for field in fields(Document)}
    found = Delegating(**{**same, "spec": spec}, places=tuple(place for _, place in placed))
    return Outcome(found, tuple(chain.from_iterable(outcome.problems for outcome in made)))


_Placed = tuple[tuple[HTTPRoute, Place], ...]


def _rules_of(
    root: HTTPRoute, place: Place, by_key: Mapping[Key, Document | None], known: tuple[Key, ...]
) -> Outcome[_Placed]:
    """The rules of the delegate of one rule, narrowed by it."""
    key = _key(root, place.document)
    delegate, here = by_key[key], place.at("delegate")
    called = "/".join(key)
    if delegate is None:
        fix = nearest(called, ["/".join(each) for each in known], "a VirtualService")
        return Outcome((), (_inert(here, f"there is no VirtualService {called}", fix),))
    if _spec(delegate).hosts:
        fix = "remove hosts from that one, or send to its host by route"
        return Outcome((), (_inert(here, f"{delegate.origin} has hosts of its own, so it is no delegate", fix),))
    if not is_exported(export_to(delegate), place.document.namespace):
        fix = f"add {place.document.namespace} to its exportTo"
        return Outcome((), (_inert(here, f"{delegate.origin} is not exported to this namespace", fix),))
    made = [_merged(root, place, rule, written) for rule, written in placed_rules(delegate)]
    return Outcome(
        tuple(chain.from_iterable(outcome.value for outcome in made)),
        tuple(chain.from_iterable(outcome.problems for outcome in made)),
    )


def _inert(place: Place, why: str, fix: str) -> Problem:
    return place.warning("inert-delegate", f"{why}: this rule is not there, its requests fall to later rules", fix)


def _merged(root: HTTPRoute, root_place: Place, rule: HTTPRoute, place: Place) -> Outcome[_Placed]:
    matches = _merged_matches(root.match, rule.match)
    if matches is None:
        message = f"matches nothing of what {root_place.field} of {root_place} lets through: this rule is not there"
        fix = "let it match a part of what the root matches"
        return Outcome((), (place.at("match").warning("inert-delegate", message, fix),))
    fill = {name: getattr(root, name) for name in _FILLED_IN if not _is_given(getattr(rule, name))}
    foreign = place.document.namespace != root_place.document.namespace
    rule = _qualified(rule, place.document.namespace) if foreign else rule
    update = {**fill, "match": matches, "name": _joined(root.name, rule.name)}
    return Outcome(((rule.model_copy(update=update), place),))


def _is_given(value: object) -> bool:
    return value is not None and value != ()


def _joined(root: str, rule: str) -> str:
    return "-".join(name for name in (root, rule) if name)


def _qualified(rule: HTTPRoute, namespace: str) -> HTTPRoute:
    """The same rule, whose short destinations go on to mean the services of its own namespace."""

    def qualified(destination: Destination) -> Destination:
        host = destination.host
        return destination if "." in host else destination.model_copy(update={"host": f"{host}.{namespace}"})

    route = tuple(r.model_copy(update={"destination": qualified(r.destination)}) for r in rule.route)
    mirrors = tuple(m.model_copy(update={"destination": qualified(m.destination)}) for m in rule.mirrors)
    mirror = qualified(rule.mirror) if rule.mirror else None
    return rule.model_copy(update={"route": route, "mirrors": mirrors, "mirror": mirror})


def _merged_matches(
    roots: tuple[HTTPMatchRequest, ...], leaves: tuple[HTTPMatchRequest, ...]
) -> tuple[HTTPMatchRequest, ...] | None:
    """Each match of the delegate within each of the root's that it does not contradict; None when one has none."""
    if not roots or not leaves:
        return leaves or roots
    found: list[HTTPMatchRequest] = []
    for leaf in leaves:
        within = [_merged_match(root, leaf) for root in roots if not _contradicts(root, leaf)]
        if not within:
            return None
        found += within
    return tuple(found)


def _merged_match(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    single = ("uri", "scheme", "method", "authority", "port", "source_namespace", "gateways", "stat_prefix")
    update = {name: getattr(leaf, name) or getattr(root, name) for name in single}
    several = ("headers", "without_headers", "query_params", "source_labels")
    update |= {name: {**getattr(root, name), **getattr(leaf, name)} for name in several}
    return leaf.model_copy(update={**update, "name": _joined(root.name, leaf.name)})


def _contradicts(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """Whether the delegate's match asks for what the root's match does not let through (Istio's rule)."""
    texts = [(getattr(root, name), getattr(leaf, name)) for name in ("uri", "scheme", "method", "authority")]
    for name in ("headers", "without_headers", "query_params"):
        mine: Mapping[str, StringMatch] = getattr(root, name)
        texts += [(mine.get(key), match) for key, match in getattr(leaf, name).items()]
    single = [(root.port, leaf.port), (root.source_namespace, leaf.source_namespace)]
    single += [(root.source_labels.get(key), value) for key, value in leaf.source_labels.items()]
    return (
        any(_text_contradicts(mine, other) for mine, other in texts)
        or any(mine and other and mine != other for mine, other in single)
        or root.ignore_uri_case != leaf.ignore_uri_case
        or bool(root.gateways and set(leaf.gateways) - set(root.gateways))
    )


def _text_contradicts(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Whether `leaf` may match what `root` does not; two regular expressions are never compared."""
    if root is None or leaf is None or root == leaf:
        return False
    if root.prefix is not None:
        text = leaf.exact if leaf.exact is not None else leaf.prefix
        return text is None or not text.startswith(root.prefix)
    return not root.is_present_match


def _key(rule: HTTPRoute, document: Document) -> Key:
    delegate = rule.delegate
    return (delegate.namespace or document.namespace, delegate.name) if delegate else ("", "")


def _spec(document: Document) -> VirtualServiceSpec:
    return cast("VirtualServiceSpec", document.spec)
