"""All resources of one view, consistent and frozen."""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xds_server.errors import InconsistentSnapshot
from xds_server.xds import type_url
from xds_server.xds.resource import Resource, versions_text
from xds_server.xds.resource_set import EMPTY, ResourceSet


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Resources by type and name; names are sorted within a type. Read only: every stream of a view shares it.

    Attributes:
        shared: the snapshot of the view, when this one is that with one proxy's secrets (`with_secrets`).
        sets: what `set_of` has made so far.
    """

    by_type: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)
    shared: Snapshot | None = None
    sets: dict[str, ResourceSet] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Snapshot:
        """A snapshot of `resources`.

        Raises:
            InconsistentSnapshot: two resources of one type have one name (Envoy would refuse the whole response).
        """
        by_type: dict[str, list[Resource]] = {url: [] for url in type_url.PUSH_ORDER}
        for url, group in itertools.groupby(resources, key=operator.attrgetter("type_url")):
            by_type.setdefault(url, []).extend(group)
        return cls({url: _by_name(of_type) for url, of_type in by_type.items()})

    def with_secrets(self, secrets: Iterable[Resource]) -> Snapshot:
        """This snapshot for one proxy: its own secrets beside those here, and everything else shared."""
        own = {**self.of_type(type_url.SECRET), **{secret.name: secret for secret in secrets}}
        own = {name: own[name] for name in sorted(own)}
        return Snapshot({**self.by_type, type_url.SECRET: own}, shared=self)

    def of_type(self, url: str) -> Mapping[str, Resource]:
        """Resources of one type by name; empty for a type that is not served."""
        return self.by_type.get(url, {})

    def set_of(self, url: str) -> ResourceSet:
        """All resources of one type as one value; the same object each time, for all that have this type in common."""
        owner = self._owner(url)
        found = owner.sets.get(url)
        if found is None:
            of_type = owner.of_type(url)
            found = owner.sets[url] = ResourceSet(of_type) if of_type else EMPTY
        return found

    def version_of(self, url: str) -> str:
        """The version to tell of a response of one type: equal for all that have this type in common.

        So that they are sent the same bytes: a proxy's own secrets change nothing of its clusters.
        """
        return self._owner(url).version

    def _owner(self, url: str) -> Snapshot:
        """The snapshot that this one has the type from."""
        return self if self.shared is None or url == type_url.SECRET else self.shared

    @cached_property
    def version(self) -> str:
        """Hash over every resource's version: equal snapshots have equal versions, on every machine."""
        shared = self.shared.version if self.shared is not None else ""
        own = (type_url.SECRET,) if self.shared is not None else sorted(self.by_type)
        versions = [versions_text(self.by_type[url]) for url in own]
        return hashlib.blake2b("\0\0".join((shared, *own, *versions)).encode(), digest_size=8).hexdigest()

    def check(self, given: Collection[tuple[str, str]] = (), *, sound: Snapshot | None = None) -> None:
        """Verify that every reference resolves.

        Args:
            given: (type_url, name) of what joins each proxy's snapshot later.
            sound: one that was verified; what both have is not looked at again as long as nothing is gone.

        Raises:
            InconsistentSnapshot: a resource names one that is not here (our defect: keep serving the last snapshot).
        """
        by_type = self.by_type
        for resource in self._beyond(sound):
            for url, name in resource.refs:
                if name not in by_type.get(url, ()) and (url, name) not in given:
                    raise InconsistentSnapshot(f"{resource.name!r} needs {name!r} of {url}, which is missing")

    def _beyond(self, sound: Snapshot | None) -> Iterator[Resource]:
        """Resources whose references `sound` does not vouch for."""
        former = sound.by_type if sound is not None else {}
        if any(of_type.keys() - self.of_type(url).keys() for url, of_type in former.items()):
            former = {}
        for url, of_type in self.by_type.items():
            before = former.get(url, {})
            moved = map(operator.is_not, map(before.get, of_type), of_type.values())
            for resource in itertools.compress(of_type.values(), moved):
                old = before.get(resource.name)
                if old is None or old.refs is not resource.refs:
                    yield resource


def _by_name(resources: list[Resource]) -> dict[str, Resource]:
    """In the order of names: most come in that order, which a sort of bare strings makes the most of."""
    found = {resource.name: resource for resource in resources}
    if len(found) < len(resources):
        ((name, _),) = Counter(resource.name for resource in resources).most_common(1)
        raise InconsistentSnapshot(f"two resources of {resources[0].type_url} are named {name!r}")
    return {name: found[name] for name in sorted(found)}
