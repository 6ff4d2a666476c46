"""Who has registered: the rules, with the time passed in.

A workload is there while a stream of its proxy is. When the last one ends it drains: it gets no new requests, while its
callers finish what they have begun; after a grace period it is forgotten. It drains as well while its proxy says that
it is about to go: it serves what comes until its callers know. When all workloads of a group leave at once
it is more likely the way to them that broke, so they stay in use for the grace period: nobody is left without any.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace

from xds_server.mesh.registration import Key, Registration


@dataclass(slots=True, eq=False)
class _Entry:
    """One workload, and the streams of its proxy."""

    registration: Registration
    streams: set[Hashable] = field(default_factory=set)
    leaves_at: float | None = None
    is_live: bool = True

    @property
    def stays(self) -> bool:
        """Whether it is there, and says nothing of going."""
        return self.leaves_at is None and self.is_live


class Registry:
    """Every workload that registered itself. Times are seconds of one monotonic clock.

    Args:
        grace: how long one that has left is remembered (Istio's 10 s).
    """

    def __init__(self, grace: float = 10.0) -> None:
        self._grace = grace
        self._entries: dict[Key, _Entry] = {}
        self._keys: dict[Hashable, Key] = {}
        self._restored: set[Key] = set()

    def restore(self, registrations: Iterable[Registration], until: float) -> None:
        """Take up those that an earlier process knew: in use, and forgotten at `until` unless they come back."""
        for found in registrations:
            self._entries[found.key] = _Entry(replace(found, draining=False), leaves_at=until)
            self._restored.add(found.key)

    def join(self, stream: Hashable, registration: Registration) -> None:
        """A stream of that workload's proxy has begun. What it says now replaces what it said before."""
        entry = self._entries.setdefault(registration.key, _Entry(registration))
        entry.registration = registration
        entry.leaves_at = None
        entry.is_live = True
        entry.streams.add(stream)
        self._keys[stream] = registration.key
        self._restored.discard(registration.key)

    def says(self, key: Key, *, live: bool) -> bool:
        """Its proxy says whether it goes on, or is about to go; of one that is not known nothing is kept.

        One that an earlier process knew may say so before it is back: its reports do not wait for its stream.

        Returns:
            Whether that is news: proxies that are about to go say it with every report.
        """
        entry = self._entries.get(key)
        if entry is None or entry.is_live is live:
            return False
        entry.is_live = live
        if not live:
            self._restored.discard(key)
        return True

    def leave(self, stream: Hashable, now: float) -> None:
        """A stream has ended, whether it was of a workload or not."""
        if (key := self._keys.pop(stream, None)) is None:
            return
        entry = self._entries[key]
        entry.streams.discard(stream)
        if not entry.streams:
            entry.leaves_at = now + self._grace

    def expire(self, now: float) -> None:
        """Forget those whose grace is over."""
        gone = [key for key, entry in self._entries.items() if entry.leaves_at is not None and entry.leaves_at <= now]
        for key in gone:
            del self._entries[key]
            self._restored.discard(key)

    @property
    def due(self) -> float | None:
        """When `expire` has something to do next."""
        return min((entry.leaves_at for entry in self._entries.values() if entry.leaves_at is not None), default=None)

    @property
    def known(self) -> tuple[Registration, ...]:
        """All that are not forgotten, as they registered, sorted: what outlives a restart."""
        return tuple(sorted(entry.registration for entry in self._entries.values()))

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """All that are not forgotten, sorted; those that leave or have left drain, unless their whole group does."""
        staying = {
            (entry.registration.namespace, entry.registration.group)
            for key, entry in self._entries.items()
            if entry.stays or key in self._restored
        }
        return tuple(sorted(self._seen(key, entry, staying) for key, entry in self._entries.items()))

    def _seen(self, key: Key, entry: _Entry, staying: set[tuple[str, str]]) -> Registration:
        found = entry.registration
        leaves = not entry.stays and key not in self._restored
        drains = leaves and (found.namespace, found.group) in staying
        return replace(found, draining=True) if drains else found
