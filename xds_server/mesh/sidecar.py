"""What a Sidecar policy says of the proxies it selects: what comes in where, what may be seen going out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from xds_server.mesh.egress import EgressListener
from xds_server.mesh.gateway import ServerTls
from xds_server.mesh.service import Labels, Port
from xds_server.mesh.traffic import ConnectionPool
from xds_server.problem import Origin


class OutboundPolicy(enum.StrEnum):
    """What happens to traffic for a destination that no policy names."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"


@dataclass(frozen=True, slots=True)
class IngressListener:
    """Sidecar.ingress: one port that the sidecar takes for its application.

    Attributes:
        bind: address to bind in NONE mode, "" for the default.
        bound: the proxy binds it itself although it captures other ports.
        pool: limits towards the application; None is the Sidecar's own.
        tls: TLS of its own that the proxy ends there, where no mesh TLS is asked for.
        default_endpoint: where the application listens, as "127.0.0.1:port", "[::1]:port" or "unix:///path"; "" sends
            to where the traffic was addressed.
    """

    port: Port
    bind: str = ""
    default_endpoint: str = ""
    bound: bool = False
    pool: ConnectionPool | None = None
    tls: ServerTls | None = None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One Sidecar document.

    Attributes:
        selector: () selects every workload of the namespace; in the root namespace, of the mesh.
        ingress: None when not given (ports come from the services), () when given and empty.
        egress: None when not given: everything visible.
        egress_proxy: (host, port, subset) that takes traffic for unknown destinations; None sends it where it was
            going.
        outbound_policy: None is the mesh's.
        inbound_pool: limits towards the application; None is what the DestinationRules of its services say.
    """

    namespace: str
    selector: Labels = ()
    ingress: tuple[IngressListener, ...] | None = None
    egress: tuple[EgressListener, ...] | None = None
    egress_proxy: tuple[str, int, str] | None = None
    outbound_policy: OutboundPolicy | None = None
    inbound_pool: ConnectionPool | None = None
    origin: Origin | None = None
