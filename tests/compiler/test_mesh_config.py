"""Defaults of the whole mesh."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import codes, compiled, document, entry, istio, workload
from xds_server.compiler.mesh_config import ISTIO, mesh_defaults, with_default_export
from xds_server.compiler.premises import NO_ENVIRONMENT
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.proxy_settings import (
    EDGE_LIMITS,
    ISTIO_HEADERS,
    ISTIO_SETTINGS,
    NO_LIMITS,
    ConnectionLimits,
    ForwardedCert,
    PathNormalization,
    ProxyHeaders,
    ProxySettings,
    TlsLimits,
    ToldOfCaller,
    Topology,
    Underscores,
)
from xds_server.mesh.route import Retry
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.traffic import H2Upgrade, TlsMode, TrafficPolicy
from xds_server.mesh.view import view_for
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.problem import Severity

SECOND = timedelta(seconds=1)


def config(spec: str, name: str = "mesh") -> str:
    return istio("MeshConfig", spec, name=name).replace("/v1\n", "/v1alpha1\n")


def mesh(spec: str, more: str = "") -> Mesh:
    return compiled(config(spec) + entry() + more)[0]


def policy(spec: str, more: str = "") -> TrafficPolicy:
    return mesh(spec, more).default_scope.backends["reviews"].traffic.policy_for(80)


def host(spec: str, more: str = "") -> VirtualHost:
    (found,) = mesh(spec, more).default_scope.virtual_hosts
    return found


def test_nothing_written_is_istios() -> None:
    assert mesh_defaults((), "cluster.local", NO_ENVIRONMENT).value is ISTIO


def test_first_of_two_is_in_force_and_the_other_an_error() -> None:
    found, problems = compiled(config("proxyHttpPort: 1", "a") + config("proxyHttpPort: 2", "b"))

    assert found.http_proxy_port == 1
    assert [(problem.name, problem.code) for problem in problems] == [("b", "duplicate-mesh-config")]


@pytest.mark.parametrize(
    ("rule", "seconds"), [("", 3), ("tcp: {connectTimeout: 7s}", 7), ("tcp: {maxConnections: 1}", 3)]
)
def test_connect_timeout_holds_where_a_rule_says_nothing(rule: str, seconds: int) -> None:
    text = istio("DestinationRule", f"host: reviews, trafficPolicy: {{connectionPool: {{{rule}}}}}") if rule else ""

    assert policy("connectTimeout: 3s", text).connection_pool.connect_timeout == seconds * SECOND


def test_keepalive_and_upgrade_hold_for_every_pool() -> None:
    pool = policy("tcpKeepalive: {time: 9s}, h2UpgradePolicy: UPGRADE").connection_pool

    assert pool.tcp_keepalive is not None
    assert pool.tcp_keepalive.time == 9 * SECOND
    assert pool.h2_upgrade is H2Upgrade.UPGRADE


def test_default_policy_gives_whole_sections() -> None:
    spec = "defaultTrafficPolicy: {outlierDetection: {}, connectionPool: {tcp: {maxConnections: 7}}}"
    rule = istio("DestinationRule", "host: reviews, trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}")

    assert policy(spec).connection_pool.max_connections == 7
    assert policy(spec, rule).connection_pool.max_connections != 7
    assert policy(spec, rule).outlier_detection is not None


def test_locality_load_balancing_can_be_switched_off() -> None:
    assert policy("localityLbSetting: {enabled: false}").load_balancer.locality is None


def test_mesh_tls_can_be_left_to_rules() -> None:
    rule = istio("DestinationRule", "host: reviews, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")

    off, on = policy("enableAutoMtls: false").tls, policy("enableAutoMtls: false", rule).tls
    assert off is not None
    assert on is not None
    assert (off.mode, on.mode) == (TlsMode.DISABLE, TlsMode.ISTIO_MUTUAL)


def test_retry_holds_for_rules_that_say_nothing_and_for_services_without_rules() -> None:
    spec = "defaultHttpRetryPolicy: {attempts: 5, retryOn: reset}"
    silent = istio("VirtualService", "hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]")
    speaking = silent.replace("}]}]}", "}], retries: {attempts: 1}}]}")

    for text, attempts in (("", 5), (silent, 5), (speaking, 1)):
        retry = host(spec, text).routes[0].retry
        assert retry is not None
        assert retry.attempts == attempts


def test_retries_can_be_switched_off() -> None:
    (route,) = host("defaultHttpRetryPolicy: {attempts: 0}").routes

    assert route.retry is None


def test_services_keep_the_generated_route_without_a_policy_of_the_mesh() -> None:
    assert host("connectTimeout: 3s").routes == ()
    assert Retry() == ISTIO.retry


def test_documents_without_export_are_exported_as_the_mesh_says() -> None:
    found = mesh('defaultServiceExportTo: ["."]', entry("ratings", "exportTo: ['*'], endpoints: [{address: 10.0.0.2}]"))

    assert sorted(found.default_scope.backends) == ["ratings"]
    assert sorted(found.scope("default").backends) == ["ratings", "reviews"]


def test_document_with_a_default_stays_what_it_is() -> None:
    plain = document(entry())

    assert with_default_export(plain, (".",)).key == plain.key


def test_unknown_destinations_and_forward_proxies() -> None:
    found = mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}, proxyHttpPort: 15080")

    assert found.outbound_policy is OutboundPolicy.REGISTRY_ONLY
    assert view_for(found, workload()).http_proxy_port == 0


def test_root_namespace_is_the_meshs() -> None:
    assert mesh("rootNamespace: infra").root_namespace == "infra"


@pytest.mark.parametrize(("written", "found"), [("cluster.local", []), ("other.example", ["other-trust-domain"])])
def test_trust_domain_is_the_servers_and_another_is_an_error_that_names_both(written: str, found: list[str]) -> None:
    made, problems = compiled(config(f"trustDomain: {written}, rootNamespace: infra"))

    assert codes(problems) == found
    for problem in problems:
        assert (problem.field, problem.severity) == ("spec.trustDomain", Severity.ERROR)
        assert "cluster.local" in problem.message
        assert written in problem.message
    assert made.root_namespace == "infra"


def test_trust_domain_aliases_are_the_meshs() -> None:
    assert mesh("trustDomainAliases: [old.example, older.example]").trust_domain_aliases == (
        "old.example",
        "older.example",
    )


def test_edit_takes_effect_and_is_taken_back() -> None:
    memo, plain = Memo(), entry()
    before = compiled(plain, memo=memo)[0]

    during = compiled(plain + config("connectTimeout: 3s"), memo=memo)[0]
    after = compiled(plain, memo=memo)[0]

    timeouts = [
        found.default_scope.backends["reviews"].traffic.policy_for(80).connection_pool.connect_timeout
        for found in (before, during, after)
    ]
    assert timeouts == [10 * SECOND, 3 * SECOND, 10 * SECOND]
    assert not codes(compiled(plain, memo=memo)[1])


def settings(spec: str) -> ProxySettings:
    return mesh(spec).settings


def test_settings_of_proxies_are_istios_where_nothing_is_written() -> None:
    assert settings("connectTimeout: 3s, pathNormalization: {}, meshMTLS: {}") == ISTIO_SETTINGS


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("pathNormalization: {normalization: DEFAULT}", ISTIO_SETTINGS),
        (
            "pathNormalization: {normalization: MERGE_SLASHES}",
            ProxySettings(path_normalization=PathNormalization.MERGE_SLASHES),
        ),
        ("proxyListenPort: 1, proxyInboundListenPort: 2", ProxySettings(outbound_port=1, inbound_port=2)),
        ("inboundTrafficPolicy: {mode: LOCALHOST}", ProxySettings(to_loopback=True)),
        ("defaultInboundHttpRetryPolicy: {attempts: 0}", ProxySettings(inbound_retry=None)),
        (
            "defaultInboundHttpRetryPolicy: {attempts: 5, backoff: 1s, perTryTimeout: 1s}",
            ProxySettings(
                inbound_retry=Retry(
                    5, conditions=("reset-before-request",), backoff=SECOND, ignore_previous_hosts=False
                )
            ),
        ),
        ("dnsRefreshRate: 9s", ProxySettings(dns_refresh=9 * SECOND)),
        (
            "meshMTLS: {minProtocolVersion: TLSV1_3}, tlsDefaults: {ecdhCurves: [P-256]}",
            ProxySettings(mesh_tls=TlsLimits("TLSV1_3"), other_tls=TlsLimits(curves=("P-256",))),
        ),
        (
            'inboundClusterStatName: "%SERVICE%", outboundClusterStatName: "%SERVICE_FQDN%"',
            ProxySettings(inbound_stat_name="%SERVICE%", outbound_stat_name="%SERVICE_FQDN%"),
        ),
    ],
)
def test_settings_of_proxies_are_the_meshs(spec: str, expected: ProxySettings) -> None:
    assert settings(spec) == expected


def test_application_is_found_on_loopback_where_the_mesh_says_so() -> None:
    ports = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]"
    service = entry(spec=f"{ports}, endpoints: [{{address: 10.0.0.1}}]")
    found, _ = compiled(config("inboundTrafficPolicy: {mode: LOCALHOST}") + service)

    (port,) = view_for(found, replace(workload(), addresses=("10.0.0.1",))).inbound
    assert (port.number, port.default_endpoint) == (8080, "127.0.0.1:8080")


def test_a_limit_of_detection_is_told_to_let_callers_past() -> None:
    _, problems = compiled(config("protocolDetectionTimeout: 5s") + entry())

    assert codes(problems) == ["unsafe-timeout"]
    assert settings("protocolDetectionTimeout: 5s").detection_timeout == 5 * SECOND


def test_retries_towards_the_application_have_no_more_than_istio_obeys() -> None:
    policy = "{attempts: 1, perTryTimeout: 1s, retryIgnorePreviousHosts: false, backoff: 1s}"
    disabled = "{attempts: 0, backoff: 1s}"

    for written, fields in ((policy, ["perTryTimeout", "retryIgnorePreviousHosts"]), (disabled, ["backoff"])):
        _, problems = compiled(config(f"defaultInboundHttpRetryPolicy: {written}") + entry())
        assert [problem.field.rpartition(".")[2] for problem in problems] == fields
        assert set(codes(problems)) == {"no-effect"}


def test_curves_of_mesh_tls_are_told_to_be_without_effect() -> None:
    assert codes(compiled(config("meshMTLS: {ecdhCurves: [P-256]}") + entry())[1]) == ["no-effect"]


@pytest.mark.parametrize(
    ("rule", "zones", "localities"),
    [
        ("simple: RANDOM", True, False),
        ("localityLbSetting: {}", False, True),
        ("zoneAwareLbSetting: {enabled: false}", False, True),
    ],
)
def test_zones_of_the_mesh_hold_where_a_rule_says_nothing_of_localities(
    rule: str, *, zones: bool, localities: bool
) -> None:
    text = istio("DestinationRule", f"host: reviews, trafficPolicy: {{loadBalancer: {{{rule}}}}}")

    found = policy("zoneAwareLbSetting: {}, localityLbSetting: {}", text).load_balancer

    assert (found.zone_aware is not None and found.zone_aware.enabled) is zones
    assert (found.locality is not None) is localities


TOPOLOGY = "defaultConfig: {{gatewayTopology: {{{}}}}}"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("", Topology()),
        ("numTrustedProxies: 2", Topology(2)),
        ("forwardClientCertDetails: UNDEFINED", Topology(0, ForwardedCert.SANITIZE_SET)),
        ("forwardClientCertDetails: SANITIZE", Topology(0, ForwardedCert.SANITIZE)),
        ("proxyProtocol: {}", Topology(proxy_protocol=True)),
    ],
)
def test_what_stands_in_front_of_routers_is_the_meshs(written: str, found: Topology) -> None:
    assert mesh(TOPOLOGY.format(written)).settings.topology == found


@pytest.mark.parametrize(("written", "found"), [("ALWAYS_FORWARD_ONLY", ["unsafe-forwarding"]), ("FORWARD_ONLY", [])])
def test_header_that_names_callers_is_not_believed_of_everybody_without_a_warning(
    written: str, found: list[str]
) -> None:
    _, problems = compiled(config(TOPOLOGY.format(f"forwardClientCertDetails: {written}")))

    assert codes(problems) == found


HEADERS = "defaultConfig: {{proxyHeaders: {{{}}}}}"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("", ISTIO_HEADERS),
        ("server: {value: shop}", ProxyHeaders(server="shop")),
        ("server: {disabled: true, value: shop}", ProxyHeaders(server=None)),
        ("requestId: {disabled: true}", ProxyHeaders(request_id=False)),
        ("requestId: {disabled: false}", ISTIO_HEADERS),
        ("attemptCount: {disabled: true}", ProxyHeaders(attempt_count=False)),
        ("envoyDebugHeaders: {disabled: true}", ProxyHeaders(envoy_headers=False)),
        ("forwardedClientCert: SANITIZE", ProxyHeaders(forwarded_cert=ForwardedCert.SANITIZE)),
        ("forwardedClientCert: UNDEFINED", ISTIO_HEADERS),
        ("setCurrentClientCertDetails: {}", ISTIO_HEADERS),
        (
            "setCurrentClientCertDetails: {subject: false, cert: true}",
            ProxyHeaders(told_of_caller=ToldOfCaller(subject=False, cert=True)),
        ),
        ("xForwardedHost: {enabled: true}", ProxyHeaders(original_host=True)),
        ("xForwardedHost: {}", ISTIO_HEADERS),
        ("xForwardedPort: {enabled: true}", ProxyHeaders(port=True)),
        ("preserveHttp1HeaderCase: true", ProxyHeaders(keeps_case=True)),
    ],
)
def test_headers_of_proxies_are_the_meshs(written: str, found: ProxyHeaders) -> None:
    assert mesh(HEADERS.format(written)).settings.headers == found


def test_header_that_names_callers_is_not_believed_of_everybody_by_sidecars_without_a_warning() -> None:
    _, (problem,) = compiled(config(HEADERS.format("forwardedClientCert: ALWAYS_FORWARD_ONLY")))

    assert (problem.code, problem.field) == ("unsafe-forwarding", "spec.defaultConfig.proxyHeaders.forwardedClientCert")


CONNECTIONS = "defaultConfig: {{connectionSettings: {{{}}}}}"


@pytest.mark.parametrize(
    ("written", "sidecars", "routers"),
    [
        ("", NO_LIMITS, NO_LIMITS),
        ("httpStreamIdleTimeout: 1s", ConnectionLimits(stream_idle=SECOND), ConnectionLimits(stream_idle=SECOND)),
        ("profile: EDGE", NO_LIMITS, EDGE_LIMITS),
        (
            "profile: EDGE, httpRequestTimeout: 1s, httpMergeSlashes: false",
            ConnectionLimits(request=SECOND, merge_slashes=False),
            replace(EDGE_LIMITS, request=SECOND, merge_slashes=False),
        ),
        (
            "profile: EDGE, httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_ALLOW",
            ConnectionLimits(underscores=Underscores.ALLOW),
            replace(EDGE_LIMITS, underscores=Underscores.ALLOW),
        ),
    ],
)
def test_what_is_written_goes_before_the_profile_which_is_for_routers(
    written: str, sidecars: ConnectionLimits, routers: ConnectionLimits
) -> None:
    found = mesh(CONNECTIONS.format(written)).settings

    assert (found.limits, found.router_limits) == (sidecars, routers)
