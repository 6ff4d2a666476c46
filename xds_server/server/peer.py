"""What gRPC knows of a peer before it says a word."""

from __future__ import annotations

from typing import Any

from xds_server.server.hub import Peer


def peer_of(call: Any) -> Peer:
    """Who calls; `call` is a grpc.aio.ServicerContext."""
    shown = call.auth_context()
    return Peer(
        address=call.peer(),
        metadata={key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)},
        certificate_names=tuple(name.decode() for name in shown.get("x509_subject_alternative_name", ())),
        certificate=b"".join(shown.get("x509_pem_cert", ())),
    )
