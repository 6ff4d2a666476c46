"""What nodes may hold without knowing it, kept from one stream of a node to its next.

A node that refused part of a response, or that was cut off while one was on its way, may hold resources that it does
not list when it reconnects. Its next stream must send or remove them, or a deleted policy would be served for ever.
Only a restart of this server forgets them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from xds_server.xds.stream import NO_TOMBSTONES, Tombstones

_MOST_NODES = 10_000
"""Nodes remembered; of more, those that left longest ago are forgotten: they hardly come back."""


class Holder(Protocol):
    """A stream machine, seen from here."""

    @property
    def tombstones(self) -> Tombstones:
        """See `xds.stream.Stream.tombstones`."""


class TombstoneBook:
    """Tombstones by node id, of streams that ended and of streams that are only thought to live."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, Tombstones] = OrderedDict()
        self._live: dict[str, list[Holder]] = {}

    def of(self, node_id: str) -> Tombstones:
        """All that a new stream of this node must settle.

        A node can be back before its old connection is known to be dead, so what that one is unsure of counts too.
        """
        found: dict[str, frozenset[str]] = dict(self._left.get(node_id, NO_TOMBSTONES))
        for holder in self._live.get(node_id, ()):
            _add(found, holder.tombstones)
        return found

    def opened(self, node_id: str, machine: Holder) -> None:
        """A stream of this node begins; it was made with `of(node_id)` and answers for all of that."""
        self._left.pop(node_id, None)
        self._live.setdefault(node_id, []).append(machine)

    def closed(self, node_id: str, machine: Holder) -> None:
        """That stream ended."""
        live = self._live[node_id]
        live.remove(machine)
        if not live:
            del self._live[node_id]
        left = dict(self._left.pop(node_id, NO_TOMBSTONES))
        _add(left, machine.tombstones)
        if left:
            self._left[node_id] = left
        if len(self._left) > _MOST_NODES:
            self._left.popitem(last=False)


def _add(found: dict[str, frozenset[str]], more: Tombstones) -> None:
    for url, names in more.items():
        found[url] = found.get(url, frozenset()) | names
