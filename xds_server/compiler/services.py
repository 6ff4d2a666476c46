"""Every service of the mesh, kept up to date as ServiceEntries and WorkloadEntries come and go."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from xds_server.compiler.finding import Outcome
from xds_server.compiler.port_clash import Key, PortClashes
from xds_server.compiler.service_entry import Claim, claims, joined, selected_labels
from xds_server.compiler.table import Diff, Index, Table, in_order
from xds_server.compiler.workload_entry import labels_of
from xds_server.memo import Memo
from xds_server.mesh.service import Service
from xds_server.policy.document import Document, precedence
from xds_server.problem import Problem

Pair = tuple[str, str, str]
"""(namespace, label, value): what selectors choose by."""


class Services:
    """Every service, kept up to date."""

    def __init__(self, memo: Memo) -> None:
        self._services: Table[Key, Service] = Table()
        self._made: Table[Document, tuple[Claim, ...]] = Table()
        self._memo = memo
        self._claimed: Index[Key, Document] = Index()
        self._by_host: Index[str, Key] = Index()
        self._workloads: Index[Pair, Document] = Index()
        self._selectors: Index[Pair, Document] = Index()
        self._by_key: dict[Key, Service] = {}
        self._port_clashes = PortClashes(self._services.get, self.definition)

    def update(self, entries: Diff, workloads: Diff) -> set[str]:
        """Take in what changed; gives the hosts of services that are now others."""
        documents = self._touched(entries, workloads)
        changed = self._made.remake(documents, lambda d: None if d in entries.removed else self._claims(d))
        keys = {key for document in changed for key in self._claimed.put(document, self._keys(document))}
        services = self._services.remake(keys, self._service)
        for key in services:
            self._by_host.put(key, (key[0],) if key in self._services.rows else ())
        self._port_clashes.update(services)
        self._by_key = in_order(self._by_key, self._services, services)
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
        return chain(self._made.all_problems, self._services.all_problems, self._port_clashes.problems)

    @property
    def in_order(self) -> tuple[Service, ...]:
        """All of them, sorted by (host, namespace)."""
        return tuple(self._by_key.values())

    def _touched(self, entries: Diff, workloads: Diff) -> set[Document]:
        """ServiceEntries that came or went, or that select by a label of a WorkloadEntry that did."""
        for document in (*entries.removed, *entries.added):
            self._selectors.put(document, _selected_pairs(document) if document in entries.added else ())
        pairs: set[Pair] = set()
        for document in (*workloads.removed, *workloads.added):
            pairs |= self._workloads.put(document, _pairs(document) if document in workloads.added else ())
        selecting = (document for pair in pairs for document in self._selectors.under(pair))
        return {*entries.removed, *entries.added, *selecting}

    def _claims(self, document: Document) -> Outcome[tuple[Claim, ...]]:
        return self._memo(claims, document, self._chosen(document))

    def _chosen(self, document: Document) -> tuple[Document, ...]:
        """WorkloadEntries that carry every label of the selector, in order of precedence; none for an empty one."""
        pairs = _selected_pairs(document)
        if not pairs:
            return ()
        rarest = min(pairs, key=lambda pair: len(self._workloads.under(pair)))
        found = [d for d in self._workloads.under(rarest) if all(d in self._workloads.under(pair) for pair in pairs)]
        return tuple(sorted(found, key=precedence))

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


def _selected_pairs(document: Document) -> list[Pair]:
    return [(document.namespace, *pair) for pair in selected_labels(document)]


def _pairs(document: Document) -> list[Pair]:
    return [(document.namespace, *pair) for pair in labels_of(document).items()]
