"""Three phases, in order, over any crash."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.identity.material import NOW, root
from xds_server.errors import ConfigurationError
from xds_server.identity.authority_files import read_authority, write_authority
from xds_server.identity.root_rotation import (
    CURRENT,
    NEXT,
    STATE,
    MeshAuthority,
    Phase,
    Rotation,
    begin_rotation,
    described,
    load_mesh_authority,
    write_rotation,
)

OLD, NEW = root(), root()
HOUR = timedelta(hours=1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory whose authority is OLD."""
    (tmp_path / "state").mkdir(0o700)
    write_authority(tmp_path / "state" / CURRENT, OLD)
    return tmp_path / "state"


def in_phase(state: Path, phase: Phase) -> MeshAuthority:
    begin_rotation(state, NEW, NOW, HOUR)
    write_rotation(state, Rotation(phase, NOW, HOUR))
    return load_mesh_authority(state, NOW)


def test_without_a_rotation_the_authority_signs_and_is_believed(state: Path) -> None:
    mesh = load_mesh_authority(state, NOW)

    assert (mesh.signer.certificate, mesh.roots, mesh.rotation) == (OLD.certificate, OLD.roots, None)


def test_first_both_are_believed_and_the_old_signs(state: Path) -> None:
    mesh = in_phase(state, Phase.TRUST_BOTH)

    assert mesh.signer.certificate == OLD.certificate
    assert set(mesh.roots) == {OLD.certificate, NEW.certificate}


def test_then_the_new_signs_and_both_are_believed(state: Path) -> None:
    mesh = in_phase(state, Phase.ISSUE_NEW)

    assert mesh.signer.certificate == NEW.certificate
    assert set(mesh.roots) == {OLD.certificate, NEW.certificate}


def test_at_last_the_new_is_the_only_one_and_the_old_is_kept_beside_it(state: Path) -> None:
    mesh = in_phase(state, Phase.DROP_OLD)

    assert (mesh.signer.certificate, mesh.roots, mesh.rotation) == (NEW.certificate, NEW.roots, None)
    assert sorted(path.name for path in state.iterdir()) == ["ca", "ca-until-20300101T120000Z"]
    assert read_authority(state / "ca-until-20300101T120000Z", NOW).certificate == OLD.certificate


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_last_phase_is_finished_by_whoever_starts_next(steps: int, state: Path) -> None:
    """A crash after any step of putting the new authority in place."""
    begin_rotation(state, NEW, NOW, HOUR)
    write_rotation(state, Rotation(Phase.DROP_OLD, NOW, HOUR))
    if steps > 0:
        (state / CURRENT).rename(state / "ca-until-now")
    if steps > 1:
        (state / NEXT).rename(state / CURRENT)

    mesh = load_mesh_authority(state, NOW)

    assert mesh.roots == NEW.roots
    assert not (state / STATE).exists()


@pytest.mark.parametrize(
    ("phase", "later", "confirmed", "following"),
    [
        (Phase.TRUST_BOTH, HOUR, True, Phase.ISSUE_NEW),
        (Phase.TRUST_BOTH, HOUR, False, None),
        (Phase.TRUST_BOTH, HOUR / 2, True, None),
        (Phase.ISSUE_NEW, HOUR, True, Phase.DROP_OLD),
        (Phase.ISSUE_NEW, 10 * HOUR, False, None),
        (Phase.DROP_OLD, HOUR, True, None),
    ],
    ids=str,
)
def test_phase_is_left_when_all_confirmed_and_the_grace_is_over(
    phase: Phase, later: timedelta, confirmed: bool, following: Phase | None
) -> None:
    found = Rotation(phase, NOW, HOUR).next(NOW + later, confirmed=confirmed)

    assert found == (Rotation(following, NOW + later, HOUR) if following else None)


def test_second_rotation_waits_for_the_first(state: Path) -> None:
    begin_rotation(state, NEW, NOW, HOUR)

    with pytest.raises(ConfigurationError, match="under way"):
        begin_rotation(state, root(), NOW, HOUR)


def test_rotation_to_the_same_root_is_refused(state: Path) -> None:
    with pytest.raises(ConfigurationError, match="same roots"):
        begin_rotation(state, OLD, NOW, HOUR)


def test_file_that_is_not_ours_is_named(state: Path) -> None:
    for text in ("", "[]", json.dumps({"phase": "x", "since": NOW.isoformat(), "grace": 1})):
        (state / STATE).write_text(text)

        with pytest.raises(ConfigurationError, match=r"rotation\.json cannot be understood"):
            load_mesh_authority(state, NOW)


def test_description_has_dates_and_fingerprints_and_no_key() -> None:
    shown = described(OLD)

    assert datetime.fromisoformat(str(shown["expires"])) == OLD.certificate.not_valid_after_utc
    assert "KEY" not in json.dumps(shown).upper().replace("KEYID", "")
