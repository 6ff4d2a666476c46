"""From policies to the mesh that they mean: a table of contents of this package.

MeshConfig                        -> MeshDefaults: what holds where nothing else is said
PeerAuthentication                -> PeerPolicies: what workloads ask of their callers
ServiceEntry, WorkloadEntry, WorkloadGroup -> Services, with endpoints that take mesh TLS or do not
DestinationRule, VirtualService   -> Scopes: for each namespace, the services it may see with rules and routes
DestinationRule for some workloads -> SelectiveRules, which come before those of a scope
Gateway                           -> what routers open, with the VirtualServices that name them
Sidecar                           -> what single workloads see of that
Telemetry                         -> TelemetryPolicies: what of all requests is told, and to whom
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from xds_server.compiler.delegate import Delegation
from xds_server.compiler.destination_rule import is_selective, lost_credentials, selective_rule
from xds_server.compiler.finding import Outcome
from xds_server.compiler.gateways import Gateways
from xds_server.compiler.mesh_config import MeshDefaults, mesh_defaults, with_default_export
from xds_server.compiler.peer_authentication import PeerAuthentications
from xds_server.compiler.premises import Premises
from xds_server.compiler.scope import Scopes
from xds_server.compiler.services import Services
from xds_server.compiler.sidecar import covered_tls, lost_egress_proxy, sidecar
from xds_server.compiler.sight import Change
from xds_server.compiler.table import Diff, Table
from xds_server.compiler.telemetry import Telemetries, lost_collectors
from xds_server.compiler.unread_rule import closed, is_stand_in, stand_ins
from xds_server.compiler.workload_group import workload_group
from xds_server.memo import Memo
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.selective import SelectiveRule
from xds_server.mesh.sidecar import Sidecar
from xds_server.policy.document import Document, PolicySet, changes, precedence
from xds_server.problem import Problem


def compile_mesh(
    policies: PolicySet,
    memo: Memo,
    premises: Premises = Premises(),
    credentials: frozenset[str] | None = None,
) -> tuple[Mesh, tuple[Problem, ...]]:
    """The mesh that `policies` mean, and what their authors should know about it; `policies.problems` not repeated.

    The result depends on `policies`, `premises` and `credentials` (the names in the secrets directory, None when there
    is no such directory) alone. What `memo` adds: calls that share one make again only what depends on documents that
    changed in between; everything else is the same object as before.
    """
    trust_domain = premises.trust_domain or TrustDomain()
    configs = memo.kept(_Configs).of(policies.documents)
    defaults = memo(mesh_defaults, configs, trust_domain.name, premises.environment)
    premises = replace(premises, root_namespace=defaults.value.root_namespace or premises.root_namespace)
    try:
        compiler = memo.kept(_Current).compiler(premises, defaults.value)
        mesh, problems = compiler.compile(policies, credentials, configs[:1])
    except BaseException:
        memo.forget(_Current)  # it is half up to date, and must not be believed again
        raise
    return mesh, tuple(sorted({*problems, *defaults.problems}))


class _Configs:
    """The MeshConfigs, kept up to date: an edit costs the same however many other documents there are."""

    def __init__(self, _: Memo) -> None:
        self._documents: tuple[Document, ...] = ()
        self._configs: frozenset[Document] = frozenset()

    def of(self, documents: tuple[Document, ...]) -> tuple[Document, ...]:
        """Those among `documents`, in order of precedence."""
        diff = _of(Diff(*changes(self._documents, documents)), "MeshConfig")
        self._documents, self._configs = documents, (self._configs - diff.removed) | diff.added
        return tuple(sorted(self._configs, key=precedence))


class _Current:
    """The compiler for the mesh's defaults as they are; others are made from nothing, which few edits need."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._made: tuple[Premises, MeshDefaults, Compiler] | None = None

    def compiler(self, premises: Premises, defaults: MeshDefaults) -> Compiler:
        """The one that has compiled with the same defaults before, else a new one."""
        if self._made is None or self._made[:2] != (premises, defaults):
            self._made = premises, defaults, Compiler(self._memo, premises, defaults)
        return self._made[2]


