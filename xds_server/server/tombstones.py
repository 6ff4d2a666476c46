"""What nodes may hold without knowing it, kept from one stream of a node to its next.

A node that refused part of a response, or that was cut off while one was on its way, may hold resources that it does
not list when it reconnects. Its next stream must send or remove them, or a deleted policy would be served for ever.
Only a restart of this server forgets them.

Beside them is kept what the node held. A route that it holds may name a cluster which is deleted before it comes back,
and such clusters must stay until the route is replaced. A delta client says itself what it holds, so that this holds
over a restart of this server as well. A client of SotW does not: for it a server that starts anew can only send what
there is now, and requests may fail (503) for the moment between its clusters and its routes, if a route was moved and
the cluster it led to deleted while the server was away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from xds_server.xds.stream import NO_TOMBSTONES, NOTHING_HELD, Held, Tombstones

_MOST_NODES = 10_000
"""Nodes remembered; of more, those that left longest ago are forgotten: they hardly come back."""

_MOST_HELD = 1_000
"""Nodes of which it is remembered what they held: each may keep an old list of resources in memory."""


class Holder(Protocol):
    """A stream machine, seen from here."""

    @property
    def tombstones(self) -> Tombstones:
        """See `xds.stream.Stream.tombstones`."""

    @property
    def held(self) -> Held:
        """See `xds.stream.Stream.held`."""


class TombstoneBook:
    """Tombstones by node id, of streams that ended and of streams that are only thought to live."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, Tombstones] = OrderedDict()
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._live: dict[str, list[Holder]] = {}

    def of(self, node_id: str) -> Tombstones:
        """All that a new stream of this node must settle.

        A node can be back before its old connection is known to be dead, so what that one is unsure of counts too.
        """
        found: dict[str, frozenset[str]] = dict(self._left.get(node_id, NO_TOMBSTONES))
        for holder in self._live.get(node_id, ()):
            _add(found, holder.tombstones)
        return found

    def held_by(self, node_id: str) -> Held:
        """What the newest stream of this node left it with, or would if it ended now."""
        live = self._live.get(node_id)
        return live[-1].held if live else self._held.get(node_id, NOTHING_HELD)

    def opened(self, node_id: str, machine: Holder) -> None:
        """A stream of this node begins; it was made with `of` and `held_by` of it and answers for all of that."""
        self._left.pop(node_id, None)
        self._held.pop(node_id, None)
        self._live.setdefault(node_id, []).append(machine)

    def closed(self, node_id: str, machine: Holder) -> None:
        """That stream ended."""
        live = self._live[node_id]
        live.remove(machine)
        if not live:
            del self._live[node_id]
            self._keep_held(node_id, machine.held)
        left = dict(self._left.pop(node_id, NO_TOMBSTONES))
        _add(left, machine.tombstones)
        if left:
            self._left[node_id] = left
        if len(self._left) > _MOST_NODES:
            self._left.popitem(last=False)

    def _keep_held(self, node_id: str, held: Held) -> None:
        if held:
            self._held[node_id] = held
        if len(self._held) > _MOST_HELD:
            self._held.popitem(last=False)


def _add(found: dict[str, frozenset[str]], more: Tombstones) -> None:
    for url, names in more.items():
        found[url] = found.get(url, frozenset()) | names
