"""Certificates in files of the proxy, as secrets: unlike files that a context names, these are read again on change."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import replace

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from xds_server.problem import Origin
from xds_server.translate import names, pack
from xds_server.xds import type_url
from xds_server.xds.resource import Resource


def file_certificate(certificate: str, key: str) -> Resource:
    """A certificate with its key."""
    found = tls_v3.TlsCertificate(
        certificate_chain=core_v3.DataSource(filename=certificate),
        private_key=core_v3.DataSource(filename=key),
        watched_directory=_directory(certificate),
    )
    name = names.file_certificate(certificate, key)
    return pack.resource(type_url.SECRET, name, tls_v3.Secret(name=name, tls_certificate=found))


def file_roots(path: str, revoked: str = "") -> Resource:
    """Whom to believe, and what they took back (a CRL)."""
    context = tls_v3.CertificateValidationContext(
        trusted_ca=core_v3.DataSource(filename=path),
        crl=core_v3.DataSource(filename=revoked) if revoked else None,
        watched_directory=_directory(path),
    )
    name = names.file_roots(path, revoked)
    return pack.resource(type_url.SECRET, name, tls_v3.Secret(name=name, validation_context=context))


def written_in(secrets: Iterable[Resource], origins: Iterable[Origin]) -> tuple[Resource, ...]:
    """The secrets with the documents that name their files, for whoever must explain that a proxy refuses one."""
    places = tuple(sorted(set(origins)))
    return tuple(replace(secret, origins=places) for secret in secrets)


def each_once(secrets: Iterable[Resource]) -> tuple[Resource, ...]:
    """Secrets of one name joined to one, with every document behind them."""
    found: dict[str, Resource] = {}
    for secret in secrets:
        other = found.setdefault(secret.name, secret)
        if other.origins != secret.origins:
            (found[secret.name],) = written_in([other], (*other.origins, *secret.origins))
    return tuple(found.values())


def _directory(path: str) -> core_v3.WatchedDirectory:
    """Envoy reads the files again when something is moved into it."""
    return core_v3.WatchedDirectory(path=posixpath.dirname(path) or ".")
