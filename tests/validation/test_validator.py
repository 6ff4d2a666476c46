"""Which units are refused, and how often Envoy is run for it. The Envoy here is a rule that the test states."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from xds_server.translate.unit import Unit, UnitKind
from xds_server.validation.envoy import Outcome, Verdict
from xds_server.validation.validator import Refused, Validator, find_validator
from xds_server.xds import type_url
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

VALID = Verdict(Outcome.VALID)
REFUSED = Verdict(Outcome.INVALID, "no good")
CRASHED = Verdict(Outcome.CRASHED, "ended by signal 11")
FAILED = Verdict(Outcome.FAILED, "no answer")


def listener(text: str) -> Unit:
    """A unit whose bytes are recognised in the bootstrap that holds it."""
    return Unit(UnitKind.LISTENER, text, text, text.encode())


def listeners(count: int, *, at: dict[int, str]) -> list[Unit]:
    """So many units, all good but for those at some places."""
    return [listener(at.get(number, f"good-{number}")) for number in range(count)]


def envoy(**verdicts: Verdict) -> Callable[[bytes], Awaitable[Verdict]]:
    """One that says the first of these verdicts whose word it finds, and "valid" when it finds none."""

    async def ask(bootstrap: bytes) -> Verdict:
        return next((verdict for word, verdict in verdicts.items() if word.encode() in bootstrap), VALID)

    return ask


def snapshot(*texts: str) -> Snapshot:
    """A snapshot with these listeners."""
    return Snapshot.of(Resource(type_url.LISTENER, text, text, text.encode()) for text in texts)


async def all_refused(validator: Validator, unknown: list[Unit]) -> set[str]:
    """Names of all that are refused, asked as `first_refused` says."""
    found = set()
    while (refused := await validator.first_refused(unknown)) is not None:
        found.add(refused.unit.name)
        unknown = [unit for unit in unknown if unit != refused.unit]
    return found


async def test_all_that_is_new_is_asked_at_once() -> None:
    validator = Validator(envoy())

    assert await validator.first_refused(listeners(3000, at={})) is None
    assert sum(validator.runs.values()) == 1


@pytest.mark.parametrize("place", [0, 1, 1234, 2047, 2999])
async def test_one_among_three_thousand_is_found_in_fourteen_runs(place: int) -> None:
    validator = Validator(envoy(bad=REFUSED))

    refused = await validator.first_refused(listeners(3000, at={place: "bad"}))

    assert refused == Refused(listener("bad"), "no good")
    assert sum(validator.runs.values()) <= 14


async def test_several_are_all_found() -> None:
    unknown = listeners(100, at={0: "bad-0", 50: "bad-50", 51: "bad-51", 99: "bad-99"})

    assert await all_refused(Validator(envoy(bad=REFUSED)), unknown) == {"bad-0", "bad-50", "bad-51", "bad-99"}


async def test_what_is_known_to_be_valid_is_not_asked_again() -> None:
    validator = Validator(envoy())
    await validator.first_refused(validator.unknown([snapshot("a", "b")]))

    assert [unit.name for unit in validator.unknown([snapshot("a", "b", "c")])] == ["c"]


async def test_what_two_snapshots_share_is_asked_once() -> None:
    validator = Validator(envoy())

    assert [unit.name for unit in validator.unknown([snapshot("a", "b"), snapshot("b", "c")])] == ["a", "b", "c"]


async def test_what_was_refused_once_is_refused_without_a_run() -> None:
    validator = Validator(envoy(bad=REFUSED))
    await validator.first_refused([listener("bad")])
    runs = sum(validator.runs.values())

    assert await validator.first_refused([listener("bad"), listener("good")]) == Refused(listener("bad"), "no good")
    assert sum(validator.runs.values()) == runs


async def test_what_makes_envoy_crash_is_sent_and_hides_no_other() -> None:
    validator = Validator(envoy(crash=CRASHED, bad=REFUSED))

    assert await all_refused(validator, listeners(50, at={7: "crash", 33: "bad"})) == {"bad"}
    assert validator.unknown([snapshot("crash")]) == ()


async def test_what_makes_envoy_crash_never_counts_as_valid() -> None:
    """It is asked again, by itself, whenever something changes."""
    word = {"crash": CRASHED}

    async def ask(bootstrap: bytes) -> Verdict:
        return await envoy(**word)(bootstrap)

    validator = Validator(ask)
    await validator.first_refused([listener("crash")])
    await validator.reconsider()
    still_passes = validator.unknown([snapshot("crash")])
    word["crash"] = REFUSED
    await validator.reconsider()

    assert still_passes == ()
    assert [unit.name for unit in validator.unknown([snapshot("crash")])] == ["crash"]


async def test_an_envoy_that_cannot_be_run_stops_nothing() -> None:
    validator = Validator(envoy(good=FAILED))

    assert await validator.first_refused(listeners(1000, at={})) is None
    assert sum(validator.runs.values()) == 1
    assert validator.unknown([snapshot("good-0")]) == ()


async def test_two_that_are_refused_only_together_are_both_sent() -> None:
    """Nothing speaks against either, and whom to keep out would be a guess."""

    async def ask(bootstrap: bytes) -> Verdict:
        return REFUSED if b"left" in bootstrap and b"right" in bootstrap else VALID

    validator = Validator(ask)

    assert await validator.first_refused(listeners(10, at={2: "left", 8: "right"})) is None


async def test_a_working_envoy_makes_a_validator(envoy_binary: Path) -> None:
    found = await find_validator(envoy_binary)

    assert isinstance(found, Validator)
    assert found.name == str(envoy_binary)


async def test_an_envoy_that_does_not_work_is_said_to_be_so(tmp_path: Path) -> None:
    """One that refused everything would have every policy kept out."""
    assert await find_validator(Path("/bin/true")) == (
        "/bin/true does not work: it does not answer --version as an Envoy does"
    )
    assert await find_validator(tmp_path / "none") == (
        f"{tmp_path}/none does not work: Envoy cannot be run: [Errno 2] No such file or directory: '{tmp_path}/none'"
    )
