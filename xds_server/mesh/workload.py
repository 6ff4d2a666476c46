"""What we know of a connected proxy and of the application beside it.

Built from what Envoy says in its bootstrap `node`; believed only as far as identity allows, which is not decided here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.mesh.service import Labels, Locality

REPLICA = "@"
"""What tells one of several proxies of a name from the others in a node id; no name has it."""


class Interception(enum.StrEnum):
    """How traffic reaches the sidecar (node metadata INTERCEPTION_MODE, Istio's words)."""

    REDIRECT = "REDIRECT"
    """iptables send outbound TCP to 15001 and inbound TCP to 15006; the default."""
    NONE = "NONE"
    """No privileges: listeners bound on loopback, and an HTTP proxy port."""


class Role(enum.StrEnum):
    """On which side of a request the proxy stands."""

    CLIENT = "CLIENT"
    SERVER = "SERVER"


BOTH = frozenset(Role)


class NodeType(enum.StrEnum):
    """What a proxy is for: the first part of Istio's node ids."""

    SIDECAR = "sidecar"
    """It stands beside one application."""
    ROUTER = "router"
    """It stands alone, and lets traffic in or out as Gateways say."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One proxy's application.

    Attributes:
        addresses: its IP addresses: the one in an Istio node id, and INSTANCE_IPS.
        dns_capture: DNS_CAPTURE: its DNS queries come to the sidecar.
        self_discovery: ENABLE_SELF_DISCOVERY: it asks for the endpoints of its own service, to compare zones with.
        http_proxy_port: HTTP_PROXY_PORT, where the sidecar listens as a forward proxy; 0 for none.
        bind_address: where outbound listeners bind in NONE mode (metadata OUTBOUND_BIND_ADDRESS).
    """

    name: str
    namespace: str
    labels: Labels = ()
    addresses: tuple[str, ...] = ()
    service_account: str = ""
    locality: Locality = Locality()
    interception: Interception = Interception.REDIRECT
    http_proxy_port: int = 0
    dns_capture: bool = False
    bind_address: str = "127.0.0.1"
    node_type: NodeType = NodeType.SIDECAR
    self_discovery: bool = False


def workload(
    node_id: str,
    *,
    default_namespace: str,
    metadata: Mapping[str, object] | None = None,
    locality: Locality = Locality(),
) -> Workload:
    """The workload a node says it is.

    `node_id` may have Istio's form `TYPE~IP~NAME.NAMESPACE~DOMAIN` with TYPE sidecar or router, where
    `NAME@REPLICA.NAMESPACE` is one of several proxies of that name; any other text is the workload's name. Metadata
    NAME, NAMESPACE, LABELS, INSTANCE_IPS, SERVICE_ACCOUNT, INTERCEPTION_MODE and HTTP_PROXY_PORT win over the id.
    Values of the wrong type are passed over: a peer's mistake must not cost more than its own configuration.
    """
    meta = metadata or {}
    address, name, namespace = _parse_id(node_id)
    labels = meta.get("LABELS")
    addresses = tuple(ip.strip() for ip in _text(meta, "INSTANCE_IPS").split(",") if ip.strip())
    mode = _text(meta, "INTERCEPTION_MODE").upper()
    return Workload(
        name=_text(meta, "NAME") or _text(meta, "WORKLOAD_NAME") or name,
        namespace=_text(meta, "NAMESPACE") or namespace or default_namespace,
        labels=tuple(sorted((str(k), str(v)) for k, v in labels.items())) if isinstance(labels, Mapping) else (),
        addresses=tuple(dict.fromkeys((*((address,) if address else ()), *addresses))),
        service_account=_text(meta, "SERVICE_ACCOUNT"),
        locality=locality,
        interception=Interception.NONE if mode == "NONE" else Interception.REDIRECT,
        dns_capture=_flag(meta, "DNS_CAPTURE"),
        self_discovery=_flag(meta, "ENABLE_SELF_DISCOVERY"),
        http_proxy_port=_port(meta.get("HTTP_PROXY_PORT")),
        bind_address=_text(meta, "OUTBOUND_BIND_ADDRESS") or "127.0.0.1",
        node_type=NodeType.ROUTER if node_id.startswith(f"{NodeType.ROUTER}~") else NodeType.SIDECAR,
    )


def _parse_id(node_id: str) -> tuple[str, str, str]:
    """(address, name, namespace) of an Istio node id; any other id is a name alone."""
    parts = node_id.split("~")
    if len(parts) != 4:
        return "", node_id, ""
    name, _, namespace = parts[2].rpartition(".")
    name, _, _ = name.partition(REPLICA)
    return (parts[1], name, namespace) if name else (parts[1], parts[2], "")


def _text(metadata: Mapping[str, object], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""


def _flag(metadata: Mapping[str, object], key: str) -> bool:
    return str(metadata.get(key)).lower() == "true"


def _port(value: object) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # google.protobuf.Struct has no integers
    return value if isinstance(value, int) and 0 < value < 65536 else 0
