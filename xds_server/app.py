"""Wires the parts, owns every task and the order in which they end; the only module that knows all layers.

Heavy work (reading, compiling, translating) runs in one worker thread on frozen values; the event loop moves bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import ParamSpec, TypeVar

import structlog

from xds_server import __version__
from xds_server.admission import MOST_LOOKED_AT, Admission
from xds_server.compiler.premises import Environment, Premises
from xds_server.debug.app import debug_app
from xds_server.debug.metrics import Metrics
from xds_server.debug.otlp_http import otlp_app
from xds_server.debug.refusals import refusals
from xds_server.debug.serve import serve_debug
from xds_server.debug.sources import Sources, Validation
from xds_server.garbage import collection_paused, set_aside
from xds_server.identity.credential_files import read_credentials
from xds_server.mesh.credential import CredentialSet
from xds_server.mesh.registration import Registration
from xds_server.mesh.telemetry import TelemetryPolicies
from xds_server.mesh.workload import Workload
from xds_server.own_spans import OwnSpans
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import Document
from xds_server.problem import Problem, Severity
from xds_server.registry.registrar import Registrar
from xds_server.roster import Roster, peer_name
from xds_server.security import Security
from xds_server.server.held_files import HeldFiles
from xds_server.server.hub import Hub, Proxy
from xds_server.server.listen import Listener, ListenOptions, listen
from xds_server.server.receive import MOST_BYTES, Receiver, receive
from xds_server.server.status import Refusal, StatusBoard
from xds_server.server.tombstones import TombstoneBook
from xds_server.settings import Settings
from xds_server.staging import Patience
from xds_server.store.debounce import Changed, Changes, Debounce
from xds_server.store.directory import Reading, Rules, read_policies
from xds_server.store.keepsake import Keepsakes, StandIns
from xds_server.store.policy_file import nothing_kept
from xds_server.store.watcher import Watcher
from xds_server.telemetry.log_buffer import LogBuffer
from xds_server.telemetry.traces import Traces
from xds_server.traffic import Traffic
from xds_server.translate.to_json import resource_json
from xds_server.validation.validator import find_validator
from xds_server.xds.messages import Nacked
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import PUSH_ORDER

log = structlog.get_logger(__name__)

_MOST_LOGGED = 20
"""Problems logged one by one when a change brings many; `check` and /debug/problems tell all."""
_MEASURE_INTERVAL = 0.1
"""Seconds between two looks at whether a change has been answered; what is measured is finer."""
_KEEP_AGAIN = 30.0
"""Seconds after which last good forms that could not be written are tried again."""
_CREDENTIALS_INTERVAL = 0.5
"""Seconds between two looks at the secrets directory."""

P = ParamSpec("P")
R = TypeVar("R")


def run(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; gives the exit status.

    Raises:
        ConfigurationError: an address cannot be listened on, or the state directory cannot be used.
    """
    asyncio.run(Server(settings).serve())
    return 0


