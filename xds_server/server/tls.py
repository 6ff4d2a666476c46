"""TLS of the xDS port: version 1.3, a certificate that can change under open streams, client certificates.

gRPC for Python has no setting for the least TLS version. Its TLS 1.2 cipher suites can be chosen, though, by an
environment variable that is read once, as soon as gRPC is imported: `server/__init__.py` sets it. The suite named there
needs an RSA certificate, and ours are EC, so that no handshake below 1.3 succeeds. `is_current` catches what did not
come by this way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc


@dataclass(frozen=True, slots=True)
class PortCertificate:
    """What the port shows, and whom it believes: PEM. The key must be an EC key; it is never shown in a repr.

    Attributes:
        client_roots: authorities of client certificates.
    """

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    client_roots: bytes


def port_credentials(
    current: Callable[[], PortCertificate], *, require_client_certificate: bool
) -> grpc.ServerCredentials:
    """Credentials for `listen` that ask `current` at every new connection; those that are open keep what they have.

    Args:
        current: called in a thread of gRPC's; cheap, and the same object as long as nothing changed.
        require_client_certificate: connections without one fail in the handshake. Otherwise none is asked for.
    """
    shown = current()

    def changed() -> Any:
        nonlocal shown
        latest = current()
        if latest is shown:
            return None
        shown = latest
        return _configuration(latest)

    return grpc.dynamic_ssl_server_credentials(_configuration(shown), changed, require_client_certificate)


def is_current(auth_context: Mapping[str, Sequence[bytes]]) -> bool:
    """Whether a connection is TLS 1.3, or not TLS at all; `auth_context` is gRPC's."""
    return all(version == b"TLSv1.3" for version in auth_context.get("ssl_tls_version", ()))


def _configuration(certificate: PortCertificate) -> Any:
    pair = (certificate.private_key, certificate.certificate_chain)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=certificate.client_roots)
