"""The registry on the event loop, with a file and a clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from tests.patience import PATIENCE
from xds_server.mesh.registration import Registration
from xds_server.registry.registrar import Registrar
from xds_server.registry.registry_file import read_registrations, write_registrations

ONE, OTHER = Registration("default", "web", "10.0.0.1"), Registration("default", "web", "10.0.0.2")


class Watched(Registrar):
    """A registrar whose changes can be waited for."""

    def __init__(self, path: Path, grace: float = 0.05) -> None:
        self.change = asyncio.Event()
        super().__init__(grace, path, self.change.set, asyncio.get_running_loop().time, returning=grace)

    async def changes(self) -> None:
        """Wait for the next change."""
        await asyncio.wait_for(self.change.wait(), PATIENCE)
        self.change.clear()


def test_workload_joins_drains_and_is_forgotten(tmp_path: Path) -> None:
    async def story() -> list[list[tuple[str, bool]]]:
        registrar, states = Watched(tmp_path / "r.json"), []
        task = asyncio.create_task(registrar.run())
        registrar.connected("a", ONE)
        registrar.connected("b", OTHER)
        for leaving in ("", "a", ""):
            registrar.disconnected(leaving)
            await registrar.changes()
            states.append([(found.address, found.draining) for found in registrar.registrations])
        task.cancel()
        return states

    assert asyncio.run(story()) == [
        [("10.0.0.1", False), ("10.0.0.2", False)],
        [("10.0.0.1", True), ("10.0.0.2", False)],
        [("10.0.0.2", False)],
    ]


def test_what_a_workload_says_of_its_going_is_a_change_once(tmp_path: Path) -> None:
    async def story() -> list[tuple[bool, bool]]:
        registrar, changes = Watched(tmp_path / "r.json"), []
        registrar.connected("a", ONE)
        registrar.connected("b", OTHER)
        for live in (False, False, True):
            registrar.change.clear()
            registrar.says(ONE, live=live)
            changes.append((registrar.change.is_set(), registrar.registrations[0].draining))
        registrar.says(None, live=False)
        return changes

    assert asyncio.run(story()) == [(True, True), (False, True), (True, False)]


def test_log_says_what_became_of_which_workload(tmp_path: Path) -> None:
    async def story() -> None:
        registrar = Watched(tmp_path / "r.json", grace=0)
        registrar.connected("a", ONE)
        registrar.connected("b", OTHER)
        registrar.says(ONE, live=False)
        registrar.says(ONE, live=True)
        registrar.disconnected("b")
        await registrar.settle()

    with capture_logs() as logs:
        asyncio.run(story())

    one, other = "web-10.0.0.1.default", "web-10.0.0.2.default"
    assert [(each["workload"], each["state"]) for each in logs if each["event"] == "registered workload"] == [
        (one, "in use"),
        (other, "in use"),
        (one, "draining"),
        (one, "in use"),
        (other, "draining"),
        (other, "forgotten"),
    ]


def test_what_is_said_again_costs_no_look_at_all_workloads(tmp_path: Path) -> None:
    """Each that is about to go says it with every report, and there may be a thousand."""

    async def story() -> tuple[Registration, ...]:
        registrar = Watched(tmp_path / "r.json")
        registrar.connected("a", ONE)
        registrar.connected("b", OTHER)
        registrar.says(ONE, live=False)
        registrar.registrations = ()
        registrar.says(ONE, live=False)
        return registrar.registrations

    assert asyncio.run(story()) == ()


def test_workloads_are_known_to_the_next_process(tmp_path: Path) -> None:
    """And those that do not come back are forgotten after the grace."""
    path = tmp_path / "r.json"
    write_registrations(path, [ONE, OTHER])

    async def story() -> tuple[tuple[Registration, ...], float, tuple[Registration, ...]]:
        registrar = Watched(path)
        at_first, learns_for = registrar.registrations, registrar.learns_for
        task = asyncio.create_task(registrar.run())
        registrar.connected("a", ONE)
        await registrar.changes()
        task.cancel()
        return at_first, learns_for, registrar.registrations

    assert asyncio.run(story()) == ((ONE, OTHER), 0.0, (ONE,))


def test_process_without_a_file_learns_for_a_while_who_is_there(tmp_path: Path) -> None:
    async def story() -> float:
        return Watched(tmp_path / "none.json", grace=10).learns_for

    assert 5 < asyncio.run(story()) <= 10


def test_stream_of_no_workload_changes_nothing(tmp_path: Path) -> None:
    async def story() -> bool:
        registrar = Watched(tmp_path / "r.json")
        registrar.connected("a", None)
        registrar.disconnected("a")
        return registrar.change.is_set()

    assert not asyncio.run(story())


def test_workloads_are_written_down_as_they_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "r.json"

    async def story() -> list[tuple[Registration, ...] | None]:
        registrar, written = Watched(path, grace=0), []
        registrar.connected("a", ONE)
        await registrar.settle()
        written.append(read_registrations(path))
        registrar.disconnected("a")
        await registrar.settle()
        written.append(read_registrations(path))
        return written

    assert asyncio.run(story()) == [(ONE,), ()]
