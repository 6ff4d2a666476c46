"""What one proxy tells: who it says it is, and whom it can reach."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import backend, service, workload
from xds_server.mesh.egress import EgressListener
from xds_server.mesh.mesh import Mesh, Scope
from xds_server.mesh.observation import UNOBSERVED, observation
from xds_server.mesh.service import Port, Protocol
from xds_server.mesh.sidecar import Sidecar
from xds_server.mesh.telemetry import (
    Collector,
    FileLog,
    GrpcLog,
    OpenTelemetry,
    Provider,
    Sampler,
    Tag,
    TagSource,
    TelemetryDefaults,
    TelemetryPolicies,
)
from xds_server.mesh.view import view_for
from xds_server.mesh.workload import NodeType

OTEL = service("otel", port=Port(4317, "grpc", Protocol.GRPC))
SCOPE = Scope("default", {"otel": backend(OTEL)})
TO = Collector("otel", 4317)
PROVIDERS = (
    Provider("spans", OpenTelemetry(TO)),
    Provider("file", logger=FileLog()),
    Provider("als", logger=GrpcLog(TO, "log", of_requests=True)),
)
SPANS = TelemetryPolicies(defaults=TelemetryDefaults(PROVIDERS, tracing=("spans",)))
LOGS = TelemetryPolicies(defaults=TelemetryDefaults(PROVIDERS, logging=("als", "file")))
WEB = workload("web-1", app="web", version="v2")


def test_nobody_is_observed_where_no_policy_says_so() -> None:
    assert observation(TelemetryPolicies(), SCOPE, WEB, WEB.labels) is UNOBSERVED


def test_spans_say_whose_they_are() -> None:
    tracing = observation(SPANS, SCOPE, WEB, WEB.labels).inbound.tracing

    assert tracing is not None
    assert tracing.service == "web.default"
    assert Tag("istio.canonical_revision", TagSource.LITERAL, "v2") in tracing.tags
    assert Tag("istio.namespace", TagSource.LITERAL, "default") in tracing.tags


@pytest.mark.parametrize(
    ("labels", "name", "version"),
    [
        ({"app": "web", "version": "v2"}, "web-1", None),
        ({"app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "2.1"}, "shop", "2.1"),
        ({"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-eu"}, "shop-eu", None),
    ],
)
def test_services_are_called_by_opentelemetrys_conventions_where_the_provider_says_so(
    labels: dict[str, str], name: str, version: str | None
) -> None:
    provider = Provider("spans", OpenTelemetry(TO, by_convention=True))
    policies = TelemetryPolicies(defaults=TelemetryDefaults((provider,), tracing=("spans",)))
    web = workload("web-1", **labels)
    tracing = observation(policies, SCOPE, web, web.labels).inbound.tracing

    assert tracing is not None
    assert tracing.service == name
    attributes = dict(tracing.attributes)
    assert (attributes["service.namespace"], attributes.get("service.version")) == ("default", version)


def test_nothing_is_traced_where_the_sampler_cannot_be_reached() -> None:
    sampler = Sampler(Collector("nowhere", 1), "/", timedelta(seconds=1), "t", 1)
    provider = Provider("spans", OpenTelemetry(TO, sampler=sampler))
    policies = TelemetryPolicies(defaults=TelemetryDefaults((provider,), tracing=("spans",)))

    assert observation(policies, SCOPE, WEB, WEB.labels) == UNOBSERVED


def test_a_tag_of_a_policy_comes_before_istios_of_the_same_name() -> None:
    mine = Tag("istio.namespace", TagSource.LITERAL, "mine")
    policies = TelemetryPolicies(defaults=replace(SPANS.defaults, tags=(mine,)))
    tracing = observation(policies, SCOPE, WEB, WEB.labels).outbound.tracing

    assert tracing is not None
    assert [tag for tag in tracing.tags if tag.name == "istio.namespace"] == [mine]


def test_without_spans_workloads_share_what_they_tell() -> None:
    other = workload("other", app="other")

    assert observation(LOGS, SCOPE, WEB, WEB.labels) == observation(LOGS, SCOPE, other, other.labels)


def test_who_cannot_be_reached_is_told_nothing() -> None:
    assert observation(SPANS, Scope("default"), WEB, WEB.labels) == UNOBSERVED
    (log,) = observation(LOGS, Scope("default"), WEB, WEB.labels).outbound.logs
    assert log.logger == FileLog()


def test_a_router_has_no_side_that_takes_requests_for_an_application() -> None:
    router = replace(WEB, node_type=NodeType.ROUTER)
    found = observation(SPANS, SCOPE, router, router.labels)

    assert found.inbound.tracing is None
    assert found.outbound.tracing is not None
    assert found.outbound.tracing.spawns


def test_the_collector_is_in_the_view_whatever_a_sidecar_shows() -> None:
    scope = Scope("default", {"otel": SCOPE.backends["otel"], "reviews": backend("reviews")})
    sidecar = Sidecar("default", egress=(EgressListener((("*", "reviews"),)),))
    seen = view_for(Mesh(default_scope=scope, sidecars=(sidecar,), telemetry=SPANS), WEB)
    unseen = view_for(Mesh(default_scope=scope, sidecars=(sidecar,)), WEB)

    assert [each.service.host for each in seen.backends] == ["otel", "reviews"]
    assert [each.service.host for each in unseen.backends] == ["reviews"]


def test_a_router_has_the_cluster_of_its_collector() -> None:
    router = replace(WEB, node_type=NodeType.ROUTER)

    assert [each.service.host for each in view_for(Mesh(default_scope=SCOPE, telemetry=SPANS), router).backends] == [
        "otel"
    ]