class Server:
    """One control plane."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker = ThreadPoolExecutor(1, "pipeline")
        self._keepsakes = Keepsakes(settings.state_dir, settings.policies, settings.default_namespace)
        self._to_keep: tuple[Reading, StandIns] | None = None
        self._came_into_force = asyncio.Event()
        pipeline = Pipeline(
            Premises(settings.root_namespace, settings.default_namespace, settings.trust, Environment(os.environ))
        )
        self._board = StatusBoard(
            namespace_of=lambda proxy: self._roster.workload(proxy).namespace, on_refusal=self._refused
        )
        self._own_spans = OwnSpans(settings.otlp_endpoint, self._board.answers)
        self._admission = Admission(
            pipeline,
            self._worker,
            earlier=self._keepsakes.earlier,
            in_steps=settings.mtls_change_time > 0,
            timed=self._own_spans.step,
        )
        self._not_validated = ""
        self._notice: Callable[[Changed], None] = lambda _: None
        self._rules = Rules(
            default_namespace=settings.default_namespace,
            max_delete_fraction=settings.max_delete_fraction,
            allow_mass_delete=settings.allow_mass_delete,
        )
        self._registrar = Registrar(
            settings.registration_grace,
            settings.state_dir / "registrations.json",
            changed=lambda: self._notice(frozenset()),
            clock=time.monotonic,
        )
        self._roster = Roster(settings.default_namespace, self._registrar, self._proved)
        self._registered: tuple[Registration, ...] = ()
        self._reading: Reading | None = None
        self._published: Generation | None = None
        self._hub = Hub(self._snapshots_for, connected=self._roster.connected, disconnected=self._roster.disconnected)
        self._security = Security(settings, self._hub, self._board, self._in_worker)
        self._traffic = Traffic(
            settings.traffic_edges,
            settings.scrape_interval,
            workload_of=self._roster.workload,
            mesh=lambda: self._published.mesh if self._published else None,
            clock=time.monotonic,
        )
        self._held_files = HeldFiles(settings.state_dir / "held", f"{socket.gethostname()} {settings.listen}")
        self._tombstones = TombstoneBook(self._held_files.read(time.time()))
        receives = settings.telemetry_listen is not None
        self._traces = Traces() if receives else None
        self._logs = LogBuffer() if receives else None
        self._began = 0.0
        self._metrics = Metrics(self._sources())

    async def serve(self, stop: asyncio.Event | None = None) -> None:
        """Serve until `stop` is set, or until a signal says so when there is none.

        Raises:
            ConfigurationError: an address cannot be listened on.
        """
        settings = self._settings
        debug = debug_app(self._sources(), self._metrics)
        async with contextlib.AsyncExitStack() as parts:
            parts.callback(self._worker.shutdown)
            port = await parts.enter_async_context(
                serve_debug(debug, settings.debug_listen.host, settings.debug_listen.port, any_host=settings.insecure)
            )
            await parts.enter_async_context(self._receiving())
            listener = await self._listen()
            parts.push_async_callback(listener.stop)
            changes = await parts.enter_async_context(self._watching())
            asyncio.get_running_loop().call_later(self._registrar.learns_for, self._hub.refresh, _is_warm)
            log.info(
                "listening",
                xds=f"{settings.listen.host}:{listener.port}",
                debug=f"http://{settings.debug_listen.host}:{port}/",
                authentication=str(settings.authentication),
                version=__version__,
            )
            work = (
                self._follow(changes, listener),
                self._hub.run(),
                self._security.run(),
                self._registrar.run(),
                self._traffic.run(),
                self._measure(),
                self._keep(),
                self._change_mutual_tls(),
                self._tombstones.write_down(self._held_files),
                self._watch_credentials(),
                self._own_spans.run(),
                _stopped(stop),
            )
            tasks = [asyncio.create_task(one) for one in work]
            parts.push_async_callback(_end, tasks)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping", streams=len(self._hub.proxies()))
            self._own_spans.stopped()
            await listener.drain(settings.drain_time)

    @contextlib.asynccontextmanager
    async def _receiving(self) -> AsyncIterator[None]:
        """The ports on which proxies tell of requests, where they are asked for: gRPC, and HTTP on the one after it."""
        where = self._settings.telemetry_listen
        if where is None or self._traces is None or self._logs is None:
            yield
            return
        receiver = Receiver(self._traces.add, self._logs.add)
        port = await receive(str(where), receiver)
        http = serve_debug(
            otlp_app(receiver.export, MOST_BYTES),
            where.host,
            where.port and where.port + 1,
            any_host=True,
            flag="--telemetry-listen",
        )
        try:
            async with http as http_port:
                log.info(
                    "receiving", grpc=f"{where.host}:{port.port}", http=f"http://{where.host}:{http_port}/v1/traces"
                )
                yield
        finally:
            await port.stop()

    async def _listen(self) -> Listener:
        settings, security = self._settings, self._security
        return await listen(
            str(settings.listen),
            self._hub,
            self._board,
            authenticate=security.authenticate,
            admit=security.admit,
            report=self._traffic.open,
            live=self._roster.says,
            credentials=security.port_credentials(),
            tombstones=self._tombstones,
            options=ListenOptions(
                stall_limit=settings.stalled_stream,
                gate=settings.gate,
                push_order=settings.types_in_order,
                max_age=settings.max_stream_age,
            ),
        )

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[Changes]:
        """The store's changes, gathered until they are quiet. Watching begins before the first reading."""
        settings, loop = self._settings, asyncio.get_running_loop()
        changes = Changes(Debounce(settings.debounce, settings.debounce_ceiling), loop.time)
        watcher = Watcher(settings.policies, changes.notice, loop=loop, scan_seconds=settings.scan_interval)
        watcher.start()
        try:
            self._notice = changes.notice
            yield changes
        finally:
            await asyncio.to_thread(watcher.stop)

    async def _follow(self, changes: Changes, listener: Listener) -> None:
        """Take up the policies as they are, and then each change of them."""
        loop = asyncio.get_running_loop()
        changed: Changed = None
        await self._find_validator()
        noticed = loop.time()
        while True:
            began = loop.time()
            self._own_spans.begin(time.time() - (began - noticed), changed)
            with collection_paused() if self._published is None else contextlib.nullcontext():
                is_changed = await self._load(changed)
            if is_changed:
                await listener.set_serving(True)
                changes.pushed(loop.time() - began)
                self._began = time.time() - (loop.time() - noticed)
            if self._reading is not None and self._reading.unsettled:
                loop.call_later(self._rules.half_written_grace, changes.notice, self._reading.unsettled)
            changed = await changes.settled()
            noticed = changes.began

    async def _find_validator(self) -> None:
        """Say clearly when nothing is validated: then only connected proxies tell what Envoy refuses."""
        if not self._settings.validation:
            self._not_validated = "switched off by --no-validation"
        elif isinstance(found := await find_validator(self._settings.envoy), str):
            self._not_validated = found
            log.warning("changes are sent without asking Envoy first", reason=found)
        else:
            self._admission.validator = found
            log.info("changes are validated before they are sent", envoy=found.name)

    async def _load(self, changed: Changed) -> bool:
        """Read, compile, validate and publish; whether anything changed. A failure of ours keeps what is in force."""
        try:
            kept = self._keepsakes.of if self._published is None else nothing_kept
            with self._own_spans.step("read"):
                reading = await self._in_worker(
                    read_policies, self._settings.policies, self._reading, changed=changed, rules=self._rules, kept=kept
                )
            registered, credentials = self._registrar.registrations, await self._credentials()
            unchanged = self._reading is not None and reading.policies is self._reading.policies
            unchanged = unchanged and registered == self._registered and credentials is self._admission.credentials
            if unchanged and not self._admission.is_stale:
                self._reading = reading
                self._own_spans.nothing_changed()
                return False
            if self._published is None and not reading.complete and not reading.policies.documents:
                self._reading = reading
                self._own_spans.nothing_changed()
                log.warning("nothing to serve yet", policies=[str(path) for path in self._settings.policies])
                return False
            connected = [self._roster.workload(proxy) for proxy in self._hub.proxies()[:MOST_LOOKED_AT]]
            self._admission.credentials = credentials
            await self._admission.admit(reading.policies, connected, registered)
        except Exception:
            self._own_spans.failed()
            log.exception("policies not taken up; what was in force stays")
            return False
        self._reading, self._registered = reading, registered
        if self._published is None:
            await self._in_worker(set_aside)
        self._publish()
        self._note_in_force()
        return True

    async def _credentials(self) -> CredentialSet | None:
        """The secrets directory as it is now; the same object while nothing in it changes."""
        if self._settings.secrets is None:
            return None
        return await self._in_worker(read_credentials, self._settings.secrets, self._admission.credentials)

    async def _watch_credentials(self) -> None:
        """Have a change in the secrets directory taken up, which is small: it is looked at over and over."""
        while True:
            await asyncio.sleep(_CREDENTIALS_INTERVAL)
            if self._published is not None and await self._credentials() is not self._admission.credentials:
                self._notice(frozenset())

    def _publish(self) -> None:
        """Put the admitted generation into force, if it is not."""
        generation, former = self._admission.generation, self._published
        if generation is None or generation is former:
            return
        _log_problems(former.problems if former else (), generation.problems)
        self._published = generation
        self._security.honour(generation.mesh.trust_domain_aliases)
        log.info("generation", number=generation.number, documents=len(generation.policies.documents))
        if step := self._admission.mutual_tls_step:
            log.info("mutual TLS changes", step=step)
        self._own_spans.published(generation)
        self._hub.publish(generation.number)
        self._note_in_force()

    def _note_in_force(self) -> None:
        """Have what is in force now kept for the next start."""
        if self._reading is not None:
            self._to_keep = self._reading, {held.document: held.stand_in for held in self._admission.held}
            self._came_into_force.set()

    async def _keep(self) -> None:
        """Keep what came into force for the next start, beside everything else; later when the disk is full."""
        is_kept = True
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came_into_force.wait(), None if is_kept else _KEEP_AGAIN)
            self._came_into_force.clear()
            if self._to_keep is not None:
                is_kept = await asyncio.to_thread(self._keepsakes.keep, *self._to_keep)

    async def _change_mutual_tls(self) -> None:
        """Go on with a change of mutual TLS once everybody has taken its last step, or when that takes too long."""
        loop, patience = asyncio.get_running_loop(), Patience(self._settings.mtls_change_time)
        while True:
            await asyncio.sleep(_MEASURE_INTERVAL)
            if not self._admission.mutual_tls_step:
                patience.rest()
                continue
            late = {node for url in PUSH_ORDER for node in self._board.waiting_for(url)}
            if not patience.is_over(loop.time(), taken=self._hub.is_idle and not late):
                continue
            if patience.is_exhausted(loop.time()):
                log.warning("mutual TLS changes without waiting any longer", waiting_for=sorted(late))
            self._admission.advance()
            self._publish()

    async def _measure(self) -> None:
        """Tell the metrics how long each change took until every proxy had answered it."""
        while True:
            await asyncio.sleep(_MEASURE_INTERVAL)
            if not self._hub.is_idle or not self._board.is_settled:
                continue
            self._own_spans.settled()
            if self._began:
                if (taken := self._board.last_answer - self._began) > 0:
                    self._metrics.observe_edit_to_ack(taken)
                self._began = 0.0

    async def _snapshots_for(self, proxies: Sequence[Proxy]) -> Sequence[Snapshot | None]:
        """See `hub.SnapshotsFor`."""
        workloads = [self._roster.workload(proxy) for proxy in proxies]
        shared = await self._admission.snapshots_for(workloads)
        self._publish()
        shared = [None if self._holds(proxy) else found for proxy, found in zip(proxies, shared, strict=True)]
        snapshots = await self._security.secured(proxies, workloads, shared)
        for proxy, snapshot in zip(proxies, snapshots, strict=True):
            if snapshot is not None:
                self._roster.gave(proxy, snapshot)
        return snapshots

    def _holds(self, proxy: Proxy) -> bool:
        """Whether a proxy had better keep what it has: it may know of workloads that are not back yet."""
        learns = proxy.is_warm and self._registrar.learns_for > 0
        return learns and self._published is not None and self._published.has_groups

    def _refused(self, proxy: Proxy, nacked: Nacked, refusal: Refusal) -> None:
        """A proxy's NACK; one of what is not sent any more is past."""
        if not self._roster.still_given(proxy, nacked):
            return
        self._admission.refused(
            peer_name(proxy),
            refusal.type_url,
            refusal.names if refusal.is_named else (),
            refusal.origins,
            refusal.message,
            connected=self._roster.peers,
            taken_ago=refusal.taken_ago,
        )
        if self._admission.is_stale:
            self._notice(frozenset())

    def _proved(self, proxy: Proxy, claimed: Workload) -> Workload:
        return self._security.workload(proxy, claimed)

    def _sources(self) -> Sources:
        return Sources(
            version=__version__,
            generation=lambda: self._published.number if self._published else 0,
            documents=self._documents,
            problems=self._problems,
            proxies=self._board.proxies,
            totals=self._board.totals,
            validation=self._validation,
            authorities=self._security.described,
            traffic=self._traffic.sight,
            telemetry=lambda: self._published.mesh.telemetry if self._published else TelemetryPolicies(),
            traces=self._traces,
            logs=self._logs,
            own_spans=self._own_spans.exporter,
            snapshot_of=self._roster.given,
            resource_json=resource_json,
        )

    def _documents(self) -> tuple[Document, ...]:
        published = self._published
        return (*published.policies.documents, *published.registered) if published else ()

    def _problems(self) -> tuple[Problem, ...]:
        """Of the policies, and what connected proxies refuse now."""
        if self._published is not None:
            return (*self._published.problems, *refusals(self._board.proxies()))
        return self._reading.policies.problems if self._reading else ()

    def _validation(self) -> Validation:
        admission = self._admission
        return Validation(
            envoy=admission.validator.name if admission.validator else "",
            reason=self._not_validated,
            runs={str(outcome): count for outcome, count in admission.validator.runs.items()}
            if admission.validator
            else {},
            quarantined=[held.problem for held in admission.held],
        )

    async def _in_worker(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: call(*args, **kwargs))


def _log_problems(before: Sequence[Problem], now: Sequence[Problem]) -> None:
    """Say what is new and what is mended."""
    known = set(before)
    new = [problem for problem in now if problem not in known]
    for problem in new[:_MOST_LOGGED]:
        level = {Severity.ERROR: log.error, Severity.WARNING: log.warning, Severity.NOTE: log.info}[problem.severity]
        level("policy problem", **{key: value for key, value in asdict(problem).items() if value})
    if len(new) > _MOST_LOGGED:
        log.warning("more policy problems", count=len(new) - _MOST_LOGGED, see="/debug/problems")
    if mended := len(known.difference(now)):
        log.info("policy problems gone", count=mended)


def _is_warm(proxy: Proxy) -> bool:
    return proxy.is_warm


async def _stopped(stop: asyncio.Event | None) -> None:
    """Until `stop` is set, or until SIGINT or SIGTERM when there is none."""
    if stop is None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel what still runs; a task that ended by a failure of ours hands it on."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
