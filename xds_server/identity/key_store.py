"""Private files: who may read them, and writing them so that a crash or a full disk leaves the old ones whole."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from pathlib import Path

from xds_server.errors import ConfigurationError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

_OTHERS = 0o077


def private_directory(path: Path, option: str = "--state-dir") -> Path:
    """`path`, made with mode 0700 where it is not there yet; `option` is what names another one.

    Raises:
        ConfigurationError: it cannot be made, is something else, or others may enter it; says what to run.
    """
    try:
        # Parents that are missing get the user's usual mode: they hold nothing of ours but this.
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(DIRECTORY_MODE)
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made: {error.strerror}; choose another with {option}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{path} must be a directory")
    _refuse_others(path, found, DIRECTORY_MODE)
    return path


def read_private(path: Path) -> bytes:
    """The content of a file that only its owner may read.

    Raises:
        FileNotFoundError: it is not there.
        ConfigurationError: others may read or write it, or it cannot be read; says what to run.
    """
    try:
        with path.open("rb") as file:
            # Of the open file, so that what is read is what was looked at.
            _refuse_others(path, os.fstat(file.fileno()), FILE_MODE)
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def write_private(path: Path, data: bytes, *, owner: tuple[int, int] | None = None) -> None:
    """Put `data` at `path` with mode 0600, whole or not at all, and on the disk before this returns.

    Args:
        path: its directory must be there.
        data: the whole content.
        owner: (user id, group id) to give it to, before anybody can see it.

    Raises:
        OSError: it could not be written (a full disk, a read-only mount); what was there before still is.
    """
    # mkstemp makes it 0600 from the first moment on.
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(descriptor, *owner)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make a rename in `path` last over a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_others(path: Path, found: os.stat_result, mode: int) -> None:
    loose = stat.S_IMODE(found.st_mode) & _OTHERS
    if loose:
        raise ConfigurationError(
            f"{path} holds or may hold private keys and others may use it (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"run: chmod {mode:04o} {shlex.quote(str(path))}"
        )
