"""What nodes may hold without knowing it, kept from one stream of a node to its next.

A node that refused part of a response, or that was cut off while one was on its way, may hold resources that it does
not list when it reconnects. Its next stream must send or remove them, or a deleted policy would be served for ever.

Beside them is kept what the node held. A route that it holds may name a cluster which is deleted before it comes back,
and such clusters must stay until the route is replaced. A delta client says itself what it holds; a client of SotW does
not.

Both are written down (`held_files.py`), so that they hold over a restart of this server as well. Not so what was on its
way to a node: it is lost if in one moment the server is killed and the node refuses that in part.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from xds_server.server.held_files import FORGOTTEN_AFTER, HeldFiles, Kept
from xds_server.xds.stream import NO_TOMBSTONES, NOTHING_HELD, Held, Tombstones
from xds_server.xds.type_url import CLUSTER

log = structlog.get_logger(__name__)

_MOST_NODES = 10_000
"""Nodes remembered; of more, those that left longest ago are forgotten: they hardly come back."""

_MOST_HELD = 1_000
"""Nodes of which it is remembered what they held: each may keep an old list of resources in memory."""

_REFRESH = 3600.0
"""Seconds after which what has not changed is written once more, since it is still so."""
_REST = 0.2
"""Seconds between two writings, or `_SHARE` times what the last one took if that is longer."""
_SHARE = 4


class Holder(Protocol):
    """A stream machine, seen from here."""

    @property
    def tombstones(self) -> Tombstones:
        """See `xds.stream.Stream.tombstones`."""

    @property
    def held(self) -> Held:
        """See `xds.stream.Stream.held`."""

    @property
    def doubts(self) -> Tombstones:
        """See `xds.stream.Stream.doubts`."""

    @property
    def remembers(self) -> Collection[str]:
        """See `xds.stream.Stream.remembers`."""


class TombstoneBook:
    """Tombstones by node id, of streams that ended and of streams that are only thought to live.

    Args:
        kept: what nodes held when the server before this one ended, those seen longest ago first.
        clock: seconds since the epoch.
    """

    def __init__(self, kept: Mapping[str, Kept] | None = None, clock: Callable[[], float] = time.time) -> None:
        kept = kept or {}
        self._left = OrderedDict((node_id, one) for node_id, one in kept.items() if one.tombstones)
        self._held = OrderedDict((node_id, one) for node_id, one in kept.items() if one.held)
        self._live: dict[str, list[Holder]] = {}
        self._clock = clock
        self._doubtful: frozenset[str] = frozenset()
        self._concerned: set[str] = set()
        self._noted = asyncio.Event()

    def of(self, node_id: str) -> Tombstones:
        """All that a new stream of this node must settle.

        A node can be back before its old connection is known to be dead, so what that one is unsure of counts too.
        """
        found = self._left_by(node_id)
        for holder in self._live.get(node_id, ()):
            _add(found, holder.tombstones)
        return found

    def held_by(self, node_id: str) -> Held:
        """What the newest stream of this node left it with, or would if it ended now."""
        live = self._live.get(node_id)
        if live:
            return live[-1].held
        return self._held[node_id].held if node_id in self._held else NOTHING_HELD

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
        left = self._left_by(node_id)
        _add(left, machine.tombstones)
        self._left.pop(node_id, None)
        if left:
            self._left[node_id] = Kept(NOTHING_HELD, left, self._clock())
        if len(self._left) > _MOST_NODES:
            self._left.popitem(last=False)

    def acked(self, node_id: str, machine: Holder, url: str) -> None:
        """A node took something of this type, on this stream."""
        if (_is_mute(machine) and url in machine.remembers) or node_id in self._doubtful:
            self._note(node_id)

    def nacked(self, node_id: str) -> None:
        """A node refused something: in part, perhaps."""
        self._note(node_id)

    async def write_down(self, files: HeldFiles) -> None:
        """Keep `files` as things are, until cancelled; app.py runs this once, for the server's life."""
        written: dict[str, Kept] | None = None
        while True:
            try:
                async with asyncio.timeout(_REFRESH):
                    await self._noted.wait()
            except TimeoutError:
                written = None
            now = self._everybody() if written is None else self._updated(written)
            if written is None or now != written:
                written = now
                self._doubtful = frozenset(node_id for node_id, kept in now.items() if kept.tombstones)
                await asyncio.sleep(max(_REST, _SHARE * await _write(files, now)))

    def _note(self, node_id: str) -> None:
        self._concerned.add(node_id)
        self._noted.set()

    def _noted_nodes(self) -> set[str]:
        self._noted.clear()
        concerned, self._concerned = self._concerned, set()
        return concerned

    def _everybody(self) -> dict[str, Kept]:
        """What is worth a place on disk; what nobody came back for is forgotten."""
        oldest = self._clock() - FORGOTTEN_AFTER
        for book in (self._held, self._left):
            for node_id in [node_id for node_id, kept in book.items() if kept.at < oldest]:
                del book[node_id]
        self._noted_nodes()
        return self._of_use(self._live.keys() | self._held.keys() | self._left.keys())

    def _updated(self, written: Mapping[str, Kept]) -> dict[str, Kept]:
        """The same, where only some nodes have said anything since."""
        concerned = self._noted_nodes()
        found = self._of_use(concerned)
        same = {node_id for node_id, kept in found.items() if node_id in written and written[node_id].says(kept)}
        others = {node_id: kept for node_id, kept in written.items() if node_id not in concerned or node_id in same}
        return {**found, **others}

    def _of_use(self, node_ids: Iterable[str]) -> dict[str, Kept]:
        found = {node_id: self._kept(node_id) for node_id in node_ids}
        return {node_id: kept for node_id, kept in found.items() if kept.held or kept.tombstones}

    def _kept(self, node_id: str) -> Kept:
        """What is worth a place on disk of one node."""
        machines = self._live.get(node_id)
        if machines:
            return _alive(machines, self._clock())
        held, left = self._held.get(node_id), self._left.get(node_id)
        return Kept(
            held.held if held and CLUSTER in held.held else NOTHING_HELD,
            left.tombstones if left else NO_TOMBSTONES,
            max((kept.at for kept in (held, left) if kept), default=0.0),
        )

    def _left_by(self, node_id: str) -> dict[str, frozenset[str]]:
        return dict(self._left[node_id].tombstones) if node_id in self._left else {}

    def _keep_held(self, node_id: str, held: Held) -> None:
        if held:
            self._held[node_id] = Kept(held, NO_TOMBSTONES, self._clock())
        if len(self._held) > _MOST_HELD:
            self._held.popitem(last=False)


async def _write(files: HeldFiles, nodes: Mapping[str, Kept]) -> float:
    """Off the loop; gives the seconds that it took."""
    began = time.monotonic()
    try:
        await asyncio.to_thread(files.write, nodes)
    except OSError as error:
        log.warning("what nodes hold not written down", error=str(error))
    return time.monotonic() - began


def _alive(machines: Sequence[Holder], now: float) -> Kept:
    """The same of one that is connected; clusters are remembered of those alone that do not tell of them."""
    doubts: dict[str, frozenset[str]] = {}
    for machine in machines:
        _add(doubts, machine.doubts)
    return Kept(machines[-1].held if _is_mute(machines[-1]) else NOTHING_HELD, doubts, now)


def _is_mute(machine: Holder) -> bool:
    """Whether its node will not say itself what it holds, which begins with clusters."""
    return CLUSTER in machine.remembers


def _add(found: dict[str, frozenset[str]], more: Tombstones) -> None:
    for url, names in more.items():
        found[url] = found.get(url, frozenset()) | names
