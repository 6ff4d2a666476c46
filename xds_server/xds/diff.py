"""What changed between two sets of resources; computed once per pair, however many streams go from one to the other."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from itertools import compress
from weakref import WeakKeyDictionary

from xds_server.xds.resource import Resource
from xds_server.xds.resource_set import EMPTY, ResourceSet


@dataclass(frozen=True, slots=True)
class Diff:
    """The way from one set to another.

    Attributes:
        changed: resources that are new or have another version, in their new form.
        removed: names that are gone.
    """

    changed: ResourceSet = EMPTY
    removed: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


_NOTHING = Diff()
_KNOWN: WeakKeyDictionary[ResourceSet, WeakKeyDictionary[ResourceSet, Diff]] = WeakKeyDictionary()
"""By new set, then old set. A Diff holds neither of them, so both entries go with the sets."""


def diff(old: ResourceSet, new: ResourceSet) -> Diff:
    """What somebody who holds `old` lacks of `new`, by version; the same Diff for the same two sets."""
    if old is new:
        return _NOTHING
    known = _KNOWN.get(new)
    if known is None:
        known = _KNOWN[new] = WeakKeyDictionary()
    found = known.get(old)
    if found is None:
        found = known[old] = _compare(old, new)
    return found


def _compare(old: ResourceSet, new: ResourceSet) -> Diff:
    before = old.by_name
    # Most resources of two sets in succession are the same objects.
    moved = map(operator.is_not, map(before.get, new.by_name), new.by_name.values())
    others = list(compress(new.by_name.items(), moved))
    changed = {name: resource for name, resource in others if _is_news(before.get(name), resource)}
    return Diff(ResourceSet(changed) if changed else EMPTY, old.names - new.names)


def _is_news(held: Resource | None, resource: Resource) -> bool:
    return held is None or held.version != resource.version
