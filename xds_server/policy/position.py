"""Where each part of a document stands in its file, kept beside the plain value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from xds_server.policy.model import Path, istio_name


class Positions(NamedTuple):
    """Where each key and value of one document stands; there are dozens in each, so making one must cost little.

    Attributes:
        line, column: 1-based place of the value itself; for a mapping entry, of its key.
        children: by mapping key or list index.
    """

    line: int
    column: int
    children: Mapping[str | int, Positions] = MappingProxyType({})

    def at(self, path: Sequence[str | int]) -> tuple[int, int]:
        """(line, column) of the deepest part of `path` that is written; the rest was left out by the author."""
        here = self
        for part in path:
            found = here.children.get(part)
            if found is None:
                break
            here = found
        return here.line, here.column

    def linked(self, path: Path, new_path: Path) -> Positions:
        """These positions, where what stands at `path` is found at `new_path` too; this object stays as it is."""
        here = self
        for part in path:
            here = here.children.get(part, here)
        return _with(self, new_path, here)

    def with_istio_names(self) -> Positions:
        """These positions, where a field in proto's own spelling is found under Istio's name too."""
        return _renamed(self)


def _renamed(positions: Positions) -> Positions:
    written = {key: _renamed(child) for key, child in positions.children.items()}
    renamed: dict[str | int, Positions] = {
        istio_name(key): child for key, child in written.items() if isinstance(key, str)
    }
    return Positions(positions.line, positions.column, renamed | written)


def _with(positions: Positions, path: Path, found: Positions) -> Positions:
    if not path:
        return found
    child = positions.children.get(path[0], Positions(found.line, found.column))
    return Positions(positions.line, positions.column, {**positions.children, path[0]: _with(child, path[1:], found)})
