"""How connections to endpoints are secured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import endpoint, service, traffic_rule
from tests.translate.shown import shown
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Protocol, Resolution
from xds_server.mesh.traffic import ClientTls, LoadBalancer, LoadBalancing, TlsMode, TrafficPolicy
from xds_server.translate.client_tls import ClientSecurity, client_security, uses_mesh_tls
from xds_server.translate.mesh_tls import REFS

MESH = TrustDomain()
PROVEN = replace(endpoint("10.0.0.1"), tls_mode="istio", service_account="a", namespace="default")
PLAIN = endpoint("10.0.0.2")
SIMPLE = ClientTls(TlsMode.SIMPLE)
CREDENTIAL = ClientTls(TlsMode.MUTUAL, credential_name="c")
MUTUAL = ClientTls(TlsMode.MUTUAL, client_certificate="/c/a.crt", private_key="/c/a.key", ca_certificates="/d/ca.crt")


def made(
    tls: ClientTls | None = None,
    endpoints: Iterable[Endpoint] = (PROVEN, PLAIN),
    *,
    trust_domain: TrustDomain | None = MESH,
    protocol: Protocol = Protocol.HTTP,
    proxy_protocol: str = "",
    credentials: frozenset[str] = frozenset(),
    **more: object,
) -> ClientSecurity:
    """The security of the one cluster of a service with these endpoints; `more` is of the service."""
    found = replace(service(protocol=protocol, endpoints=endpoints), **more)  # type: ignore[arg-type] # Service's own
    rule = traffic_rule(TrafficPolicy(tls=tls, proxy_protocol=proxy_protocol))
    return client_security(Backend(found, rule), found.ports[0], "", trust_domain, credentials)


def context(found: ClientSecurity) -> dict[str, Any]:
    """The TLS context, of the first match where endpoints have their own."""
    socket = found.matches[0].transport_socket if found.matches else found.socket
    assert socket is not None
    config: dict[str, Any] = shown(socket)["typed_config"]
    return config


def names(found: ClientSecurity) -> list[tuple[str, str]]:
    """(kind, matcher) of each name that the server may bear."""
    validation = context(found)["common_tls_context"]["combined_validation_context"]
    matchers = validation.get("default_validation_context", {}).get("match_typed_subject_alt_names", [])
    return [(one["san_type"], *one["matcher"].values()) for one in matchers]


def test_endpoints_that_take_mesh_tls_get_it_and_others_do_not() -> None:
    """The entry without conditions stands last: the first that matches counts."""
    found = made()

    first, last = (shown(match) for match in found.matches)
    assert (first["name"], first["match"]) == ("tlsMode-istio", {"tlsMode": "istio"})
    assert (last["name"], last["transport_socket"]["name"]) == (
        "tlsMode-disabled",
        "envoy.transport_sockets.raw_buffer",
    )
    assert last["match"] == {}
    assert found.socket is None
    assert found.refs == REFS


@pytest.mark.parametrize(
    "plain",
    [
        made(trust_domain=None),
        made(endpoints=[PLAIN]),
        made(external=True),
        made(endpoints=[replace(PROVEN, plaintext_ports=(9080,))]),
        made(ClientTls(TlsMode.DISABLE)),
    ],
    ids=["no identity", "no endpoint takes it", "outside the mesh", "switched off", "DISABLE"],
)
def test_otherwise_connections_are_plain(plain: ClientSecurity) -> None:
    assert plain == ClientSecurity()


def test_server_must_be_an_account_of_the_service_in_any_name_of_the_mesh() -> None:
    other = replace(PROVEN, address="10.0.0.3", service_account="b")
    found = made(endpoints=[other, PROVEN], trust_domain=TrustDomain("new", ("old",)))

    assert names(found) == [
        ("URI", f"spiffe://{domain}/ns/default/sa/{account}") for account in "ab" for domain in ("new", "old")
    ]


def test_names_that_the_service_expects_are_taken_too() -> None:
    found = made(subject_alt_names=("spiffe://x/y", "web.example"))

    assert names(found)[:2] == [("URI", "spiffe://x/y"), ("DNS", "web.example")]


def test_server_without_a_known_account_must_be_of_the_namespace() -> None:
    """Istio would take any certificate of the root."""
    found = made(endpoints=[replace(PROVEN, service_account="")])

    assert names(found) == [("URI", "spiffe://cluster.local/ns/default/")]


def test_server_name_is_istios() -> None:
    assert context(made())["sni"] == "outbound_.9080_._.reviews"


@pytest.mark.parametrize("endpoints", [[PROVEN], [PROVEN, PLAIN], []])
def test_where_traffic_was_addressed_all_must_take_mesh_tls(endpoints: list[Endpoint]) -> None:
    """Such a connection belongs to no endpoint, so no metadata can choose."""
    found = made(endpoints=endpoints, resolution=Resolution.NONE)

    assert (found.socket is not None) == (endpoints == [PROVEN])
    assert found.matches == ()


def test_passthrough_is_addressed_too() -> None:
    rule = traffic_rule(TrafficPolicy(load_balancer=LoadBalancer(LoadBalancing.PASSTHROUGH)))
    found = service(endpoints=[PROVEN])

    assert client_security(Backend(found, rule), found.ports[0], "", MESH).socket is not None


def test_istio_mutual_is_for_every_endpoint_and_its_names_win() -> None:
    found = made(ClientTls(TlsMode.ISTIO_MUTUAL, sni="other", subject_alt_names=("spiffe://x/y",)), [PLAIN])

    assert found.matches == ()
    assert context(found)["sni"] == "other"
    assert names(found) == [("URI", "spiffe://x/y")]


@pytest.mark.parametrize(
    "refused",
    [
        made(ClientTls(TlsMode.ISTIO_MUTUAL), trust_domain=None),
        made(ClientTls(TlsMode.SIMPLE, credential_name="c")),
        made(ClientTls(TlsMode.MUTUAL, credential_name="c")),
    ],
    ids=["mesh TLS without an identity", "SIMPLE by a credential", "MUTUAL by a credential"],
)
def test_tls_that_cannot_be_had_is_never_plaintext(refused: ClientSecurity) -> None:
    assert refused == ClientSecurity(refused=True)


def test_router_shows_what_the_secrets_directory_holds() -> None:
    found = made(CREDENTIAL, credentials=frozenset({"c", "c-cacert"}))

    assert [name for _, name in found.refs] == ["kubernetes://c", "kubernetes://c-cacert"]
    assert found.secrets == ()


@pytest.mark.parametrize("credentials", [{"c"}, {"c-cacert"}, {"other"}])
def test_part_of_a_credential_is_not_enough(credentials: set[str]) -> None:
    assert made(CREDENTIAL, credentials=frozenset(credentials)).refused


def test_simple_believes_the_systems_authorities_and_checks_the_name_that_a_request_says() -> None:
    found = made(SIMPLE, trust_domain=None)

    (roots,) = found.secrets
    assert roots.name == "file-root:/etc/ssl/certs/ca-certificates.crt"
    assert found.http is not None
    assert (found.http.auto_sni, found.http.auto_san_validation) == (True, True)
    assert "alpn_protocols" not in context(found)["common_tls_context"]


def test_names_of_a_rule_are_checked_as_what_they_look_like() -> None:
    found = made(replace(SIMPLE, subject_alt_names=("a.example", "10.0.0.1", "spiffe://b/c", "d@e")))

    assert names(found) == [("DNS", "a.example"), ("IP_ADDRESS", "10.0.0.1"), ("URI", "spiffe://b/c"), ("EMAIL", "d@e")]
    assert found.http is not None
    assert found.http.auto_san_validation is False


def test_rule_without_names_checks_those_of_the_service() -> None:
    assert names(made(SIMPLE, subject_alt_names=("a.example",))) == [("DNS", "a.example")]


def test_server_name_of_a_rule_is_what_is_asked_for() -> None:
    found = made(replace(SIMPLE, sni="a.example"))

    assert context(found)["sni"] == "a.example"
    assert found.http is None


@pytest.mark.parametrize("protocol", [Protocol.HTTPS, Protocol.TLS, Protocol.TCP, Protocol.AUTO])
def test_name_of_a_request_is_checked_whatever_the_port_is_declared_as(protocol: Protocol) -> None:
    """A route leads plain requests to port 443 of a service, which is no HTTP port: the way to begin TLS in Istio."""
    found = made(SIMPLE, trust_domain=None, protocol=protocol)

    assert found.http is not None
    assert (found.http.auto_sni, found.http.auto_san_validation) == (True, True)


def test_what_is_not_to_be_verified_is_not() -> None:
    found = made(replace(SIMPLE, insecure_skip_verify=True))

    assert "combined_validation_context" not in context(found)["common_tls_context"]
    assert found.secrets == ()


def test_files_are_secrets_so_that_they_are_read_again() -> None:
    found = made(MUTUAL)

    identity, roots = found.secrets
    assert (identity.name, roots.name) == ("file-cert:/c/a.crt~/c/a.key", "file-root:/d/ca.crt")
    assert found.refs == tuple((secret.type_url, secret.name) for secret in found.secrets)


def test_list_of_revoked_certificates_is_part_of_the_authorities() -> None:
    _, roots = made(replace(MUTUAL, ca_crl="/d/crl.pem")).secrets

    assert roots.name == "file-root:/d/ca.crt~/d/crl.pem"


def test_header_of_the_proxy_protocol_goes_in_front_of_every_socket() -> None:
    found = made(proxy_protocol="V1")

    sockets = [match.transport_socket.name for match in found.matches if match.transport_socket]
    assert sockets == ["envoy.transport_sockets.upstream_proxy_protocol"] * 2


@pytest.mark.parametrize(("tls", "uses"), [(None, True), (SIMPLE, False), (ClientTls(TlsMode.ISTIO_MUTUAL), True)])
def test_whether_mesh_tls_is_used_is_known_without_making_it(tls: ClientTls | None, *, uses: bool) -> None:
    found = service(endpoints=[PROVEN])

    assert uses_mesh_tls(Backend(found, traffic_rule(TrafficPolicy(tls=tls))), found.ports[0], "", MESH) is uses