class Compiler:
    """The last policies, and all that was made from them."""

    def __init__(self, memo: Memo, premises: Premises, defaults: MeshDefaults) -> None:
        self._defaults = defaults
        self._memo = memo
        self._root = premises.root_namespace
        self._documents: Sequence[Document] = ()
        self._namespaces: Counter[str] = Counter()
        self._peers = PeerAuthentications(premises, memo)
        self._services = Services(memo)
        self._scopes = Scopes(self._root, self._services, memo, defaults)
        self._delegation = Delegation(memo)
        self._gateways = Gateways(memo, self._services)
        self._sidecars: Table[Document, Sidecar] = Table()
        self._groups: Table[Document, None] = Table()
        self._telemetries = Telemetries(premises.root_namespace, defaults.telemetry, memo)
        self._config: tuple[Document, ...] = ()
        self._selective: frozenset[Document] = frozenset()
        self._rules: list[Outcome[SelectiveRule]] = []

    def compile(
        self, policies: PolicySet, credentials: frozenset[str] | None, config: tuple[Document, ...]
    ) -> tuple[Mesh, tuple[Problem, ...]]:
        """See `compile_mesh`; `config` is the MeshConfig in force, where there is one."""
        unread = stand_ins(policies.broken, self._memo)
        diff = self._diff((*self._exported(policies.documents), *unread))
        self._peers.update(_of(diff, "PeerAuthentication"), policies.broken)
        groups = _of(diff, "WorkloadGroup")
        self._groups.remake(groups.removed, lambda _: None)
        self._groups.remake(groups.added, lambda document: self._memo(workload_group, document))
        entries, workloads = _of(diff, "ServiceEntry"), _of(diff, "WorkloadEntry")
        hosts = self._services.update(entries, workloads, self._peers.in_force, groups=groups)
        virtual_services = self._delegation.update(_of(diff, "VirtualService"))
        rules = _of(diff, "DestinationRule")
        self._selective = (self._selective - rules.removed) | frozenset(filter(is_selective, rules.added))
        self._scopes.update(Change(hosts, _where(rules, lambda rule: not is_selective(rule)), virtual_services))
        self._gateways.update(_of(diff, "Gateway"), virtual_services, credentials, hosts)
        selecting = _of(diff, "Sidecar")
        self._sidecars.remake(selecting.removed, lambda _: None)
        self._sidecars.remake(selecting.added, lambda document: self._memo(sidecar, document))
        self._telemetries.update(_of(diff, "Telemetry"))
        self._config = config
        scopes = self._scopes.by_namespace(self._namespaces)
        self._rules = [
            self._memo(selective_rule, document, scopes[document.namespace], self._defaults.traffic)
            for document in self._in_order_of_rules()
        ]
        mesh = Mesh(
            services=self._services.in_order,
            service_index=self._services.index,
            scopes=scopes,
            selective=tuple(rule.value for rule in self._rules),
            default_scope=self._scopes.default,
            sidecars=tuple(self._sidecars.rows[document].value for document in self._sidecars_in_order()),
            peers=self._peers.in_force,
            telemetry=self._telemetries.in_force,
            gateways=self._gateways.in_order,
            credentials=credentials,
            root_namespace=self._root,
            outbound_policy=self._defaults.outbound_policy,
            http_proxy_port=self._defaults.http_proxy_port,
            trust_domain_aliases=self._defaults.trust_domain_aliases,
            settings=self._defaults.settings,
        )
        return mesh, tuple(sorted({*self._problems(mesh), *map(closed, unread)}))

    def _problems(self, mesh: Mesh) -> Iterator[Problem]:
        yield from self._peers.problems
        yield from self._services.problems
        yield from self._delegation.problems
        yield from self._scopes.problems
        yield from self._gateways.problems
        for document, rule in zip(self._in_order_of_rules(), self._rules, strict=True):
            yield from rule.problems
            if not is_stand_in(document):
                yield from lost_credentials(document, rule.value, mesh.credentials)
        yield from self._sidecars.all_problems
        for document, row in self._sidecars.rows.items():
            yield from lost_egress_proxy(document, row.value, mesh.scope(document.namespace))
            yield from covered_tls(document, row.value, self._peers.in_force)
        yield from self._groups.all_problems
        yield from self._telemetries.problems
        yield from (problem for config in self._config for problem in lost_collectors(config, self._services))

    def _in_order_of_rules(self) -> list[Document]:
        """DestinationRules for some workloads only."""
        return sorted(self._selective, key=precedence)

    def _exported(self, documents: Sequence[Document]) -> Sequence[Document]:
        """The documents, those without exportTo exported as the mesh says."""
        names = dict(self._defaults.exports)
        if not names:
            return documents
        return [
            self._memo(with_default_export, document, names[document.kind])
            if document.kind in names and not getattr(document.spec, "export_to", ())
            else document
            for document in documents
        ]

    def _diff(self, documents: Sequence[Document]) -> Diff:
        """What came and went since the last policies."""
        diff = Diff(*changes(self._documents, documents))
        self._documents = documents
        self._namespaces.update(document.namespace for document in diff.added)
        self._namespaces.subtract(document.namespace for document in diff.removed)
        self._namespaces += Counter()  # forgets the namespaces that hold none any more
        return diff

    def _sidecars_in_order(self) -> list[Document]:
        """Those with a selector first, then by precedence."""
        rows = self._sidecars.rows
        return sorted(rows, key=lambda document: (not rows[document].value.selector, precedence(document)))


def _of(diff: Diff, kind: str) -> Diff:
    return _where(diff, lambda document: document.kind == kind)


def _where(diff: Diff, holds: Callable[[Document], bool]) -> Diff:
    return Diff(frozenset(filter(holds, diff.removed)), frozenset(filter(holds, diff.added)))
