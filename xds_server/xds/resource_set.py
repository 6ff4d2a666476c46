"""Resources of one type as one immutable value, shared by every stream that holds the same.

A stream that has taken a whole snapshot holds five of these and no version of its own: what two streams have in common
is one object. Whatever is derived from a set (a selection, a variant, its hash) is remembered by the set itself, so
that a thousand streams in one state cost one computation, and their responses carry the very same tuple.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TypeVar

from xds_server.xds.resource import Resource, versions_text

_Member = TypeVar("_Member")

_REMEMBERED = 64
"""Derived sets kept per set: far more than the states that streams of one view are in at once."""
_MOST_ASKED = 200_000
"""Names by which these were derived, together: ten states of a mesh with 20,000 services. Peers may ask for any."""


class ResourceSet:
    """Resources of one type by name, in the order of names; compares by identity."""

    def __init__(self, by_name: Mapping[str, Resource]) -> None:
        self.by_name = by_name
        self._selections: dict[frozenset[str], ResourceSet] = {}
        self._variants: dict[frozenset[tuple[str, int]], ResourceSet] = {}

    def __len__(self) -> int:
        return len(self.by_name)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def get(self, name: str) -> Resource | None:
        """The resource of this name, if it is here."""
        return self.by_name.get(name)

    @cached_property
    def names(self) -> frozenset[str]:
        """All names."""
        return frozenset(self.by_name)

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """All resources, by name; always the same tuple."""
        return tuple(self.by_name.values())

    @cached_property
    def version(self) -> str:
        """Hash over names and versions: equal sets have equal versions, on every machine and after every restart."""
        return hashlib.blake2b(versions_text(self.by_name).encode(), digest_size=8).hexdigest()

    @cached_property
    def _needs(self) -> dict[str, frozenset[str]]:
        needs: dict[str, set[str]] = {}
        for resource in self.by_name.values():
            for url, name in resource.refs:
                needs.setdefault(url, set()).add(name)
        return {url: frozenset(names) for url, names in needs.items()}

    def needs(self, url: str) -> frozenset[str]:
        """Names of type `url` that resources here refer to."""
        return self._needs.get(url, frozenset())

    def selection(self, names: frozenset[str]) -> ResourceSet:
        """Those of `names` that are here; the same set for the same names, and this very set if that is all of it."""
        found = self._selections.get(names)
        if found is None:
            found = self if names >= self.names else self._chosen(names)
            _remember(self._selections, names, found)
        return found

    def _chosen(self, names: frozenset[str]) -> ResourceSet:
        chosen = {name: self.by_name[name] for name in sorted(names & self.names)}
        return ResourceSet(chosen) if chosen else EMPTY

    def variant(self, replaced: Mapping[str, Resource | None]) -> ResourceSet:
        """This set with some resources exchanged or added, and those that are None left out."""
        if not replaced or all(self.by_name.get(name) is resource for name, resource in replaced.items()):
            return self
        # The variant keeps the resources alive whose identities are its key; None never dies.
        key = frozenset((name, id(resource)) for name, resource in replaced.items())
        found = self._variants.get(key)
        if found is None:
            merged = {**self.by_name, **replaced}
            found = ResourceSet({name: resource for name in sorted(merged) if (resource := merged[name]) is not None})
            _remember(self._variants, key, found)
        return found

    def without(self, names: Iterable[str]) -> ResourceSet:
        """This set without `names`."""
        return self.variant(dict.fromkeys(names))


def _remember(memory: dict[frozenset[_Member], ResourceSet], key: frozenset[_Member], value: ResourceSet) -> None:
    if len(memory) >= _REMEMBERED or sum(map(len, memory)) + len(key) > _MOST_ASKED:
        memory.clear()
    memory[key] = value


EMPTY = ResourceSet({})
