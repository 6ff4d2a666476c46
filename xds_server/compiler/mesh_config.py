"""What a MeshConfig means: the defaults of the whole mesh, Istio's where it says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.retry import mesh_retry
from xds_server.compiler.traffic_policy import ISTIO_TRAFFIC, TrafficDefaults, traffic_defaults
from xds_server.mesh.route import Retry
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.policy.document import Document
from xds_server.policy.mesh_config import MeshConfigSpec
from xds_server.policy.model import PolicyModel
from xds_server.problem import Problem


@dataclass(frozen=True, slots=True)
class MeshDefaults:
    """The defaults in force.

    Attributes:
        root_namespace: "" is the server's own setting.
        http_proxy_port: where sidecars without capture are an HTTP proxy; 0 for those alone that ask for it.
        retry: for rules that say nothing of retries; None is never.
        trust_domain_aliases: see `Mesh`.
        exports: (kind, namespaces) for documents without exportTo.
    """

    root_namespace: str = ""
    outbound_policy: OutboundPolicy = OutboundPolicy.ALLOW_ANY
    http_proxy_port: int = 0
    retry: Retry | None = Retry()
    traffic: TrafficDefaults = ISTIO_TRAFFIC
    trust_domain_aliases: tuple[str, ...] = ()
    exports: tuple[tuple[str, tuple[str, ...]], ...] = ()


ISTIO = MeshDefaults()
"""What holds in a mesh without a MeshConfig."""


def mesh_defaults(documents: tuple[Document, ...], trust_domain: str) -> Outcome[MeshDefaults]:
    """The defaults that the first of these MeshConfigs sets; every other one is reported.

    `trust_domain` is the server's: no policy file changes in whose name identities are made.
    """
    if not documents:
        return Outcome(ISTIO)
    first, *others = documents
    spec = cast("MeshConfigSpec", first.spec)
    duplicates = (
        Place(each, ()).error(
            "duplicate-mesh-config", f"the mesh has its defaults from {first.origin} already", "join them"
        )
        for each in others
    )
    return Outcome(_defaults(spec), (*_another_trust_domain(first, spec.trust_domain, trust_domain), *duplicates))


def _another_trust_domain(document: Document, written: str | None, ours: str) -> Iterator[Problem]:
    if written not in {None, ours}:
        message = f"identities are made in {ours}, the trust domain of this server, and not in {written}"
        fix = f"remove it, or give every command of xds-server --trust-domain {written}"
        yield Place(document).at("trustDomain").error("other-trust-domain", message, fix)


def _defaults(spec: MeshConfigSpec) -> MeshDefaults:
    outbound = spec.outbound_traffic_policy
    exports = {
        "ServiceEntry": spec.default_service_export_to,
        "VirtualService": spec.default_virtual_service_export_to,
        "DestinationRule": spec.default_destination_rule_export_to,
    }
    return MeshDefaults(
        root_namespace=spec.root_namespace or "",
        outbound_policy=OutboundPolicy(outbound.mode) if outbound else OutboundPolicy.ALLOW_ANY,
        http_proxy_port=spec.proxy_http_port or 0,
        retry=mesh_retry(spec.default_http_retry_policy) if spec.default_http_retry_policy else Retry(),
        traffic=traffic_defaults(spec),
        trust_domain_aliases=spec.trust_domain_aliases,
        exports=tuple((kind, names) for kind, names in exports.items() if names),
    )


def with_default_export(document: Document, names: tuple[str, ...]) -> Document:
    """A document that says nothing of exportTo, exported to `names`."""
    spec = cast("PolicyModel", document.spec)
    return replace(document, spec=spec.model_copy(update={"export_to": names}))
