"""Keeps the registry as time passes: forgets who has left, writes down who is there, and says when either changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

import structlog

from xds_server.mesh.registration import Registration
from xds_server.registry.registry import Registry
from xds_server.registry.registry_file import read_registrations, write_registrations

log = structlog.get_logger(__name__)


RETURN = 15.0
"""Seconds within which proxies are back after a restart of ours: Envoy tries again after 10 s at the latest (that is
the `max_interval` of our bootstrap), and many come at once."""


class Registrar:
    """Which workloads have registered. Everything is called on the event loop.

    Args:
        grace: seconds for which one that has left is remembered.
        path: where they are written down; its directory is made when the first one registers.
        changed: called when `registrations` became others.
        clock: monotonic, in seconds.
        returning: for how long after the start those are waited for that an earlier process knew, or may have known.
    """

    def __init__(
        self,
        grace: float,
        path: Path,
        changed: Callable[[], None],
        clock: Callable[[], float],
        returning: float = RETURN,
    ) -> None:
        self._registry = Registry(grace)
        self._path = path
        self._changed = changed
        self._clock = clock
        self._wake = asyncio.Event()
        written = read_registrations(path)
        self._written = written or ()
        back_by = clock() + max(grace, returning)
        self._registry.restore(self._written, back_by)
        self._learns_until = clock() if written is not None else back_by
        self.registrations = self._registry.registrations

    @property
    def learns_for(self) -> float:
        """Seconds for which workloads may be there that this process has not heard of: it began without a file.

        Meanwhile a proxy that holds endpoints from before had better keep them.
        """
        return max(0.0, self._learns_until - self._clock())

    def connected(self, stream: Hashable, registration: Registration | None) -> None:
        """A proxy's stream has begun; None is of no registered workload."""
        if registration is not None:
            self._registry.join(stream, registration)
            self._wake.set()
            self._look()

    def says(self, registration: Registration | None, *, live: bool) -> None:
        """A proxy says whether it goes on, or is about to go; None is of no registered workload."""
        if registration is not None and self._registry.says(registration.key, live=live):
            self._look()

    def disconnected(self, stream: Hashable) -> None:
        """A proxy's stream has ended."""
        self._registry.leave(stream, self._clock())
        self._wake.set()
        self._look()

    async def run(self) -> None:
        """Forget and write down until cancelled; app.py runs this once, for the server's life."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._left()):
                    await self._wake.wait()
            self._wake.clear()
            await self.settle()

    async def settle(self) -> None:
        """Forget those whose grace is over, and write down who is there."""
        self._registry.expire(self._clock())
        self._look()
        await self._write()

    def _left(self) -> float | None:
        due = self._registry.due
        return None if due is None else max(0.0, due - self._clock())

    def _look(self) -> None:
        if (now := self._registry.registrations) != self.registrations:
            _tell(self.registrations, now)
            self.registrations = now
            self._changed()

    async def _write(self) -> None:
        known = self._registry.known
        if known == self._written:
            return
        try:
            await asyncio.to_thread(write_registrations, self._path, known)
        except OSError as error:
            log.warning("registered workloads not written down", path=str(self._path), error=str(error))
        self._written = known


def _tell(before: Iterable[Registration], now: Iterable[Registration]) -> None:
    """Log each that is new, drains, is back or is gone: else nothing would say why a generation came."""
    states = {found.key: found.draining for found in before}
    for found in now:
        if states.pop(found.key, None) is not found.draining:
            _log(found, "draining" if found.draining else "in use")
    for found in before:
        if found.key in states:
            _log(found, "forgotten")


def _log(found: Registration, state: str) -> None:
    log.info("registered workload", workload=f"{found.name}.{found.namespace}", group=found.group, state=state)
