"""From policies to snapshots: the one way, in the order it happens. Read this first.

    PolicySet -> compile_mesh -> Mesh -> view_for(workload) -> View -> translate -> Resources -> Snapshot

Workloads that registered themselves join the policies as WorkloadEntries before the first step.

Every step is a pure function of frozen values and is remembered by them, so that cost follows what changed. The
memories make a Pipeline unfit for two threads at once: its owner runs it in one worker thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from xds_server.compiler.compile import compile_mesh
from xds_server.compiler.premises import Premises
from xds_server.compiler.workload_group import GROUP_KIND, with_registered
from xds_server.memo import Memo
from xds_server.mesh.credential import CredentialSet
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.registration import Registration
from xds_server.mesh.view import View, view_for
from xds_server.mesh.workload import Workload
from xds_server.policy.document import Document, PolicySet
from xds_server.problem import Problem
from xds_server.translate.secret import IDENTITY, ROOTS, credential_secrets
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
        credentials: the secrets directory; None when there is none.
    """

    number: int
    policies: PolicySet
    mesh: Mesh
    problems: tuple[Problem, ...]
    registered: tuple[Document, ...] = ()
    credentials: CredentialSet | None = None

    @cached_property
    def has_groups(self) -> bool:
        """Whether workloads may register themselves."""
        return any(document.kind == GROUP_KIND for document in self.policies.documents)


_Key = tuple[View, CredentialSet | None]
_PER_PROXY = frozenset({(SECRET, IDENTITY), (SECRET, ROOTS)})
"""What a view's resources refer to and each proxy gets its own of, behind the pipeline."""


class Pipeline:
    """The remembering between generations: compile, then a snapshot for whoever asks.

    Args:
        premises: see `Premises`. The secrets of identities join snapshots last (`Snapshot.with_secrets`).
    """

    def __init__(self, premises: Premises = Premises()) -> None:
        self._premises = premises
        self._number = 0
        self._memo = Memo()
        self._translator = Translator()
        self._snapshots: dict[_Key, Snapshot] = {}
        self._former: dict[_Key, Snapshot] = {}
        self._sound: Snapshot | None = None

    def compile(
        self,
        policies: PolicySet,
        registrations: Iterable[Registration] = (),
        credentials: CredentialSet | None = None,
    ) -> Generation:
        """The next generation; what did not change since the last one is shared with it.

        Args:
            policies: what a store holds.
            registrations: of workloads; those whose WorkloadGroup is among `policies` become endpoints.
            credentials: the secrets directory; None when there is none.
        """
        entries = with_registered(policies, registrations, self._memo)
        together = replace(policies, documents=(*policies.documents, *entries.value)) if entries.value else policies
        names = credentials.names if credentials else None
        mesh, problems = compile_mesh(together, self._memo, self._premises, names)
        self._number += 1
        self._former, self._snapshots = self._snapshots, {}
        of_credentials = credentials.problems if credentials else ()
        found = tuple(sorted({*policies.problems, *problems, *entries.problems, *of_credentials}))
        return Generation(self._number, policies, mesh, found, entries.value, credentials)

    def snapshot_for(self, generation: Generation, workload: Workload) -> Snapshot:
        """What `workload` is to be sent: the same object for every workload with an equal view.

        Raises:
            InconsistentSnapshot: our defect; the caller keeps the last good snapshot and says so loudly.
        """
        mesh = generation.mesh
        view = view_for(mesh, workload, self._trust_domain_of(workload, mesh))
        key = view, generation.credentials
        snapshot = self._snapshots.get(key) or self._former.get(key)
        if snapshot is None:
            snapshot = self._snapshot(view, generation.credentials)
            snapshot.check(given=_PER_PROXY, sound=self._sound)
            self._sound = snapshot
        self._snapshots[key] = snapshot
        return snapshot

    def _trust_domain_of(self, workload: Workload, mesh: Mesh) -> TrustDomain | None:
        """None for a workload that can have no identity: it is told of no mesh TLS, and what asks for it stays shut."""
        if (trust_domain := self._premises.trust_domain) is None:
            return None
        try:
            trust_domain.identity(workload.namespace, workload.service_account)
        except ValueError:
            return None
        return trust_domain.with_aliases(mesh.trust_domain_aliases)

    def _snapshot(self, view: View, credentials: CredentialSet | None) -> Snapshot:
        """What `view` is sent, with the credentials that it names: shared by all who have it, unlike identities."""
        found = self._translator.translate(view)
        if not credentials:
            return Snapshot.of(found)
        wanted = {name for resource in found for url, name in resource.refs if url == SECRET}
        return Snapshot.of((*found, *credential_secrets(wanted, credentials)))
