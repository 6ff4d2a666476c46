"""Every scenario against the bare state machines; see `tests/scenario.py` for what the files say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.scenario import Options, Player, Request, Response, parse, scenarios
from xds_server.xds.channel import TypeStatus
from xds_server.xds.delta import DeltaStream
from xds_server.xds.messages import DeltaRequest, DeltaResponse, SotwRequest, SotwResponse
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.sotw import SotwStream
from xds_server.xds.stream import Held, Tombstones


class MachineDriver:
    """A stream machine with nothing around it."""

    def __init__(self, variant: str, options: Options) -> None:
        self._kind = SotwStream if variant == "sotw" else DeltaStream
        self._options = options
        self._snapshot: Snapshot | None = None
        self._stream = self._opened({}, {})

    def _opened(self, tombstones: Tombstones, held: Held) -> SotwStream | DeltaStream:
        options = self._options
        return self._kind(gate=options.gate, order=options.order, types=options.types, tombstones=tombstones, held=held)

    def offer(self, snapshot: Snapshot, expected: int) -> Sequence[Response]:
        """Nothing is asynchronous here, so `expected` does not matter."""
        self._snapshot = snapshot
        return self._stream.offer(snapshot)

    def send(self, request: Request, expected: int) -> Sequence[Response]:
        """See `offer`."""
        if isinstance(self._stream, SotwStream):
            assert isinstance(request, SotwRequest)
            return [said for said in self._stream.receive(request) if isinstance(said, SotwResponse)]
        assert isinstance(request, DeltaRequest)
        return [said for said in self._stream.receive(request) if isinstance(said, DeltaResponse)]

    def reconnect(self) -> None:
        """The next stream is told what the last one knew, as the server does it."""
        self._stream = self._opened(self._stream.tombstones, self._stream.held)
        if self._snapshot is not None:
            self._stream.offer(self._snapshot)

    def status(self) -> dict[str, TypeStatus]:
        """Of the current stream."""
        return self._stream.status()


VARIANTS = ("sotw", "delta")
CASES = [pytest.param(kind, path, id=f"{kind}-{path.stem}") for kind in VARIANTS for path in scenarios(kind)]

IN_THE_SERVER = {44, 45, 46}
"""C44 to C46 and C53 to C56 are about connections, tasks and bytes."""
FOREIGN = {"sotw": {18, 48}, "delta": {49}}
"""Cases that exist in the other variant only."""


@pytest.mark.parametrize(("variant", "path"), CASES)
def test_bare_machine_speaks_as_the_scenario_says(variant: str, path: Path) -> None:
    """The file's name is the rule."""
    scenario = parse(path)

    Player(MachineDriver(variant, scenario.options), variant).play(scenario)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_scenario_exists_for_each_conformance_case(variant: str) -> None:
    """A case that nobody plays is a case that nobody keeps."""
    text = "\n".join(path.read_text() for path in scenarios(variant))

    expected = set(range(1, 53)) - IN_THE_SERVER - FOREIGN[variant]
    assert [number for number in sorted(expected) if f"C{number:02}" not in text] == []
