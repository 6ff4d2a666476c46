"""All resources of one view, consistent and frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xds_server.errors import InconsistentSnapshot
from xds_server.xds import type_url
from xds_server.xds.resource import Resource


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Resources by type and name; names are sorted within a type. Read only: every stream of a view shares it.

    Attributes:
        shared: the snapshot of the view, when this one is that with one proxy's secrets (`with_secrets`).
    """

    by_type: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)
    shared: Snapshot | None = None

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Snapshot:
        """A snapshot of `resources`.

        Raises:
            InconsistentSnapshot: two resources of one type have one name (Envoy would refuse the whole response).
        """
        by_type: dict[str, dict[str, Resource]] = {url: {} for url in type_url.PUSH_ORDER}
        for resource in sorted(resources, key=lambda r: r.name):
            named = by_type.setdefault(resource.type_url, {})
            if resource.name in named:
                raise InconsistentSnapshot(f"two resources of {resource.type_url} are named {resource.name!r}")
            named[resource.name] = resource
        return cls(by_type)

    def with_secrets(self, secrets: Iterable[Resource]) -> Snapshot:
        """This snapshot for one proxy: its own secrets in the place of any here, and everything else shared."""
        own = {secret.name: secret for secret in sorted(secrets, key=lambda r: r.name)}
        return Snapshot({**self.by_type, type_url.SECRET: own}, shared=self)

    def owner_of(self, url: str) -> Snapshot:
        """The snapshot whose resources of one type these are: what is derived from them may be kept with it."""
        return self if self.shared is None or url == type_url.SECRET else self.shared

    def of_type(self, url: str) -> Mapping[str, Resource]:
        """Resources of one type by name; empty for a type that is not served."""
        return self.by_type.get(url, {})

    @cached_property
    def version(self) -> str:
        """Hash over every resource's version: equal snapshots have equal versions, on every machine."""
        digest = hashlib.blake2b(digest_size=8)
        if self.shared is not None:
            digest.update(self.shared.version.encode())
        for url in (type_url.SECRET,) if self.shared is not None else sorted(self.by_type):
            for name, resource in self.by_type[url].items():
                digest.update(f"{url}\0{name}\0{resource.version}\n".encode())
        return digest.hexdigest()

    def check(self, given: Collection[tuple[str, str]] = ()) -> None:
        """Verify that every reference resolves.

        Args:
            given: (type_url, name) of what joins each proxy's snapshot later.

        Raises:
            InconsistentSnapshot: a resource names one that is not here (our defect: keep serving the last snapshot).
        """
        for resources in self.by_type.values():
            for resource in resources.values():
                for url, name in resource.refs:
                    if name not in self.of_type(url) and (url, name) not in given:
                        raise InconsistentSnapshot(f"{resource.name!r} needs {name!r} of {url}, which is missing")
