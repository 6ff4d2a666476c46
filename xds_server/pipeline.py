"""From policies to snapshots: the one way, in the order it happens. Read this first.

    PolicySet -> compile_mesh -> Mesh -> view_for(workload) -> View -> translate -> Resources -> Snapshot

Workloads that registered themselves join the policies as WorkloadEntries before the first step.

Every step is a pure function of frozen values and is remembered by them, so that cost follows what changed. The
memories make a Pipeline unfit for two threads at once: its owner runs it in one worker thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from xds_server.compiler.compile import compile_mesh
from xds_server.compiler.workload_group import GROUP_KIND, with_registered
from xds_server.memo import Memo
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.registration import Registration
from xds_server.mesh.view import View, view_for
from xds_server.mesh.workload import Workload
from xds_server.policy.document import Document, PolicySet
from xds_server.problem import Problem
from xds_server.translate.secret import IDENTITY, ROOTS
from xds_server.translate.translate import Translator
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import SECRET


@dataclass(frozen=True, eq=False)
class Generation:
    """One accepted state of the policies.

    Attributes:
        number: goes up by one with each change.
        problems: everything wrong with or worth knowing about `policies`, in order of place.
        registered: WorkloadEntries of the workloads that registered themselves.
    """

    number: int
    policies: PolicySet
    mesh: Mesh
    problems: tuple[Problem, ...]
    registered: tuple[Document, ...] = ()

    @cached_property
    def has_groups(self) -> bool:
        """Whether workloads may register themselves."""
        return any(document.kind == GROUP_KIND for document in self.policies.documents)


_PER_PROXY = frozenset({(SECRET, IDENTITY), (SECRET, ROOTS)})
"""What a view's resources refer to and each proxy gets its own of, behind the pipeline."""


class Pipeline:
    """The remembering between generations: compile, then a snapshot for whoever asks.

    Args:
        root_namespace: whose policies hold for the whole mesh.
        trust_domain: where workloads have identities, whose secrets join their snapshots last
            (`Snapshot.with_secrets`); None when nobody has one.
    """

    def __init__(self, root_namespace: str = Mesh.root_namespace, trust_domain: TrustDomain | None = None) -> None:
        self._root = root_namespace
        self._trust_domain = trust_domain
        self._number = 0
        self._memo = Memo()
        self._translator = Translator()
        self._snapshots: dict[View, Snapshot] = {}
        self._former: dict[View, Snapshot] = {}

    def compile(self, policies: PolicySet, registrations: Iterable[Registration] = ()) -> Generation:
        """The next generation; what did not change since the last one is shared with it.

        Args:
            policies: what a store holds.
            registrations: of workloads; those whose WorkloadGroup is among `policies` become endpoints.
        """
        entries = with_registered(policies, registrations, self._memo)
        together = PolicySet((*policies.documents, *entries.value))
        mesh, problems = compile_mesh(together, self._memo, self._root)
        self._number += 1
        self._former, self._snapshots = self._snapshots, {}
        found = tuple(sorted({*policies.problems, *problems, *entries.problems}))
        return Generation(self._number, policies, mesh, found, entries.value)

    def snapshot_for(self, generation: Generation, workload: Workload) -> Snapshot:
        """What `workload` is to be sent: the same object for every workload with an equal view.

        Raises:
            InconsistentSnapshot: our defect; the caller keeps the last good snapshot and says so loudly.
        """
        view = view_for(generation.mesh, workload, self._trust_domain_of(workload))
        snapshot = self._snapshots.get(view) or self._former.get(view)
        if snapshot is None:
            snapshot = Snapshot.of(self._translator.translate(view))
            snapshot.check(given=_PER_PROXY)
        self._snapshots[view] = snapshot
        return snapshot

    def _trust_domain_of(self, workload: Workload) -> TrustDomain | None:
        """None for a workload that can have no identity: it is told of no mesh TLS, and what asks for it stays shut."""
        if self._trust_domain is None:
            return None
        try:
            self._trust_domain.identity(workload.namespace, workload.service_account)
        except ValueError:
            return None
        return self._trust_domain
