"""Which node is speaking: a workload identity with the name of one of its proxies.

Node credentials name `spiffe://TD/ns/NS/sa/SA/node/NAME`. The authority behind them is not the one behind workload
certificates, so they open the xDS port and no other workload's, and a workload's certificate does not open the port.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from xds_server.errors import UnusableIdentity
from xds_server.mesh.identity import SCHEME, SpiffeId, TrustDomain, is_segment
from xds_server.mesh.workload import Workload, workload
from xds_server.xds.messages import Node

_NODE = "/node/"
_MOST_LIVED = 0.8
CONTROL_PLANE_DNS = "xds-server"
"""In the control plane's certificate, beside its URI, for clients that check a host name: the SNI to send."""


@dataclass(frozen=True, slots=True, order=True)
class Principal:
    """Who a node proved to be.

    Raises:
        ValueError: `name` cannot stand in a SPIFFE ID.
    """

    identity: SpiffeId
    name: str

    def __post_init__(self) -> None:
        """Refuse what could be read as another node."""
        if not is_segment(self.name):
            raise ValueError(f"{self.name!r} is no name for a node; write letters, digits, '.', '-' and '_'")

    @classmethod
    def parse(cls, text: str) -> Principal:
        """From `spiffe://TD/ns/NS/sa/SA/node/NAME`.

        Raises:
            ValueError: it has another form.
        """
        identity, node, name = text.partition(_NODE)
        if not node:
            raise ValueError(f"{text!r} names no node")
        return cls(SpiffeId.parse(identity), name)

    def __str__(self) -> str:
        return f"{self.identity}{_NODE}{self.name}"

    @property
    def label(self) -> str:
        """NAME.NAMESPACE: what operators call it."""
        return f"{self.name}.{self.identity.namespace}"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a node showed for who it is.

    Attributes:
        issued, expires: aware.
    """

    principal: Principal
    issued: datetime
    expires: datetime

    def ends_soon(self, now: datetime) -> bool:
        """Whether four fifths of its life are over: it should have been renewed by now."""
        return now - self.issued > (self.expires - self.issued) * _MOST_LIVED


def control_plane_uri(domain: TrustDomain) -> str:
    """The name of the control plane: of a form that no workload's or node's name has."""
    return f"{SCHEME}{domain.name}/control-plane"


def claim_checked(principal: Principal, node: Node) -> None:
    """Verify that a node only says of itself what it proved.

    The node id must be Istio's form with NAME.NAMESPACE in it, or NAME.NAMESPACE alone, because everything kept about a
    node is kept by its id. In Istio's form it may say NAME@REPLICA.NAMESPACE: one credential serves any number of
    replicas, each with an id of its own, and none may do what the node may not. Metadata NAME, NAMESPACE and
    SERVICE_ACCOUNT may be left out; they are not believed.

    Raises:
        UnusableIdentity: names the claim that is not the principal's.
    """
    by_id = workload(node.id, default_namespace="")
    said = by_id.name if not by_id.namespace else f"{by_id.name}.{by_id.namespace}"
    if said != principal.label:
        raise UnusableIdentity(f"node id {node.id[:200]!r} is not that of {principal.label}")
    claims = (
        ("NAME", principal.name),
        ("NAMESPACE", principal.identity.namespace),
        ("SERVICE_ACCOUNT", principal.identity.service_account),
    )
    for key, proved in claims:
        claimed = node.metadata.get(key, proved)
        if claimed != proved:
            raise UnusableIdentity(f"node metadata {key} says {str(claimed)[:100]!r}, but it proved to be {proved!r}")


def proved_workload(principal: Principal, claimed: Workload) -> Workload:
    """The workload with name, namespace and service account as proved, and everything else as claimed."""
    identity = principal.identity
    return replace(claimed, name=principal.name, namespace=identity.namespace, service_account=identity.service_account)
