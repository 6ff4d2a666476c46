"""What nodes held, on disk, for a server that starts again.

It must keep in place what their routes may still lead to, and take away what a node has and will not tell of. Each
server writes a file of its own and reads those of all, so that replicas may share a directory. What several nodes hold
is written once. No secret is in it; a file that cannot be read is as good as none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from xds_server.xds.resource import Resource
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.stream import Held, Tombstones

log = structlog.get_logger(__name__)

FORGOTTEN_AFTER = 86_400.0
"""Seconds after which what a node held is not worth knowing: it would have found another server, or be started anew."""
_MOST_BYTES = 64 << 20
"""Of resources in one file; nodes that were seen last come first."""
_ENDING = ".held"
_OTHERS_WRITE = 0o022


@dataclass(frozen=True, slots=True)
class Kept:
    """What one node held, and what of it is not certain; when that was last known, in seconds since the epoch."""

    held: Held
    tombstones: Tombstones
    at: float

    def says(self, other: Kept) -> bool:
        """Whether it is the same, known at whatever time."""
        return self.held == other.held and self.tombstones == other.tombstones


class HeldFiles:
    """The files in one directory, one of which is ours.

    Args:
        directory: private; made when it is missing.
        server: what tells this server from others that share the directory, the same after a restart.
    """

    def __init__(self, directory: Path, server: str) -> None:
        self._directory = directory
        self._path = directory / f"{hashlib.sha256(server.encode()).hexdigest()[:16]}{_ENDING}"

    def read(self, now: float) -> dict[str, Kept]:
        """By node id, those seen longest ago first; blocks. Files that have nothing of use any more are removed."""
        found: dict[str, Kept] = {}
        for path in self._directory.glob(f"*{_ENDING}"):
            for node_id, kept in _read(path, now).items():
                if node_id not in found or found[node_id].at < kept.at:
                    found[node_id] = kept
        return dict(sorted(found.items(), key=lambda item: item[1].at))

    def write(self, nodes: Mapping[str, Kept]) -> None:
        """Put these in our file, whole or not at all; blocks.

        Raises:
            OSError: they could not be written; what was there before still is.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(_Table().of(nodes), separators=(",", ":")).encode())
            Path(draft).replace(self._path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


class _Table:
    """The form on disk: resources, sets of their numbers, sets of names, and nodes that refer to sets by number."""

    def __init__(self) -> None:
        self._resources: list[Resource] = []
        self._sets: list[list[int]] = []
        self._number_of_resource: dict[tuple[str, str, str], int] = {}
        self._number_of_set: dict[ResourceSet, int] = {}
        self._names: dict[frozenset[str], int] = {}
        self._bytes = 0

    def of(self, nodes: Mapping[str, Kept]) -> dict[str, Any]:
        """All of it, as plain values."""
        rows = [*self._rows(nodes)]
        resources, names = [_plain(resource) for resource in self._resources], [sorted(each) for each in self._names]
        return {"resources": resources, "sets": self._sets, "names": names, "nodes": rows}

    def _rows(self, nodes: Mapping[str, Kept]) -> Iterator[list[Any]]:
        for node_id, kept in sorted(nodes.items(), key=lambda item: -item[1].at):
            if self._bytes > _MOST_BYTES:
                return
            held = {url: self._set(resources) for url, resources in kept.held.items()}
            yield [node_id, kept.at, held, {url: self._name_set(names) for url, names in kept.tombstones.items()}]

    def _set(self, resources: ResourceSet) -> int:
        number = self._number_of_set.get(resources)
        if number is None:
            number = self._number_of_set[resources] = len(self._sets)
            self._sets.append([self._resource(resource) for resource in resources.resources])
        return number

    def _name_set(self, names: frozenset[str]) -> int:
        if names not in self._names:
            self._names[names] = len(self._names)
            self._bytes += sum(map(len, names))
        return self._names[names]

    def _resource(self, resource: Resource) -> int:
        key = resource.type_url, resource.name, resource.version
        number = self._number_of_resource.get(key)
        if number is None:
            number = self._number_of_resource[key] = len(self._resources)
            self._resources.append(resource)
            self._bytes += len(resource.body)
        return number


def _plain(resource: Resource) -> list[Any]:
    body = base64.b64encode(resource.body).decode()
    return [resource.type_url, resource.name, resource.version, body, resource.refs]


def _read(path: Path, now: float) -> dict[str, Kept]:
    try:
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
            log.warning("what nodes held not restored: others can write the file", path=str(path))
            return {}
        if status.st_mtime < now - FORGOTTEN_AFTER:
            path.unlink(missing_ok=True)
            return {}
        return {node_id: kept for node_id, kept in _nodes(json.loads(path.read_bytes())) if _is_fresh(kept, now)}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        log.warning("what nodes held not restored", path=str(path), error=str(error))
        return {}


def _nodes(table: Any) -> Iterator[tuple[str, Kept]]:
    resources = [
        Resource(url, name, version, base64.b64decode(body), tuple((to, target) for to, target in refs))
        for url, name, version, body, refs in table["resources"]
    ]
    sets = [ResourceSet({resources[n].name: resources[n] for n in numbers}) for numbers in table["sets"]]
    names = [frozenset(map(str, each)) for each in table["names"]]
    for node_id, at, held, tombstones in table["nodes"]:
        resources_of = {url: sets[number] for url, number in held.items()}
        names_of = {url: names[number] for url, number in tombstones.items()}
        yield str(node_id), Kept(resources_of, names_of, float(at))


def _is_fresh(kept: Kept, now: float) -> bool:
    return kept.at >= now - FORGOTTEN_AFTER
