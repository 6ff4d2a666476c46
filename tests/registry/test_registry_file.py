"""The registered workloads on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds_server.mesh.registration import Registration
from xds_server.mesh.service import Locality
from xds_server.registry.registry_file import read_registrations, write_registrations

FULL = Registration(
    namespace="shop",
    group="web",
    address="10.0.0.1",
    ports=(("http", 8080),),
    labels=(("app", "web"),),
    locality=Locality("eu", "eu-1", "a"),
    weight=3,
    network="n",
    service_account="web",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "registrations.json"
    write_registrations(path, [FULL, Registration("default", "db", "10.0.0.2")])

    assert read_registrations(path) == (FULL, Registration("default", "db", "10.0.0.2"))
    assert [found.name for found in path.parent.iterdir()] == ["registrations.json"]


def test_none_and_no_file_are_told_apart(tmp_path: Path) -> None:
    """An empty list says that nobody was there; no file says nothing."""
    path = tmp_path / "registrations.json"
    missing = read_registrations(path)
    write_registrations(path, [])

    assert (missing, read_registrations(path)) == (None, ())


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"namespace": 1}]'])
def test_file_that_makes_no_sense_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registrations.json"
    path.write_text(text)

    assert read_registrations(path) is None
