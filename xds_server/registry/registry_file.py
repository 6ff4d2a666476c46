"""The registered workloads on disk, so that a server that starts again knows them before they are back.

Nothing secret is in it. A file that cannot be read is as good as none: proxies come back by themselves.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from xds_server.mesh.registration import Registration

log = structlog.get_logger(__name__)

_FORM = TypeAdapter(tuple[Registration, ...])


def read_registrations(path: Path) -> tuple[Registration, ...] | None:
    """What is written at `path`; None when nothing is, or nothing that makes sense."""
    try:
        return _FORM.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("registered workloads not restored", path=str(path), error=str(error))
        return None


def write_registrations(path: Path, registrations: Iterable[Registration]) -> None:
    """Put them at `path`, whole or not at all; its directory is made when it is missing.

    Raises:
        OSError: they could not be written; what was there before still is.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_FORM.dump_json(tuple(registrations), indent=1))
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
