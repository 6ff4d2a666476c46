"""Old spellings that Istio has dropped or ignores, and that policies still use: one visible table.

Each is rewritten in the plain value before anybody validates it, and each use is told to the author. The value's
positions are rewritten with it, so that the new path still leads to the line of the old key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from xds_server.policy.model import Finding, Path
from xds_server.policy.pattern import Inside, occurrences, pattern_parts, value_at
from xds_server.policy.position import Positions
from xds_server.problem import Severity

Rewrite = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class OldSpelling:
    """One row of the table.

    Attributes:
        kind: Istio kind.
        where: patterns of the mappings, below spec, that may hold the old key; "" is spec itself.
        old: the old key.
        new: the key, or dotted keys, that say it now; "" when nothing needs saying any more.
        since: the Istio release that brought the new spelling.
        value: from the old value to the new one.
        only: the old values meant, when the key itself is still good; () is all.
    """

    kind: str
    where: tuple[str, ...]
    old: str
    new: str
    since: str
    value: Rewrite | None = None
    only: tuple[object, ...] = ()

    def advice(self) -> str:
        """What to write instead."""
        if self.only:
            return f"write {self.new}: {self.value(self.only[0])}" if self.value else f"write {self.new}"
        return f"write {self.new}" if self.new else "remove it"


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _exact(value: object) -> object:
    return [{"exact": origin} for origin in value] if isinstance(value, list) else value


def _least_request(_: object) -> object:
    return "LEAST_REQUEST"


_POLICIES = ("trafficPolicy", "subsets[].trafficPolicy")
_SECTIONS = (*_POLICIES, *(f"{policy}.portLevelSettings[]" for policy in _POLICIES))
_BALANCERS = tuple(f"{section}.loadBalancer" for section in _SECTIONS)
_HASHES = tuple(f"{balancer}.consistentHash" for balancer in _BALANCERS)
_OUTLIERS = tuple(f"{section}.outlierDetection" for section in _SECTIONS)
_ROUTES = ("http[]", "http[].route[]")

OLD_SPELLINGS: tuple[OldSpelling, ...] = (
    OldSpelling("VirtualService", ("",), "host", "hosts", "0.8", _listed),
    OldSpelling("VirtualService", ("http[]",), "websocketUpgrade", "", "1.5"),
    OldSpelling("VirtualService", ("http[]",), "appendHeaders", "headers.request.add", "1.1"),
    OldSpelling("VirtualService", _ROUTES, "appendRequestHeaders", "headers.request.add", "1.1"),
    OldSpelling("VirtualService", _ROUTES, "removeRequestHeaders", "headers.request.remove", "1.1"),
    OldSpelling("VirtualService", _ROUTES, "appendResponseHeaders", "headers.response.add", "1.1"),
    OldSpelling("VirtualService", _ROUTES, "removeResponseHeaders", "headers.response.remove", "1.1"),
    OldSpelling("VirtualService", ("http[].fault.delay",), "percent", "percentage.value", "1.1"),
    OldSpelling("VirtualService", ("http[].fault.abort",), "percent", "percentage.value", "1.1"),
    OldSpelling("VirtualService", ("http[]",), "mirrorPercent", "mirrorPercentage.value", "1.5"),
    OldSpelling("VirtualService", ("http[].corsPolicy",), "allowOrigin", "allowOrigins", "1.5", _exact),
    # Parents stand before what they hold: consecutiveErrors is then found under the new name.
    OldSpelling("DestinationRule", _SECTIONS, "circuitBreaker", "outlierDetection", "0.8"),
    OldSpelling("DestinationRule", _OUTLIERS, "consecutiveErrors", "consecutive5xxErrors", "1.5"),
    OldSpelling("DestinationRule", _BALANCERS, "simple", "simple", "1.14", _least_request, only=("LEAST_CONN", 1)),
    OldSpelling("DestinationRule", _BALANCERS, "warmupDurationSecs", "warmup.duration", "1.24"),
    OldSpelling("DestinationRule", _HASHES, "httpHeader", "httpHeaderName", "1.0"),
    OldSpelling("DestinationRule", _HASHES, "minimumRingSize", "ringHash.minimumRingSize", "1.16"),
)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A spec in today's spelling: its plain value, the positions of the document, and what its author should know.

    Places in `findings` are below the spec.
    """

    spec: object
    positions: Positions
    findings: tuple[Finding, ...] = ()


def rewritten(kind: str, spec: object, positions: Positions, within: Inside) -> Rewritten:
    """The spec with its old spellings replaced; the given value is left alone, and given back if it has none.

    Args:
        kind: Istio kind.
        spec: plain value.
        positions: of the whole document, in Istio's names.
        within: of the spec, or of a value that holds it.
    """
    done = Rewritten(spec, positions)
    for row in _rows(kind):
        if row.old in within.keys:
            for where in row.where:
                done = _apply(row, (*pattern_parts(where), row.old), done)
    return done


@cache
def _rows(kind: str) -> tuple[OldSpelling, ...]:
    return tuple(row for row in OLD_SPELLINGS if row.kind == kind)


def _apply(row: OldSpelling, pattern: Path, done: Rewritten) -> Rewritten:
    for path, old_value in list(occurrences(done.spec, pattern)):
        if not row.only or any(type(old_value) is type(meant) and old_value == meant for meant in row.only):
            done = _moved(row, path, old_value, done)
    return done


def _moved(row: OldSpelling, path: Path, old_value: object, done: Rewritten) -> Rewritten:
    spec = _without(done.spec, path)
    new_path: Path = (*path[:-1], *row.new.split("."))
    if row.new and _is_taken(spec, new_path, len(path)):
        return Rewritten(spec, done.positions, (*done.findings, _clash(row, path)))
    findings = (*done.findings, _note(row, path))
    if not row.new:
        return Rewritten(spec, done.positions, findings)
    new_value = row.value(old_value) if row.value else old_value
    positions = done.positions.linked(("spec", *path), ("spec", *new_path))
    return Rewritten(_with(spec, new_path, new_value), positions, findings)


def _is_taken(spec: object, path: Path, below: int) -> bool:
    """Whether there is a value at a path, or one into which nothing more fits on the way to it."""
    on_the_way = (value_at(spec, path[:length]) for length in range(below, len(path)))
    return value_at(spec, path) is not None or not all(isinstance(value, dict | None) for value in on_the_way)


def _with(value: object, path: Path, new: object) -> object:
    if not path:
        return new
    if isinstance(value, list):
        return [_with(item, path[1:], new) if index == path[0] else item for index, item in enumerate(value)]
    mapping = dict(value) if isinstance(value, Mapping) else {}
    mapping[path[0]] = _with(mapping.get(path[0]), path[1:], new)
    return mapping


def _without(value: object, path: Path) -> object:
    parent = value_at(value, path[:-1])
    rest = {key: item for key, item in parent.items() if key != path[-1]} if isinstance(parent, Mapping) else parent
    return _with(value, path[:-1], rest)


def _note(row: OldSpelling, path: Path) -> Finding:
    spelled = f"{row.old}: {row.only[0]}" if row.only else row.old
    said = f"replaced by {row.new}" if row.new and not row.only else "dropped"
    message = f"{spelled} is an old spelling, {said} in Istio {row.since}; it is taken as meant"
    return Finding(message, row.advice(), path, "old-spelling", Severity.NOTE)


def _clash(row: OldSpelling, path: Path) -> Finding:
    message = f"{row.old} is the old spelling of {row.new}, and both are set"
    return Finding(message, f"keep {row.new} and remove {row.old}", path, "set-twice")
