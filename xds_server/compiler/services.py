"""Every service of the mesh, kept up to date as ServiceEntries, WorkloadEntries and WorkloadGroups come and go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import cast

from xds_server.compiler.endpoint_identity import refusing
from xds_server.compiler.finding import Outcome
from xds_server.compiler.port_clash import Key, PortClashes
from xds_server.compiler.service_entry import Claim, claims, joined, placed_endpoints, ports_of, selected_labels
from xds_server.compiler.table import Diff, Index, Table, in_order
from xds_server.compiler.workload_entry import labels_of
from xds_server.compiler.workload_group import group_labels
from xds_server.memo import Memo
from xds_server.mesh.security import NO_POLICIES, PeerPolicies
from xds_server.mesh.service import Service
from xds_server.mesh.service_index import ServiceIndex
from xds_server.policy.document import Document, precedence
from xds_server.policy.service_entry import Location, ServiceEntrySpec
from xds_server.problem import Problem

Pair = tuple[str, str, str]
"""(namespace, label, value): what selectors choose by."""


class Services:
    """Every service, kept up to date.

    Attributes:
        index: as of the last update.
    """

    def __init__(self, memo: Memo) -> None:
        self.index = ServiceIndex()
        self._services: Table[Key, Service] = Table()
        self._made: Table[Document, tuple[Claim, ...]] = Table()
        self._memo = memo
        self._claimed: Index[Key, Document] = Index()
        self._by_host: Index[str, Key] = Index()
        self._workloads: Index[Pair, Document] = Index()
        self._groups: Index[Pair, Document] = Index()
        self._selectors: Index[Pair, Document] = Index()
        self._by_key: dict[Key, Service] = {}
        self._port_clashes = PortClashes(self._services.get, self.definition)
        self._peers = NO_POLICIES
        self._refusing: Table[Document, None] = Table()

    def update(
        self, entries: Diff, workloads: Diff, peers: PeerPolicies = NO_POLICIES, *, groups: Diff = Diff()
    ) -> set[str]:
        """Take in what changed; gives the hosts of services that are now others.

        `peers` are all policies now: endpoints that take no mesh TLS because of one are to be called without.
        """
        asked_otherwise = self._ask(peers, entries)
        documents = self._touched(entries, workloads, groups) | asked_otherwise
        self._refusing.remake(documents, lambda d: None if d in entries.removed else self._refused(d))
        changed = self._made.remake(documents, lambda d: None if d in entries.removed else self._claims(d))
        keys = {key for document in changed for key in self._claimed.put(document, self._keys(document))}
        services = self._services.remake(keys, self._service)
        for key in services:
            self._by_host.put(key, (key[0],) if key in self._services.rows else ())
        self._port_clashes.update(services)
        before, self._by_key = self._by_key, in_order(self._by_key, self._services, services)
        gone, new = ([found[key] for key in services if key in found] for found in (before, self._by_key))
        self.index = self.index.updated(gone, new)
        return {host for host, _ in services}

    def named(self, host: str) -> list[Service]:
        """The services of that host, one for each namespace that has it, sorted by namespace."""
        return [self._services.rows[key].value for key in sorted(self._by_host.under(host))]

    def definition(self, service: Service) -> Document:
        """The document that decides what `service` is."""
        return self._documents((service.host, service.namespace))[0]

    @property
    def problems(self) -> Iterator[Problem]:
        """Everything found about the documents behind the services."""
        parts = (self._made, self._services, self._refusing)
        return chain(*(part.all_problems for part in parts), self._port_clashes.problems)

    @property
    def in_order(self) -> tuple[Service, ...]:
        """All of them, sorted by (host, namespace)."""
        return tuple(self._by_key.values())

    def _touched(self, entries: Diff, workloads: Diff, groups: Diff) -> set[Document]:
        """ServiceEntries that came or went, or that select by a label of a WorkloadEntry or WorkloadGroup that did."""
        for document in (*entries.removed, *entries.added):
            self._selectors.put(document, _selected_pairs(document) if document in entries.added else ())
        pairs: set[Pair] = set()
        for document in (*workloads.removed, *workloads.added):
            labels = labels_of(document) if document in workloads.added else {}
            pairs |= self._workloads.put(document, _pairs(document, labels))
        for document in (*groups.removed, *groups.added):
            labels = group_labels(document) if document in groups.added else {}
            pairs |= self._groups.put(document, _pairs(document, labels))
        selecting = (document for pair in pairs for document in self._selectors.under(pair))
        return {*entries.removed, *entries.added, *selecting}

    def _claims(self, document: Document) -> Outcome[tuple[Claim, ...]]:
        peers, pairs = self._peers.of(document.namespace), _selected_pairs(document)
        workloads, groups = _chosen(self._workloads, pairs), _chosen(self._groups, pairs)
        return self._memo(claims, document, workloads, peers if peers.disables else NO_POLICIES, groups)

    def _refused(self, document: Document) -> Outcome[None]:
        workloads = _chosen(self._workloads, _selected_pairs(document))
        return self._memo(_plain_endpoints, document, workloads, self._peers.of(document.namespace))

    def _ask(self, peers: PeerPolicies, entries: Diff) -> set[Document]:
        """Take up the policies; gives the ServiceEntries of namespaces that have others now."""
        before, self._peers = self._peers, peers
        if before == peers:
            return set()
        documents = set(self._made.rows) - entries.removed
        namespaces = {document.namespace for document in documents}
        changed = {name for name in namespaces if before.of(name) != peers.of(name)}
        return {document for document in documents if document.namespace in changed}

    def _keys(self, document: Document) -> list[Key]:
        return [(c.made.value.host, c.made.value.namespace) for c in self._made.get(document) or ()]

    def _service(self, key: Key) -> Outcome[Service] | None:
        found = [
            claim
            for document in self._documents(key)
            for claim in self._made.get(document) or ()
            if claim.made.value.host == key[0]
        ]
        if len(found) > 1:
            return self._memo(joined, tuple(found))
        return found[0].made if found else None

    def _documents(self, key: Key) -> list[Document]:
        return sorted(self._claimed.under(key), key=precedence)


def _plain_endpoints(document: Document, workloads: tuple[Document, ...], peers: PeerPolicies) -> Outcome[None]:
    spec = cast("ServiceEntrySpec", document.spec)
    if spec.location is Location.MESH_EXTERNAL or not peers.policies:
        return Outcome(None)
    return refusing(placed_endpoints(document, workloads), ports_of(document).value, peers)


def _selected_pairs(document: Document) -> list[Pair]:
    return [(document.namespace, *pair) for pair in selected_labels(document)]


def _pairs(document: Document, labels: Mapping[str, str]) -> list[Pair]:
    return [(document.namespace, *pair) for pair in labels.items()]


def _chosen(documents: Index[Pair, Document], pairs: Sequence[Pair]) -> tuple[Document, ...]:
    """Those that carry every label of a selector, in order of precedence; none for an empty one."""
    if not pairs:
        return ()
    rarest = min(pairs, key=lambda pair: len(documents.under(pair)))
    found = [d for d in documents.under(rarest) if all(d in documents.under(pair) for pair in pairs)]
    return tuple(sorted(found, key=precedence))
