"""Who proxies are and what proves it to others, wired: the TLS of the port, each proxy's secrets, what changes them.

What is decided is decided in `identity/`. Here it meets the hub, the port and the state directory, which the commands
`enroll`, `revoke` and `ca rotate` write and a running server looks at several times a second.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import structlog

from xds_server.errors import ConfigurationError, ProtocolViolation, UnusableIdentity
from xds_server.identity.authentication import admitted, certificate_proof, token_proof
from xds_server.identity.authority import Authority, new_key, new_root, pem
from xds_server.identity.authority_files import ensure_authority
from xds_server.identity.identity_files import IdentityFiles
from xds_server.identity.issuer import Issuer
from xds_server.identity.key_store import private_directory
from xds_server.identity.principal import Principal, claim_checked, proved_workload
from xds_server.identity.revocation import Revoked, read_revoked
from xds_server.identity.root_rotation import (
    CURRENT,
    STATE,
    Rotation,
    described,
    load_mesh_authority,
    read_rotation,
    write_rotation,
)
from xds_server.identity.server_certificate import ServerCertificate
from xds_server.identity.svid import Svid
from xds_server.mesh.identity import Credentials, TrustDomain
from xds_server.mesh.workload import Workload
from xds_server.server.hub import Hub, Peer, Proxy
from xds_server.server.status import StatusBoard
from xds_server.server.tls import PortCertificate, port_credentials
from xds_server.settings import Authentication, Settings
from xds_server.translate.secret import IDENTITY, ROOTS, secrets
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import CLUSTER, LISTENER, SECRET

log = structlog.get_logger(__name__)

NODE_AUTHORITY, REVOKED, ENROLLED = "node-ca", "revoked", "enrolled"
"""Names in the state directory."""

_INTERVAL = 0.25
"""Seconds between two looks at the state directory."""
_SETTLED = 1_000_000_000
"""Age in ns from which a time of change is sure to tell: file systems write the same one for some milliseconds."""
_OWN_SECRETS = frozenset({IDENTITY, ROOTS})


class InWorker(Protocol):
    """Runs a call in the thread that makes snapshots."""

    def __call__(self, call: Callable[..., Any], /, *args: Any) -> Awaitable[Any]:
        """What the call gives."""


@dataclass(frozen=True, slots=True)
class State:
    """What the state directory holds beside the authority of workload certificates (`root_rotation`).

    Attributes:
        nodes: signs node credentials and the control plane's own certificate, and nothing that workloads believe.
    """

    directory: Path
    nodes: Authority
    revoked: Revoked


def open_state(directory: Path, domain: TrustDomain, now: datetime) -> State:
    """The state directory; both authorities are made when neither they nor a rotation between two are there yet.

    Raises:
        ConfigurationError: it cannot be used; says what to do.
    """
    private_directory(directory)
    if not (directory / STATE).exists():  # its last step moves the authority
        ensure_authority(directory / CURRENT, lambda: new_root("mesh root", domain.name, now, key=new_key()), now)
    nodes = ensure_authority(
        directory / NODE_AUTHORITY, lambda: new_root("node root", domain.name, now, key=new_key()), now
    )
    return State(directory, nodes, read_revoked(directory / REVOKED))


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


class Security:
    """Everything about identity that a running server does.

    `secrets_for` and what it calls run in the worker thread, `authenticate` and `admit` on the event loop; what both
    use is replaced whole.

    Raises:
        ConfigurationError: the state directory or the identity directory cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        board: StatusBoard,
        in_worker: InWorker,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._board = board
        self._in_worker = in_worker
        self._clock = clock
        self._domain = self._of_workloads = settings.trust
        self._state = open_state(settings.state_dir, self._domain, clock())
        self._mesh = load_mesh_authority(settings.state_dir, clock())
        self._revoked = self._state.revoked
        self._revoked_at = self._rotated_at = -1
        self._port = ServerCertificate(self._state.nodes, self._domain, clock=clock, random=random.random)
        self._due: frozenset[str] = frozenset()
        files = settings.identity_dir
        if files is not None and not files.is_dir():
            raise ConfigurationError(f"--identity-dir {files} is no directory")
        self._issuer = Issuer(
            lambda: self._mesh,
            clock=clock,
            random=random.random,
            lifetime=timedelta(seconds=settings.certificate_lifetime),
            kind=settings.key_type,
            files=IdentityFiles(files, lambda: self._of_workloads) if files is not None else None,
        )
        self._made: dict[str, _Made] = {}
        self._turned_away = _TurnedAway()

    def port_credentials(self) -> Any:
        """Credentials of the xDS port, for gRPC; None where nobody is asked who they are."""
        how = self._settings.authentication
        if how is Authentication.NONE:
            return None
        return port_credentials(
            lambda: _port_certificate(self._port.current()),
            require_client_certificate=how is Authentication.CERTIFICATE,
        )

    def authenticate(self, peer: Peer) -> str:
        """See `ads.Authenticate`: the principal, "" where nobody is asked."""
        how, now = self._settings.authentication, self._clock()
        if how is Authentication.NONE:
            return ""
        try:
            if how is Authentication.CERTIFICATE:
                proof = certificate_proof(peer.certificate, now)
            else:
                proof = token_proof(
                    peer.metadata.get("authorization", ""), self._state.nodes.certificate, self._domain, now
                )
            principal = admitted(proof, self._domain, self._revoked)
        except UnusableIdentity as error:
            if self._turned_away.is_new(peer, str(error), now):
                log.warning("peer turned away", peer=peer.address, reason=str(error))
            raise ProtocolViolation("UNAUTHENTICATED", str(error)) from None
        if proof.ends_soon(now):
            log.warning("node must be enrolled again soon", node=principal.label, expires=proof.expires.isoformat())
        return str(principal)

    def admit(self, proxy: Proxy) -> None:
        """See `ads.Admit`."""
        if not proxy.principal:
            return
        try:
            claim_checked(Principal.parse(proxy.principal), proxy.node)
        except UnusableIdentity as error:
            if self._turned_away.is_new(proxy.peer, str(error), self._clock()):
                log.warning("node turned away", peer=proxy.peer.address, principal=proxy.principal, reason=str(error))
            raise ProtocolViolation("PERMISSION_DENIED", str(error)) from None

    def honour(self, aliases: Iterable[str]) -> None:
        """Honour these names of the trust domain between workloads, beside those of the settings, from now on.

        Not at the port: no policy file decides who may ask for configuration.
        """
        self._of_workloads = self._domain.with_aliases(aliases)

    def workload(self, proxy: Proxy, claimed: Workload) -> Workload:
        """The workload behind a proxy: as it proved, and as it says only where nobody is asked to prove anything."""
        return proved_workload(Principal.parse(proxy.principal), claimed) if proxy.principal else claimed

    async def secured(
        self, proxies: Sequence[Proxy], workloads: Sequence[Workload], snapshots: Sequence[Snapshot | None]
    ) -> Sequence[Snapshot | None]:
        """The snapshots with each proxy's own secrets; the same objects as before where nothing changed."""
        found: Sequence[Snapshot | None] = await self._in_worker(self._secured, proxies, workloads, snapshots)
        return found

    async def run(self) -> None:
        """Follow the state directory and the clock until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            # Each by itself: a revocation does not wait for the worker, which may be compiling a large mesh.
            tasks.create_task(_repeat(self._follow_revocations))
            tasks.create_task(_repeat(self._follow_credentials))

    def described(self) -> dict[str, object]:
        """For /debug/ca: authorities, the rotation under way, what expires when. No keys."""
        mesh, rotation = self._mesh, self._mesh.rotation
        return {
            "trust_domain": self._domain.name,
            "trust_domain_aliases": list(self._of_workloads.aliases),
            "authority": described(mesh.current),
            "rotation": {
                "phase": str(rotation.phase) if rotation else "none",
                "since": rotation.since.isoformat() if rotation else None,
                "not_before": (rotation.since + rotation.grace).isoformat() if rotation else None,
                "following": described(mesh.following) if mesh.following else None,
                "waiting_for": list(self._waiting_for()) if rotation else [],
            },
            "node_authority": described(self._state.nodes),
            "port_certificate_expires": self._port.current().leaf.not_valid_after_utc.isoformat(),
            "certificates": {node_id: end.isoformat() for node_id, end in sorted(self._issuer.expiries.items())},
            "revoked": {label: moment.isoformat() for label, moment in sorted(self._revoked.items())},
        }

    def _secured(
        self, proxies: Sequence[Proxy], workloads: Sequence[Workload], snapshots: Sequence[Snapshot | None]
    ) -> list[Snapshot | None]:
        return [
            snapshot and self._with_secrets(snapshot, proxy.node.id, workload)
            for proxy, workload, snapshot in zip(proxies, workloads, snapshots, strict=True)
        ]

    def _with_secrets(self, snapshot: Snapshot, node_id: str, workload: Workload) -> Snapshot:
        """Without credentials Envoy waits for the secrets that a listener or cluster names, and serves neither."""
        credentials = self._credentials(node_id, workload) if _needs_secrets(snapshot) else None
        if credentials is None:
            self._made.pop(node_id, None)
            if not _needs_secrets(snapshot):
                self._issuer.forget(node_id)
            return snapshot
        made = self._made.get(node_id)
        if made is None or made.snapshot.shared is not snapshot or made.credentials is not credentials:
            made = self._made[node_id] = _Made(credentials, snapshot.with_secrets(secrets(credentials)))
        return made.snapshot

    def _credentials(self, node_id: str, workload: Workload) -> Credentials | None:
        try:
            identity = self._domain.identity(workload.namespace, workload.service_account)
        except ValueError as error:
            log.error("no identity for a proxy; what needs one is not served to it", node_id=node_id, error=str(error))
            return None
        return self._issuer.credentials(node_id, workload.name, identity)

    async def _follow_revocations(self) -> None:
        directory = self._state.directory / REVOKED
        stamp = _changed_at(directory)
        if stamp == self._revoked_at and stamp < time.time_ns() - _SETTLED:
            return
        revoked = await asyncio.to_thread(read_revoked, directory)
        newly = frozenset(label for label, moment in revoked.items() if self._revoked.get(label) != moment)
        self._revoked, self._revoked_at = revoked, stamp
        if newly:
            log.info("revoked", nodes=sorted(newly))
            self._hub.refuse(
                lambda proxy: bool(proxy.principal) and Principal.parse(proxy.principal).label in newly,
                ProtocolViolation("UNAUTHENTICATED", "the credentials of this node are revoked"),
            )

    async def _follow_credentials(self) -> None:
        connected = frozenset(proxy.node.id for proxy in self._hub.proxies())
        due = self._due = await self._in_worker(self._now_due, connected)
        if due:
            self._hub.refresh(lambda proxy: proxy.node.id in due)
        elif (rotation := self._mesh.rotation) is not None:
            confirmed = self._hub.is_idle and not self._board.waiting_for(SECRET)
            if (following := rotation.next(self._clock(), confirmed=confirmed)) is not None:
                await self._in_worker(self._advance, following)

    def _now_due(self, connected: frozenset[str]) -> frozenset[str]:
        """In the worker: node ids whose credentials are due."""
        if (stamp := _changed_at(self._state.directory / STATE)) != self._rotated_at:
            self._rotated_at = stamp
            self._take_up()
        for node_id in self._made.keys() - connected:
            del self._made[node_id]
        return self._issuer.due(connected)

    def _advance(self, following: Rotation) -> None:
        """In the worker. A disk that does not take it leaves the rotation where it is, to be tried again."""
        try:
            write_rotation(self._state.directory, following)
        except OSError as error:
            log.error("rotation of the root waits for the disk", phase=str(following.phase), error=str(error))
            return
        self._take_up()
        self._rotated_at = _changed_at(self._state.directory / STATE)

    def _take_up(self) -> None:
        """Go on with the rotation that is on disk, if that is another than the one under way."""
        try:
            if read_rotation(self._state.directory) == self._mesh.rotation:
                return
            self._mesh = load_mesh_authority(self._state.directory, self._clock())
        except ConfigurationError as error:
            log.error("authority not taken up; the one in force stays", error=str(error))
            return
        rotation = self._mesh.rotation
        log.info("root", phase=str(rotation.phase) if rotation else "settled", roots=len(self._mesh.roots))

    def _waiting_for(self) -> tuple[str, ...]:
        return tuple(sorted(self._due.union(self._board.waiting_for(SECRET))))


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A snapshot with secrets, and the credentials that it was made with."""

    credentials: Credentials
    snapshot: Snapshot


