"""A workload's credentials as Envoy's secrets, under Istio's names.

They are made for one proxy and join its snapshot last (`Snapshot.with_secrets`); everything else in a snapshot is
shared between proxies and only refers to them.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from xds_server.mesh.credential import ROOTS_SUFFIX, CredentialSet
from xds_server.mesh.identity import Credentials
from xds_server.translate import names
from xds_server.translate.pack import resource
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

IDENTITY = "default"
"""The proxy's own certificate and key: always that of whoever asks."""
ROOTS = "ROOTCA"
"""Whom it believes."""


def secrets(credentials: Credentials) -> tuple[Resource, Resource]:
    """The two secrets of a workload. A renewal of the certificate leaves the second as it is, byte for byte."""
    identity = tls_v3.Secret(
        name=IDENTITY,
        tls_certificate=tls_v3.TlsCertificate(
            certificate_chain=core_v3.DataSource(inline_bytes=credentials.certificate_chain),
            private_key=core_v3.DataSource(inline_bytes=credentials.private_key),
        ),
    )
    roots = tls_v3.Secret(
        name=ROOTS,
        validation_context=tls_v3.CertificateValidationContext(
            trusted_ca=core_v3.DataSource(inline_bytes=credentials.roots)
        ),
    )
    return resource(type_url.SECRET, IDENTITY, identity), resource(type_url.SECRET, ROOTS, roots)


def credential_secrets(wanted: Iterable[str], credentials: CredentialSet) -> tuple[Resource, ...]:
    """The secrets named `wanted` that stand for credentials; none for those that are not there."""
    found = {name: bare for name in wanted if (bare := names.parse_credential(name)) in credentials.names}
    return tuple(_credential_secret(name, bare, credentials) for name, bare in sorted(found.items()))


def _credential_secret(name: str, bare: str, credentials: CredentialSet) -> Resource:
    if bare.endswith(ROOTS_SUFFIX):
        found = credentials.roots(bare)
        context = tls_v3.CertificateValidationContext(
            trusted_ca=core_v3.DataSource(inline_bytes=found.roots),
            crl=core_v3.DataSource(inline_bytes=found.revoked) if found.revoked else None,
        )
        return resource(type_url.SECRET, name, tls_v3.Secret(name=name, validation_context=context))
    pair = credentials.by_name[bare]
    certificate = tls_v3.TlsCertificate(
        certificate_chain=core_v3.DataSource(inline_bytes=pair.certificate_chain),
        private_key=core_v3.DataSource(inline_bytes=pair.private_key),
    )
    return resource(type_url.SECRET, name, tls_v3.Secret(name=name, tls_certificate=certificate))
