"""Which kinds of documents we read: one table, and what is said of every other kind."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from xds_server.policy.destination_rule import DestinationRuleSpec
from xds_server.policy.gateway import GatewaySpec
from xds_server.policy.mesh_config import GROUP as MESH
from xds_server.policy.mesh_config import MeshConfigSpec
from xds_server.policy.model import Finding, PolicyModel
from xds_server.policy.peer_authentication import PeerAuthenticationSpec
from xds_server.policy.service_entry import ServiceEntrySpec
from xds_server.policy.sidecar import SidecarSpec
from xds_server.policy.telemetry import TelemetrySpec
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.policy.workload_entry import WorkloadEntrySpec
from xds_server.policy.workload_group import WorkloadGroupSpec
from xds_server.problem import Severity

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
TELEMETRY = "telemetry.istio.io"
EXTENSIONS = "extensions.istio.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that we serve. Its versions share one schema, as in Istio; the first is the one to write today."""

    name: str
    model: type[PolicyModel]
    versions: tuple[str, ...]


_NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")
_SECURITY_VERSIONS = ("v1", "v1beta1")
_TELEMETRY_VERSIONS = ("v1", "v1alpha1")

KINDS: dict[tuple[str, str], Kind] = {
    (NETWORKING, "VirtualService"): Kind("VirtualService", VirtualServiceSpec, _NETWORKING_VERSIONS),
    (NETWORKING, "DestinationRule"): Kind("DestinationRule", DestinationRuleSpec, _NETWORKING_VERSIONS),
    (NETWORKING, "ServiceEntry"): Kind("ServiceEntry", ServiceEntrySpec, _NETWORKING_VERSIONS),
    (NETWORKING, "WorkloadEntry"): Kind("WorkloadEntry", WorkloadEntrySpec, _NETWORKING_VERSIONS),
    (NETWORKING, "WorkloadGroup"): Kind("WorkloadGroup", WorkloadGroupSpec, _NETWORKING_VERSIONS),
    (MESH, "MeshConfig"): Kind("MeshConfig", MeshConfigSpec, ("v1alpha1",)),
    (NETWORKING, "Gateway"): Kind("Gateway", GatewaySpec, _NETWORKING_VERSIONS),
    (NETWORKING, "Sidecar"): Kind("Sidecar", SidecarSpec, _NETWORKING_VERSIONS),
    (SECURITY, "PeerAuthentication"): Kind("PeerAuthentication", PeerAuthenticationSpec, _SECURITY_VERSIONS),
    (TELEMETRY, "Telemetry"): Kind("Telemetry", TelemetrySpec, _TELEMETRY_VERSIONS),
}
"""By (API group, kind)."""

NOT_SERVED: frozenset[tuple[str, str]] = frozenset(
    {
        (NETWORKING, "EnvoyFilter"),
        (NETWORKING, "ProxyConfig"),
        (SECURITY, "RequestAuthentication"),
        (SECURITY, "AuthorizationPolicy"),
        (EXTENSIONS, "WasmPlugin"),
        (EXTENSIONS, "TrafficExtension"),
    }
)
"""Istio's other kinds: refused, because a policy that is silently left out may be the one that closes a door."""

_GATEWAYS, _APPS = "gateway.networking.k8s.io", "apps"
_ROUTE = "write a VirtualService"
_WORKLOADS = "write a WorkloadEntry, or an endpoint of a ServiceEntry, for each place where it runs"
_ENDPOINTS = "write its addresses as the endpoints of a ServiceEntry, or as WorkloadEntries"
_MESH = "as a document of kind MeshConfig"
INSTEAD: dict[tuple[str, str], str] = {
    ("", "Service"): "write a ServiceEntry of its name and ports, with the addresses of those who serve it",
    ("", "Endpoints"): _ENDPOINTS,
    ("discovery.k8s.io", "EndpointSlice"): _ENDPOINTS,
    ("", "Pod"): _WORKLOADS,
    **{(_APPS, kind): _WORKLOADS for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")},
    ("", "ServiceAccount"): "name it as serviceAccount of endpoints, WorkloadEntries and WorkloadGroups",
    ("", "Namespace"): "a namespace needs no document: metadata.namespace names it",
    ("", "Secret"): "put its files into the secrets directory (serve --secrets)",
    ("", "ConfigMap"): f"where it holds Istio's mesh configuration, write what is under data.mesh {_MESH}",
    ("install.istio.io", "IstioOperator"): f"write what is under spec.meshConfig {_MESH}",
    (_GATEWAYS, "Gateway"): f"write a Gateway of {NETWORKING}/v1",
    **{(_GATEWAYS, f"{kind}Route"): _ROUTE for kind in ("HTTP", "GRPC", "TLS", "TCP")},
    ("networking.k8s.io", "Ingress"): "write a Gateway and a VirtualService",
}
"""What to write instead of Kubernetes' kinds, which files written for Istio often hold too."""

_GROUP_BY_KIND = {kind: group for group, kind in (*KINDS, *NOT_SERVED)}
_GROUPS = frozenset(_GROUP_BY_KIND.values())


def find_kind(api_version: str, kind: str) -> Kind | Finding:
    """The kind that a document names, or what is to be said when we have none."""
    group, _, version = api_version.rpartition("/")
    found = KINDS.get((group, kind))
    if found is not None:
        return found if version in found.versions else _unknown_version(api_version, group, found)
    if (group, kind) in NOT_SERVED:
        message = f"kind {kind} is not supported yet"
        return Finding(message, "remove the document until it is", ("kind",), "unsupported-kind")
    if group in _GROUPS:
        return _unknown_kind(group, kind)
    return _foreign(api_version, group, kind)


def nearest_kind(text: object) -> str | None:
    """The kind of ours that a document means which says its kind is `text`, misspelt or not."""
    close = (
        difflib.get_close_matches(text, [kind for _, kind in KINDS], n=1, cutoff=0.8) if isinstance(text, str) else []
    )
    return close[0] if close else None


def _unknown_version(api_version: str, group: str, kind: Kind) -> Finding:
    fix = f"write {group}/{kind.versions[0]}"
    return Finding(f'there is no apiVersion "{api_version}"', fix, ("apiVersion",), "unknown-kind")


def _unknown_kind(group: str, kind: str) -> Finding:
    if kind in _GROUP_BY_KIND:
        fix = f"write {_GROUP_BY_KIND[kind]}/v1"
        return Finding(f"{group} has no kind {kind}", fix, ("apiVersion",), "unknown-kind")
    near = difflib.get_close_matches(kind, _GROUP_BY_KIND, n=1)
    fix = f"write {near[0]}" if near else f"kinds are {', '.join(sorted(_GROUP_BY_KIND))}"
    return Finding(f'there is no kind "{kind}"', fix, ("kind",), "unknown-kind")


def _foreign(api_version: str, group: str, kind: str) -> Finding:
    meant = _GROUP_BY_KIND.get(kind)
    if meant is not None and (not group or difflib.get_close_matches(group, [meant], cutoff=0.7)):
        return Finding(
            f'{kind} has no apiVersion "{api_version}"', f"write {meant}/v1", ("apiVersion",), "unknown-kind"
        )
    message = f"ignored: {api_version} {kind} is not an Istio policy"
    return Finding(message, INSTEAD.get((group, kind), ""), ("kind",), "not-a-policy", Severity.WARNING)
