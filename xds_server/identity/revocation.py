"""Nodes whose credentials are no longer believed: one small file each, written by the command, watched by the server.

A revocation names a moment: what was issued up to then is void, what `enroll` issues afterwards is good. A file that
cannot be read voids everything of its node: a mistake never lets anybody in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from xds_server.identity.key_store import private_directory, write_private
from xds_server.identity.principal import Proof

log = structlog.get_logger(__name__)

Revoked = Mapping[str, datetime]
"""By NAME.NAMESPACE, the moment up to which its credentials are void."""

_FOREVER = datetime.max.replace(tzinfo=UTC)


def revoke(directory: Path, label: str, now: datetime) -> None:
    """Void what was issued to the node NAME.NAMESPACE up to `now`.

    Raises:
        ConfigurationError: the directory is not private.
        OSError: the disk does not take it.
    """
    write_private(private_directory(directory) / label, now.astimezone(UTC).isoformat().encode())


def read_revoked(directory: Path) -> Revoked:
    """Everything revoked; nothing where there is no such directory."""
    try:
        return {path.name: _moment(path) for path in directory.iterdir() if not path.name.startswith(".")}
    except FileNotFoundError:
        return {}


def is_revoked(proof: Proof, revoked: Revoked) -> bool:
    """Whether a node's credential was issued before its node was last revoked."""
    moment = revoked.get(proof.principal.label)
    return moment is not None and proof.issued <= moment


def _moment(path: Path) -> datetime:
    try:
        return datetime.fromisoformat(path.read_text().strip()).astimezone(UTC)
    except (OSError, ValueError):
        log.error("revocation cannot be read; the node stays out", path=str(path))
        return _FOREVER
