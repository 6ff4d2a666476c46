"""The credentials of every connected workload: made when first asked for, renewed in time, kept in memory only.

Each proxy has a key of its own, even where several have one identity. What is handed out again is the same object for
as long as nothing about it changed, because snapshots are remembered by it. Not for two threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog
from cryptography import x509

from xds_server.errors import UnusableIdentity
from xds_server.identity.authority import LEAF_LIFETIME, issue, new_key
from xds_server.identity.identity_files import IdentityFiles, Stamps
from xds_server.identity.root_rotation import MeshAuthority
from xds_server.identity.rotation import Random, renewal_time
from xds_server.identity.svid import Svid
from xds_server.mesh.identity import Credentials, KeyKind, SpiffeId, TrustDomain

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
"""The time, aware."""

_Basis = tuple[MeshAuthority, Stamps, TrustDomain | None]

_RETRY = timedelta(seconds=10)
"""Between two attempts to renew what could not be renewed."""
MOST_AWAY = 10_000
"""Proxies that are remembered though they are not connected: replicas come under ever new names, and seldom return."""


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Held:
    """What one proxy holds.

    Attributes:
        svid, credentials: None when there was nothing usable yet.
        renew_at: when to look again.
        basis: what `credentials` were made with: the authority, the state of the files, whose certificates they may be.
    """

    name: str
    identity: SpiffeId
    svid: Svid | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    renew_at: datetime = _LONG_AGO
    basis: _Basis | None = None


class Issuer:
    """Hands out credentials by node id.

    Args:
        authority: who signs and who is believed; asked anew each time.
        clock: see `Clock`.
        random: for the jitter of renewals.
        lifetime: of the certificates made here.
        kind: of the keys made here.
        files: identities that somebody else makes, which win; None for none.
        most_away: see `MOST_AWAY`; of more, those that came first are forgotten.
    """

    def __init__(
        self,
        authority: Callable[[], MeshAuthority],
        *,
        clock: Clock,
        random: Random,
        lifetime: timedelta = LEAF_LIFETIME,
        kind: KeyKind = KeyKind.EC_P256,
        files: IdentityFiles | None = None,
        most_away: int = MOST_AWAY,
    ) -> None:
        self._authority = authority
        self._clock = clock
        self._random = random
        self._lifetime = lifetime
        self._kind = kind
        self._files = files
        self._most_away = most_away
        self._held: dict[str, _Held] = {}
        self._stamps: Stamps = files.stamps() if files else {}
        self._shared: tuple[x509.Certificate, ...] = ()
        self._shared = self._shared_roots()

    def credentials(self, node_id: str, name: str, identity: SpiffeId) -> Credentials | None:
        """What the proxy `node_id` is to hold now, renewed if that is due; None when it cannot be given any.

        Args:
            node_id: what the answer is remembered by.
            name: of its workload.
            identity: what it was proved, or is believed, to be.
        """
        held = self._held.get(node_id)
        if held is None or (held.name, held.identity) != (name, identity):
            held = self._held[node_id] = _Held(name, identity)
        now = self._clock()
        if self._is_due(held, now):
            self._renew(node_id, held, now)
        return held.credentials if held.svid is not None and _is_unexpired(held.svid, now) else None

    def due(self, connected: Collection[str]) -> frozenset[str]:
        """Those of these node ids whose credentials may change when they are asked for now.

        What proxies held that are not connected is kept for their return until it would have to be renewed.
        """
        now = self._clock()
        if self._files is not None and (stamps := self._files.stamps()) != self._stamps:
            self._stamps, self._shared = stamps, self._shared_roots()
        due = frozenset(node_id for node_id, held in self._held.items() if self._is_due(held, now))
        away = [node_id for node_id in self._held if node_id not in connected]
        for node_id in due.difference(connected).union(away[: max(0, len(away) - self._most_away)]):
            del self._held[node_id]
        return due.intersection(connected)

    def forget(self, node_id: str) -> None:
        """Drop what this proxy held: it needs nothing any more."""
        self._held.pop(node_id, None)

    @property
    def expiries(self) -> dict[str, datetime]:
        """By node id, when the certificate that it holds expires."""
        return {node_id: held.svid.leaf.not_valid_after_utc for node_id, held in self._held.items() if held.svid}

    def _is_due(self, held: _Held, now: datetime) -> bool:
        return held.renew_at <= now or held.basis != self._basis()

    def _basis(self) -> _Basis:
        return self._authority(), self._stamps, self._files.domain() if self._files is not None else None

    def _renew(self, node_id: str, held: _Held, now: datetime) -> None:
        """Look again at what `held` should be; when that fails, what there was stays."""
        held.basis = self._basis()
        try:
            svid, renew_at = self._svid(held, now)
            svid.check(now)
        except (UnusableIdentity, ValueError) as error:
            log.error(
                "identity not renewed; what the proxy holds stays until it expires",
                node_id=node_id,
                identity=str(held.identity),
                error=str(error),
            )
            held.renew_at = now + _RETRY
            return
        held.svid, held.renew_at = svid, renew_at
        credentials = svid.credentials((*self._authority().roots, *self._shared))
        if credentials != held.credentials:
            held.credentials = credentials

    def _svid(self, held: _Held, now: datetime) -> tuple[Svid, datetime]:
        """What the workload is to hold, and when to look again."""
        place = self._files.place(held.name, held.identity) if self._files is not None else None
        if self._files is not None and place is not None:
            svid = self._files.read(place, now)
            return svid, svid.leaf.not_valid_after_utc  # whoever renews the files is noticed by their stamps
        authority = self._authority()
        if (
            held.svid is not None
            and now < held.renew_at
            and held.svid.leaf.issuer == authority.signer.certificate.subject
        ):
            return replace(held.svid, roots=authority.roots), held.renew_at
        key, signer = new_key(self._kind), authority.signer
        leaf = issue(signer, key.public_key(), held.identity, now, lifetime=self._lifetime)
        log.info("identity issued", identity=str(held.identity), expires=leaf.not_valid_after_utc.isoformat())
        renew_at = renewal_time(now, leaf.not_valid_after_utc, self._random)
        return Svid((leaf, *signer.presented), key, authority.roots), renew_at

    def _shared_roots(self) -> tuple[x509.Certificate, ...]:
        try:
            return self._files.shared_roots() if self._files is not None else ()
        except UnusableIdentity as error:
            log.error("shared roots not taken up; the last good ones stay", error=str(error))
            return self._shared


def _is_unexpired(svid: Svid, now: datetime) -> bool:
    return all(now < certificate.not_valid_after_utc for certificate in svid.certificates)
