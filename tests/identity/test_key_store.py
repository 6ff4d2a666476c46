"""Keys on disk: private from the first moment, whole after any crash."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from xds_server.errors import ConfigurationError
from xds_server.identity.key_store import private_directory, read_private, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    made = private_directory(tmp_path / "a" / "state")

    assert mode(made) == 0o700
    assert private_directory(made) == made


def test_file_is_written_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "key.pem", b"key")
    finally:
        os.umask(before)

    assert mode(tmp_path / "key.pem") == 0o600
    assert read_private(tmp_path / "key.pem") == b"key"


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_loose_key_is_refused_with_the_command_that_mends_it(loose: int, tmp_path: Path) -> None:
    path = tmp_path / "the key.pem"
    write_private(path, b"canary")
    path.chmod(loose)

    with pytest.raises(ConfigurationError) as raised:
        read_private(path)

    text = str(raised.value)
    assert "canary" not in text
    subprocess.run(text.partition("run: ")[2], shell=True, check=True)  # noqa: S602 - the user would paste it
    assert read_private(path) == b"canary"


def test_loose_directory_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = private_directory(tmp_path / "state")
    path.chmod(0o750)

    with pytest.raises(ConfigurationError, match="chmod 0700") as raised:
        private_directory(path)

    subprocess.run(str(raised.value).partition("run: ")[2], shell=True, check=True)  # noqa: S602 - as above
    private_directory(path)


def test_directory_that_cannot_be_made_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="--state-dir"):
        private_directory(tmp_path / "file" / "state")


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "none")


def test_disk_that_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    path = tmp_path / "key.pem"
    write_private(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            write_private(path, b"a new and longer key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]
