"""What PeerAuthentications mean: the mutual TLS mode of the mesh, of namespaces, workloads and ports.

A mistake here must not open a door. Two policies for one scope are an error, and the stricter of them holds; a policy
that cannot be read, and never could, is taken as STRICT for whatever it seems to be for.

A policy without a selector in the root namespace is for the mesh. One that selects is for workloads of its own
namespace, and so it is in the root namespace where that is also the default one: there the documents stand that name no
namespace. In a root namespace that holds policies alone it can only be meant for the workloads of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import cast

from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.premises import Premises
from xds_server.compiler.table import Diff, Table
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.memo import Memo
from xds_server.mesh.security import MutualTls, PeerPolicies, PeerPolicy
from xds_server.mesh.service import Labels
from xds_server.policy.document import BrokenDocument, Document, precedence
from xds_server.policy.peer_authentication import MutualTLS, MutualTLSMode, PeerAuthenticationSpec
from xds_server.problem import Problem, Severity

KIND = "PeerAuthentication"


class PeerAuthentications:
    """Every PeerAuthentication, kept up to date."""

    def __init__(self, premises: Premises, memo: Memo) -> None:
        self._premises = premises
        self._memo = memo
        self._policies: Table[Document, PeerPolicy] = Table()
        self._broken: Table[BrokenDocument, PeerPolicy] = Table()
        self._clashes: tuple[Problem, ...] = ()
        self.in_force = PeerPolicies()

    def update(self, documents: Diff, broken: Iterable[BrokenDocument]) -> None:
        """Take in what changed; `broken` are all that cannot be read now, of any kind."""
        self._policies.remake(documents.removed, lambda _: None)
        changed = self._policies.remake(documents.added, lambda d: self._memo(peer_policy, d, self._premises))
        now = {one for one in broken if one.kind == KIND}
        changed_too = self._broken.remake(set(self._broken.rows) - now, lambda _: None)
        changed_too |= self._broken.remake(now, lambda one: self._memo(unread_policy, one, self._premises))
        if changed or changed_too or documents.removed:
            self._decide()

    @property
    def problems(self) -> Iterator[Problem]:
        """Everything found about them."""
        return chain(self._policies.all_problems, self._broken.all_problems, self._clashes)

    def _decide(self) -> None:
        rows = sorted(self._policies.rows, key=precedence)
        found = [(document, self._policies.rows[document].value) for document in rows]
        unread = sorted(self._broken.rows, key=lambda one: one.origin)
        self.in_force = PeerPolicies(
            (*(policy for _, policy in found), *(self._broken.rows[one].value for one in unread))
        )
        self._clashes = tuple(_clashes(found))


def peer_policy(document: Document, premises: Premises) -> Outcome[PeerPolicy]:
    """What one document asks of callers."""
    spec = cast("PeerAuthenticationSpec", document.spec)
    selector = sorted_labels(spec.selector.match_labels) if spec.selector else ()
    namespace = _whose(document.namespace, selector, premises)
    if selector and not namespace:
        return _selects_for_others(document, selector)
    policy = PeerPolicy(
        namespace=namespace,
        selector=selector,
        mode=_mode(spec.mtls),
        ports=tuple(sorted((int(port), _mode(mtls)) for port, mtls in spec.port_level_mtls.items())),
    )
    return Outcome(policy, _empty_selector(document, spec, policy))


def unread_policy(broken: BrokenDocument, premises: Premises) -> Outcome[PeerPolicy]:
    """STRICT for what a document that cannot be read is for; where that is not plain, for all that it may be for."""
    selector = _selector(broken.spec)
    policy = PeerPolicy(_whose(broken.namespace, selector, premises), selector, MutualTls.STRICT)
    problem = Problem(
        file=broken.origin.file,
        line=broken.origin.line,
        column=0,
        kind=broken.kind,
        namespace=broken.namespace,
        name=broken.name,
        field="",
        severity=Severity.ERROR,
        code="fails-closed",
        message=f"it cannot be read and never could: until it can, {_scope(policy)} takes mesh TLS only (STRICT)",
        fix="mend the document, or delete it",
    )
    return Outcome(policy, (problem,))


def _mode(mtls: MutualTLS | None) -> MutualTls | None:
    """None for what is left to the next wider policy."""
    return None if mtls is None or mtls.mode is MutualTLSMode.UNSET else MutualTls[mtls.mode]


def _whose(namespace: str, selector: Labels, premises: Premises) -> str:
    """The namespace whose workloads a policy written in `namespace` is for; "" is every one."""
    if namespace != premises.root_namespace:
        return namespace
    return namespace if selector and namespace == premises.default_namespace else ""


def _selects_for_others(document: Document, selector: Labels) -> Outcome[PeerPolicy]:
    """Istio documents that such a policy selects in every namespace, and ignores it."""
    policy = PeerPolicy("", selector, MutualTls.STRICT)
    message = (
        f"a PeerAuthentication in the root namespace {document.namespace} is for the whole mesh and cannot select "
        f"workloads: until it is mended, {_scope(policy)} takes mesh TLS only (STRICT)"
    )
    fix = "write it in the namespace of its workloads, or remove the selector"
    return Outcome(policy, (Place(document).at("selector").error("fails-closed", message, fix),))


def _empty_selector(document: Document, spec: PeerAuthenticationSpec, policy: PeerPolicy) -> tuple[Problem, ...]:
    if spec.selector is None or policy.selector:
        return ()
    message = f"a selector without labels selects everything: this is for {_scope(policy)}"
    return (Place(document).at("selector").warning("empty-selector", message, "remove it, or name labels"),)


def _clashes(found: Iterable[tuple[Document, PeerPolicy]]) -> Iterator[Problem]:
    """Policies of one scope. Istio obeys the oldest, and says nothing."""
    first: dict[tuple[str, Labels], Document] = {}
    for document, policy in found:
        other = first.setdefault((policy.namespace, policy.selector), document)
        if other is not document:
            message = f"{other.origin} and {document.origin} are both for {_scope(policy)}: the stricter mode holds"
            yield Place(document).error("duplicate-scope", message, "keep one of them")


def _selector(spec: object) -> Labels:
    """The labels that an invalid spec seems to select by; () when that is not plain."""
    selector = spec.get("selector") if isinstance(spec, Mapping) else None
    labels = selector.get("matchLabels", selector.get("match_labels")) if isinstance(selector, Mapping) else None
    if not isinstance(labels, Mapping) or not all(isinstance(part, str) for pair in labels.items() for part in pair):
        return ()
    return sorted_labels(labels)


def _scope(policy: PeerPolicy) -> str:
    where = f"namespace {policy.namespace}" if policy.namespace else "the mesh"
    if not policy.selector:
        return where
    labels = ", ".join(f"{key}={value}" for key, value in policy.selector)
    return f"every workload of {where} that carries {labels}"
