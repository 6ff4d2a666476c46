"""The ways into a port: which connections its proxy takes, and what it reads in them.

This is one table. For each mode it names the ways in, as Envoy's filter chains tell them apart: by transport protocol
(what the TLS inspector found) and application protocol (ALPN, or what the HTTP inspector found). Two rules hold:

- The match never backtracks, so whoever opens a branch closes it: plain connections of a detected port are `raw_buffer`
  with HTTP and `raw_buffer` without, and TLS that is not of the mesh has a way of its own.
- The ways that mesh TLS takes are the same in PERMISSIVE and STRICT. A change of mode adds and removes others only, and
  Envoy keeps every mesh connection that is open.

Source: Istio, pilot/pkg/networking/core (getFilterChainMatchOptions). Unlike there, STRICT takes mesh certificates
whatever ALPN the caller offers.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from xds_server.mesh.security import MutualTls
from xds_server.mesh.service import Protocol
from xds_server.translate.filter_chain import HTTP_DETECTED, PLAINTEXT
from xds_server.translate.mesh_tls import HTTP_ALPN, MESH_ALPN, TCP_ALPN

TLS = "tls"
"""transport_protocol of a connection that the TLS inspector found to be TLS."""


class Reading(enum.Enum):
    """What a proxy reads in a connection."""

    HTTP = enum.auto()
    TCP = enum.auto()


@dataclass(frozen=True, slots=True)
class WayIn:
    """One way into a port.

    Attributes:
        mesh_tls: the proxy itself ends the TLS, and asks for a certificate of the mesh.
        transport: transport_protocol; "" is any.
        protocols: application protocols; () is any.
    """

    reading: Reading
    mesh_tls: bool = False
    transport: str = ""
    protocols: tuple[str, ...] = ()


_HTTP, _TCP = Reading.HTTP, Reading.TCP
_MESH_HTTP = WayIn(_HTTP, mesh_tls=True, transport=TLS, protocols=HTTP_ALPN)
_MESH_TCP = WayIn(_TCP, mesh_tls=True, transport=TLS, protocols=TCP_ALPN)
_DECLARED_HTTP = WayIn(_HTTP, mesh_tls=True, transport=TLS, protocols=MESH_ALPN)
_DECLARED_TCP = WayIn(_TCP, mesh_tls=True, transport=TLS, protocols=MESH_ALPN)
_OTHER_MESH_TCP = WayIn(_TCP, mesh_tls=True, transport=TLS)
_OTHER_MESH_HTTP = WayIn(_HTTP, mesh_tls=True, transport=TLS)
_PLAIN_HTTP = WayIn(_HTTP, transport=PLAINTEXT)
_PLAIN_HTTP_DETECTED = WayIn(_HTTP, transport=PLAINTEXT, protocols=HTTP_DETECTED)
_PLAIN_TCP = WayIn(_TCP, transport=PLAINTEXT)
_APPLICATION_TLS = WayIn(_TCP, transport=TLS)

_DETECTED, _IS_HTTP, _IS_TCP = "detected", "HTTP", "TCP"
_WAYS: dict[tuple[str, MutualTls], tuple[WayIn, ...]] = {
    # Nobody looks for TLS here: it would hold up protocols in which the server speaks first.
    (_DETECTED, MutualTls.DISABLE): (WayIn(_HTTP, protocols=HTTP_DETECTED), WayIn(_TCP)),
    (_IS_HTTP, MutualTls.DISABLE): (WayIn(_HTTP),),
    (_IS_TCP, MutualTls.DISABLE): (WayIn(_TCP),),
    (_DETECTED, MutualTls.PERMISSIVE): (_MESH_HTTP, _MESH_TCP, _PLAIN_HTTP_DETECTED, _PLAIN_TCP, _APPLICATION_TLS),
    (_IS_HTTP, MutualTls.PERMISSIVE): (_DECLARED_HTTP, _PLAIN_HTTP),
    (_IS_TCP, MutualTls.PERMISSIVE): (_DECLARED_TCP, _PLAIN_TCP, _APPLICATION_TLS),
    (_DETECTED, MutualTls.STRICT): (_MESH_HTTP, _MESH_TCP, _OTHER_MESH_TCP),
    (_IS_HTTP, MutualTls.STRICT): (_DECLARED_HTTP, _OTHER_MESH_HTTP),
    (_IS_TCP, MutualTls.STRICT): (_DECLARED_TCP, _OTHER_MESH_TCP),
}


def ways_in(protocol: Protocol, mode: MutualTls, *, has_identity: bool) -> tuple[WayIn, ...]:
    """The ways into a port; none when it asks for mesh TLS and the proxy has no identity to speak it with.

    Such a port stays closed: plain connections are what its policy forbids.
    """
    if not has_identity:
        if mode is MutualTls.STRICT:
            return ()
        mode = MutualTls.DISABLE
    return _WAYS[_kind(protocol), mode]


def _kind(protocol: Protocol) -> str:
    if protocol is Protocol.AUTO:
        return _DETECTED
    return _IS_HTTP if protocol.is_http else _IS_TCP
