"""Changing the mesh's root under traffic: three phases, each left only when every proxy has confirmed it.

    trust-both   everybody believes the old root and the new; certificates still come from the old
    issue-new    certificates come from the new
    drop-old     nobody believes the old any more; the new authority takes its place on disk

In this order no handshake fails. What is under way stands in the state directory (`rotation.json`, and the new
authority in `ca-next`), so that a server that dies goes on where it was.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from xds_server.errors import ConfigurationError
from xds_server.identity.authority import Authority, fingerprint
from xds_server.identity.authority_files import read_authority, write_authority
from xds_server.identity.key_store import write_private

CURRENT, NEXT, STATE = "ca", "ca-next", "rotation.json"
"""Names in the state directory."""


class Phase(enum.StrEnum):
    """How far a rotation is; in this order."""

    TRUST_BOTH = "trust-both"
    ISSUE_NEW = "issue-new"
    DROP_OLD = "drop-old"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation under way.

    Attributes:
        since: when the phase began; aware.
        grace: the least time in each phase, for proxies that are not connected: they confirm nothing, and what they
            hold stays good until their certificates expire.
    """

    phase: Phase
    since: datetime
    grace: timedelta

    def next(self, now: datetime, *, confirmed: bool) -> Rotation | None:
        """The next phase, or None to stay; `confirmed` says that every connected proxy took this phase's secrets."""
        if not confirmed or now < self.since + self.grace or self.phase is Phase.DROP_OLD:
            return None
        following = Phase.ISSUE_NEW if self.phase is Phase.TRUST_BOTH else Phase.DROP_OLD
        return replace(self, phase=following, since=now)


@dataclass(frozen=True, slots=True, eq=False)
class MeshAuthority:
    """Who signs and who is believed, at this moment.

    Attributes:
        current: the authority on disk.
        following: the one that takes its place; None when no rotation is under way.
    """

    current: Authority
    following: Authority | None = None
    rotation: Rotation | None = None

    @property
    def signer(self) -> Authority:
        """Who signs certificates now."""
        if self.following is None or self.rotation is None or self.rotation.phase is Phase.TRUST_BOTH:
            return self.current
        return self.following

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """Whom every workload believes now."""
        if self.following is None or self.rotation is None:
            return self.current.roots
        return tuple(dict.fromkeys((*self.current.roots, *self.following.roots)))


def begin_rotation(state: Path, following: Authority, now: datetime, grace: timedelta) -> None:
    """Ask the server on this state directory for a rotation; it begins within a second, or when it next starts.

    Raises:
        ConfigurationError: one is under way, nothing is there to rotate from, or the disk does not take it.
    """
    if (state / STATE).exists():
        raise ConfigurationError(f"a rotation is under way; {state / STATE} says how far it is")
    current = read_authority(state / CURRENT, now)
    if set(following.roots) <= set(current.roots):
        raise ConfigurationError("the new authority has the same roots as the old; nothing needs to be rotated")
    try:
        write_authority(state / NEXT, following)
        write_rotation(state, Rotation(Phase.TRUST_BOTH, now, grace))
    except FileExistsError:
        raise ConfigurationError(f"{state / NEXT} is left over from a rotation that never began; remove it") from None
    except OSError as error:
        raise ConfigurationError(f"{state / STATE} cannot be written: {error.strerror}") from None


def read_rotation(state: Path) -> Rotation | None:
    """The rotation under way.

    Raises:
        ConfigurationError: its file cannot be understood.
    """
    path = state / STATE
    try:
        found = json.loads(path.read_text())
        return Rotation(
            Phase(found["phase"]), datetime.fromisoformat(found["since"]), timedelta(seconds=found["grace"])
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be understood ({error}); it was not written by this program") from None


def write_rotation(state: Path, rotation: Rotation) -> None:
    """Put down how far a rotation is.

    Raises:
        OSError: the disk does not take it; the rotation stays where it was.
    """
    fields = {
        "phase": str(rotation.phase),
        "since": rotation.since.astimezone(UTC).isoformat(),
        "grace": rotation.grace.total_seconds(),
    }
    write_private(state / STATE, json.dumps(fields).encode())


def load_mesh_authority(state: Path, now: datetime) -> MeshAuthority:
    """Who signs and who is believed, by what is on disk. In the last phase, the new authority is put in place first.

    Raises:
        ConfigurationError: see `read_authority`; or the disk does not take it.
    """
    rotation = read_rotation(state)
    if rotation is None:
        return MeshAuthority(read_authority(state / CURRENT, now))
    if rotation.phase is Phase.DROP_OLD:
        _finish(state, now)
        return MeshAuthority(read_authority(state / CURRENT, now))
    return MeshAuthority(read_authority(state / CURRENT, now), read_authority(state / NEXT, now), rotation)


def _finish(state: Path, now: datetime) -> None:
    """Put the new authority in the place of the old, which is kept. Any step may be the last before a crash."""
    current, following = state / CURRENT, state / NEXT
    try:
        if following.exists():
            if current.exists():
                current.rename(state / f"ca-until-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
            following.rename(current)
        (state / STATE).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the rotation in {state} cannot be finished: {error.strerror}") from None


def described(authority: Authority) -> dict[str, object]:
    """What may be shown of an authority: names, dates and fingerprints, no key."""
    return {
        "subject": authority.certificate.subject.rfc4514_string(),
        "fingerprint": fingerprint(authority.certificate),
        "expires": authority.certificate.not_valid_after_utc.isoformat(),
        "roots": [
            {"fingerprint": fingerprint(root), "expires": root.not_valid_after_utc.isoformat()}
            for root in authority.roots
        ],
    }