class _TurnedAway:
    """Of whom it was said: an Envoy comes back with every report of its metrics, by a new connection each time."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], datetime] = {}

    def is_new(self, peer: Peer, reason: str, now: datetime) -> bool:
        """Whether it is to be said of this address, for the first time or once more; it counts as said then."""
        key = (peer.ip or peer.address, reason)
        said = self._said.get(key)
        if said is not None and now - said < _SAID_AGAIN:
            return False
        self._said.pop(key, None)
        self._said[key] = now
        if len(self._said) > _MOST_SAID:
            del self._said[next(iter(self._said))]
        return True


_SAID_AGAIN = timedelta(minutes=5)
_MOST_SAID = 1000
"""Addresses, each with a reason, that are remembered."""


@lru_cache(maxsize=2)
def _port_certificate(svid: Svid) -> PortCertificate:
    credentials = svid.credentials()
    return PortCertificate(credentials.certificate_chain, credentials.private_key, pem(svid.roots))


def _needs_secrets(snapshot: Snapshot) -> bool:
    return any(not _OWN_SECRETS.isdisjoint(snapshot.set_of(url).needs(SECRET)) for url in (CLUSTER, LISTENER))


async def _repeat(look: Callable[[], Awaitable[None]]) -> None:
    """Look again and again; a failure of ours leaves everything as it is."""
    while True:
        await asyncio.sleep(_INTERVAL)
        try:
            await look()
        except Exception:
            log.exception("state directory not taken up; what was in force stays")


def _changed_at(path: Path) -> int:
    """When a file or a directory last changed, in ns; 0 when it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
