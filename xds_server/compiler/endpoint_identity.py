"""What the endpoints of services can prove, what is asked of them, and where the two do not go together.

An endpoint takes mesh TLS when it has a service account or says so by a label, and no PeerAuthentication switches mesh
TLS off for its port. Callers that guess wrong are refused, so what is likely to be wrong is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xds_server.compiler.finding import Outcome, Place
from xds_server.mesh.security import MutualTls, PeerPolicies
from xds_server.mesh.service import Endpoint, Port
from xds_server.problem import Problem

Placed = tuple[Place, Endpoint]
"""An endpoint with the place where it is written."""


def asked(endpoint: Endpoint, ports: Iterable[Port], peers: PeerPolicies) -> Endpoint:
    """The endpoint, with the ports on which a policy switches mesh TLS off."""
    if not peers.disables:
        return endpoint
    numbers = {endpoint.port_for(port) for port in ports}
    plain = (n for n in numbers if peers.mode(endpoint.namespace, endpoint.labels, n) is MutualTls.DISABLE)
    return replace(endpoint, plaintext_ports=tuple(sorted(plain)))


def identity_traps(endpoints: Iterable[Placed], *, external: bool) -> tuple[Problem, ...]:
    """What is to be said of endpoints that claim an identity."""
    found = [(place, endpoint) for place, endpoint in endpoints if endpoint.has_identity]
    if external:
        return tuple(_external(place) for place, _ in found)
    return tuple(_unknown_account(place) for place, endpoint in found if not endpoint.service_account)


def refusing(endpoints: tuple[Placed, ...], ports: tuple[Port, ...], peers: PeerPolicies) -> Outcome[None]:
    """Warnings of endpoints that are called without mesh TLS where a policy asks for it."""
    return Outcome(
        None,
        tuple(
            _plain_under_strict(place, endpoint)
            for place, endpoint in endpoints
            if not endpoint.has_identity
            and any(
                peers.mode(endpoint.namespace, endpoint.labels, endpoint.port_for(port)) is MutualTls.STRICT
                for port in ports
            )
        ),
    )


def _external(place: Place) -> Problem:
    message = "callers speak no mesh TLS to a service outside the mesh, whatever its endpoints can prove"
    return place.warning("external-identity", message, "write location: MESH_INTERNAL")


def _unknown_account(place: Place) -> Problem:
    message = "takes mesh TLS, but names no serviceAccount: callers can only check its namespace"
    return place.warning("unknown-account", message, "write serviceAccount")


def _plain_under_strict(place: Place, endpoint: Endpoint) -> Problem:
    message = (
        f"{endpoint.address} names no serviceAccount, so callers speak no mesh TLS to it, and a PeerAuthentication "
        "says STRICT: they are refused"
    )
    return place.warning("plaintext-under-strict", message, "write serviceAccount, as the workload is enrolled")
