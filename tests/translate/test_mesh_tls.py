"""Both ends of mesh TLS as Envoy is told them."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from tests.translate.shown import shown
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.service import Protocol
from xds_server.translate.mesh_tls import client_socket, mesh_alpn, server_socket, uri_matcher

STREAM = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}


def context(socket: core_v3.TransportSocket) -> dict[str, Any]:
    config: dict[str, Any] = shown(socket)["typed_config"]
    return config


def common(socket: core_v3.TransportSocket) -> dict[str, Any]:
    found: dict[str, Any] = context(socket)["common_tls_context"]
    return found


CLIENT = client_socket([uri_matcher(matcher_v3.StringMatcher(exact="spiffe://a/b"))], "web", "istio")
SERVER = server_socket(TrustDomain("cluster.local", ("old.example",)))


@pytest.mark.parametrize("socket", [CLIENT, SERVER], ids=["client", "server"])
def test_certificate_and_roots_come_by_name_over_the_stream(socket: core_v3.TransportSocket) -> None:
    """The names are the same for every proxy: a view does not depend on whose it is."""
    found = common(socket)

    assert found["tls_certificate_sds_secret_configs"] == [{"name": "default", "sds_config": STREAM}]
    roots = found["combined_validation_context"]["validation_context_sds_secret_config"]
    assert roots == {"name": "ROOTCA", "sds_config": STREAM}
    assert found["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"


def test_caller_checks_the_name_and_says_what_is_inside() -> None:
    found = common(CLIENT)

    names = found["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "URI", "matcher": {"exact": "spiffe://a/b"}}]
    assert found["alpn_protocols"] == ["istio"]
    assert context(CLIENT)["sni"] == "web"


def test_server_wants_a_certificate_of_the_trust_domain_or_an_alias() -> None:
    """The prefix ends in a slash: `cluster.local.evil` is another domain."""
    found = common(SERVER)

    names = found["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
    prefixes = [name["matcher"]["prefix"] for name in names]
    assert prefixes == ["spiffe://cluster.local/", "spiffe://old.example/"]
    assert context(SERVER)["require_client_certificate"] is True
    assert found["alpn_protocols"] == ["h2", "http/1.1"]


@pytest.mark.parametrize(
    ("protocol", "http2", "alpn"),
    [
        (Protocol.HTTP, False, "istio-http/1.1"),
        (Protocol.HTTP, True, "istio-h2"),
        (Protocol.GRPC, True, "istio-h2"),
        (Protocol.AUTO, False, "istio-http/1.1"),
        (Protocol.TCP, False, "istio"),
        (Protocol.TLS, False, "istio"),
        (Protocol.MYSQL, False, "istio"),
    ],
)
def test_alpn_is_what_the_port_carries(protocol: Protocol, alpn: str, *, http2: bool) -> None:
    assert mesh_alpn(protocol, http2=http2) == alpn
