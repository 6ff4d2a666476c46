"""What comes into force: policies become a generation only as far as Envoy takes what they mean.

    policies -> quarantine -> compile -> what is new of it -> Envoy in validate mode -> accepted, or once more without
    the document at fault

Runs beside the streams: what is in force stays in force until the next generation is accepted, and a proxy that nobody
knew before is sent nothing that was not validated. Without an Envoy, everything is accepted as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import ParamSpec, TypeVar

import structlog

from xds_server.blame import RECENT, Complaints, is_of_the_machine, refused_by_proxy, refused_unnamed
from xds_server.errors import InconsistentSnapshot
from xds_server.mesh.credential import CredentialSet
from xds_server.mesh.registration import Registration
from xds_server.mesh.representative import representatives
from xds_server.mesh.workload import Workload
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import Document, PolicySet
from xds_server.problem import Origin
from xds_server.quarantine import Earlier, Held, Quarantine, nothing_earlier
from xds_server.staging import Staging
from xds_server.translate.unit import Unit
from xds_server.trial import Cases
from xds_server.validation.validator import Refused, Validator
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import SECRET

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

TIME_LIMIT = 60.0
"""Seconds after which what is still not narrowed down is sent as it is: waiting longer helps nobody."""
MOST_LOOKED_AT = 64
"""Connected workloads whose snapshots are worth validating before a generation is accepted; those of the others are
before they are sent. Most are the same, and the first proxy must not wait for the last."""


class Admission:
    """The policies that are in force, and the way to change them. Serves one event loop.

    Args:
        pipeline: nobody else uses it.
        worker: one thread, for the pipeline alone.
        validator: None accepts everything.
        earlier: see `Quarantine`.
        in_steps: changes of mutual TLS come into force step by step, for somebody who calls `advance`.
        timed: enters what it gives for each step of the way, by name: compile, translate, validate.

    Attributes:
        validator: may be set until the first admission.
        credentials: the secrets directory, which the next admission takes up; None when there is none.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        worker: Executor,
        validator: Validator | None = None,
        earlier: Earlier = nothing_earlier,
        *,
        in_steps: bool = False,
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.validator = validator
        self.credentials: CredentialSet | None = None
        self._pipeline = pipeline
        self._worker = worker
        self._timed = timed
        self._quarantine = Quarantine(earlier)
        self._complaints = Complaints()
        self._lock = asyncio.Lock()
        self._policies = PolicySet()
        self._registrations: tuple[Registration, ...] = ()
        self._generation: Generation | None = None
        self._staging: Staging | None = Staging() if in_steps else None
        self._is_stale = False

    @property
    def generation(self) -> Generation | None:
        """What is in force; None before the first acceptance."""
        return self._generation

    @property
    def held(self) -> tuple[Held, ...]:
        """The documents in quarantine."""
        return self._quarantine.held

    @property
    def is_stale(self) -> bool:
        """Whether a proxy's refusal has put a document in quarantine since: the same policies must be admitted anew."""
        return self._is_stale

    async def admit(
        self,
        policies: PolicySet,
        workloads: Sequence[Workload] = (),
        registrations: tuple[Registration, ...] = (),
    ) -> Generation:
        """Bring `policies` into force, but for documents that Envoy refuses.

        Args:
            policies: as the store gave them.
            workloads: some who are connected, MOST_LOOKED_AT at most.
            registrations: which workloads have registered themselves.
        """
        async with self._lock:
            self._registrations = registrations
            return await self._admitted(policies, workloads)

    async def snapshots_for(self, workloads: Sequence[Workload]) -> list[Snapshot | None]:
        """What each is to be sent by the generation in force; None where that is not whole, or nothing is in force.

        Validates what was not yet, which may bring a new generation into force.
        """
        generation = self._generation
        if generation is None:
            return [None] * len(workloads)
        with self._timed("translate"):
            snapshots = await self._in_worker(self._snapshots, generation, workloads)
        if self.validator is None or not await self._in_worker(self._unknown, snapshots):
            return snapshots
        async with self._lock:
            now = self._generation or generation
            snapshots = await self._in_worker(self._snapshots, now, workloads)
            if await self._first_refused(snapshots) is not None:
                now = await self._admitted(self._policies, workloads)
            return await self._in_worker(self._snapshots, now, workloads)

    @property
    def mutual_tls_step(self) -> str:
        """Which step of a change of mutual TLS is in force, in words; "" when none is under way."""
        return self._staging.step if self._staging is not None else ""

    def advance(self) -> Generation:
        """Put the next step of a change of mutual TLS into force."""
        if self._staging is None:
            raise ValueError("changes come into force at once here")
        return self._put_in_force(self._staging.advance())

    def refused(
        self,
        node: str,
        url: str,
        names: tuple[str, ...],
        origins: Sequence[Origin],
        reason: str,
        *,
        connected: Set[str],
        taken_ago: float | None = None,
    ) -> None:
        """A connected proxy refuses what it was sent; see `blame.Complaints` and `is_stale`.

        A secret is of its machine, whose files it names: the proxy keeps closed what waits for it, where without the
        policy it would speak plainly.

        Args:
            node: whose proxy it is; replicas of one node are one, for they have one credential.
            url: type of what it refuses.
            names: the refused resources; () when it names none of the response.
            origins: of these, or of everything in the response.
            reason: the proxy's, without secrets.
            connected: the nodes that are.
            taken_ago: seconds since it was sent what it has in force of this type; None when what it refuses is not
                new to it, and then nothing is blamed where it names nothing.
        """
        told_only = url == SECRET or is_of_the_machine(reason)
        suspected = () if told_only else self._suspected(names, origins, taken_ago)
        vouched = self.validator is not None and self.validator.vouches_for(one.origin for one in suspected)
        what = f"{url.rpartition('.')[2]} {', '.join(names) or '(it does not say which)'}"
        for document in self._complaints.against(suspected, node, connected=connected, vouched=vouched):
            self._quarantine.hold(document, "refused-by-proxy", f"{node} refuses {what}: {_line(reason)}")
            self._is_stale = True

    def _suspected(
        self, names: tuple[str, ...], origins: Sequence[Origin], taken_ago: float | None
    ) -> tuple[Document, ...]:
        """Who may be to blame for what a proxy refuses; see `refused`."""
        now, documents = asyncio.get_running_loop().time(), self._policies.documents
        if names:
            return refused_by_proxy(origins, documents, self._quarantine, now)
        if taken_ago is None:
            return ()
        return refused_unnamed(origins, documents, self._quarantine, now - min(taken_ago, RECENT))

    async def _admitted(self, policies: PolicySet, workloads: Sequence[Workload]) -> Generation:
        """Holding the lock."""
        cases = Cases(self._quarantine)
        self._is_stale = False
        try:
            generation = await self._narrowed(policies, workloads, cases)
        except BaseException:
            cases.withdraw()
            raise
        return self._accepted(policies, generation)

    async def _narrowed(self, policies: PolicySet, workloads: Sequence[Workload], cases: Cases) -> Generation:
        """What `policies` mean without the documents that Envoy refuses, which go into quarantine."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TIME_LIMIT
        if self.validator is not None:
            await self.validator.reconsider()
        while True:
            applied = self._quarantine.applied(policies)
            made_of = applied, self._registrations, self.credentials
            with self._timed("compile"):
                generation = await self._in_worker(self._pipeline.compile, *made_of)
            with self._timed("translate"):
                snapshots = await self._in_worker(self._looked_at, generation, workloads)
            refused = await self._first_refused(snapshots)
            is_late = loop.time() > until
            if refused is None or self.validator is None:
                if is_late or not cases.let_back():
                    return generation
            elif not cases.convict(refused) and (is_late or not cases.try_next(refused, policies.documents)):
                cases.give_up(refused)
                self.validator.let_pass([refused.unit], refused.reason)

    def _accepted(self, policies: PolicySet, generation: Generation) -> Generation:
        self._policies = policies
        first = self._staging.begin(self._generation, generation) if self._staging else generation
        in_force = self._put_in_force(first)
        self._quarantine.accepted(generation.policies, asyncio.get_running_loop().time())
        self._complaints.forget()
        return in_force

    def _put_in_force(self, generation: Generation) -> Generation:
        number = self._generation.number + 1 if self._generation else 1
        self._generation = replace(generation, number=number)
        return self._generation

    async def _first_refused(self, snapshots: Sequence[Snapshot | None]) -> Refused | None:
        if self.validator is None:
            return None
        with self._timed("validate"):
            return await self.validator.first_refused(await self._in_worker(self._unknown, snapshots))

    def _unknown(self, snapshots: Sequence[Snapshot | None]) -> tuple[Unit, ...]:
        if self.validator is None:
            return ()
        return self.validator.unknown({id(snapshot): snapshot for snapshot in snapshots if snapshot}.values())

    def _looked_at(self, generation: Generation, workloads: Sequence[Workload]) -> list[Snapshot | None]:
        """In the worker: what a generation means for those who are connected, and for anybody who may come.

        The first generation is looked at in any case: Envoy's message classes are built on first use, which takes a
        second, and the first proxy would have to wait for them.
        """
        if self.validator is None and self._generation is not None:
            return []
        return self._snapshots(generation, (*workloads, *representatives(generation.mesh)))

    def _snapshots(self, generation: Generation, workloads: Sequence[Workload]) -> list[Snapshot | None]:
        """In the worker. A snapshot that is not whole is our defect: None, so that the proxy keeps what it has."""
        found: list[Snapshot | None] = []
        for one in workloads:
            try:
                found.append(self._pipeline.snapshot_for(generation, one))
            except InconsistentSnapshot as error:
                log.error("inconsistent snapshot not sent", workload=one.name, error=str(error))
                found.append(None)
        return found

    async def _in_worker(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: call(*args, **kwargs))


def _line(text: str) -> str:
    return " ".join(text.split())
