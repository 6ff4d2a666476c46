"""Message to Resource: encoded once, named by what it is, versioned by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import betterproto2

from xds_server.problem import Origin
from xds_server.translate.encode import encode, type_url_of
from xds_server.xds.resource import Resource

ROUTE_CONFIGURATION_VIRTUAL_HOSTS = 2
"""Field number of envoy.config.route.v3.RouteConfiguration.virtual_hosts."""


def resource(
    type_url: str,
    name: str,
    message: betterproto2.Message,
    refs: Iterable[tuple[str, str]] = (),
    origins: Iterable[Origin] = (),
) -> Resource:
    """`message` as a resource; see `Resource` for what the arguments mean. Refs and origins come out sorted, each once.

    Raises:
        ValueError: `type_url` is not that of `message`.
    """
    if type_url != type_url_of(type(message)):
        raise ValueError(f"a {type(message).__name__} is no {type_url}")
    body, needs, made_from = encode(message), tuple(sorted(set(refs))), tuple(sorted(set(origins)))
    return Resource(type_url, name, content_version(body), body, needs, made_from)


def content_version(body: bytes) -> str:
    """16 hex characters that are equal exactly when the bytes are."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()
