"""What tls and tcp rules mean."""

from __future__ import annotations

from tests.builders import backend, codes, document, istio, traffic_rule
from xds_server.compiler.connection_route import bound_connections, connection_destination_names, connection_problems
from xds_server.compiler.http_route import Known
from xds_server.mesh.route import ConnectionMatch, ConnectionRoute
from xds_server.policy.document import Document
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.problem import Problem

DB = backend("db", traffic_rule(v1={"v": "v1"}, v2={"v": "v2"}))
KNOWN = Known({"db": DB, "gone": None}, ("db",))
TO = "route: [{destination: {host: db}}]"


def virtual_service(rules: str) -> Document:
    return document(istio("VirtualService", f'hosts: [db, "*.com"], {rules}'))


def made(rules: str) -> list[ConnectionRoute]:
    return [bound.route for bound in bound_connections(virtual_service(rules), KNOWN)]


def problems(rules: str) -> list[Problem]:
    return list(connection_problems(virtual_service(rules), KNOWN))


def test_tcp_rule_without_match_takes_everything() -> None:
    (found,) = made(f"tcp: [{{{TO}}}]")

    assert found.match == ConnectionMatch()
    assert not found.tls
    assert found.destinations[0].destination.backend is DB


def test_each_condition_is_taken() -> None:
    (found,) = made(
        "tcp: [{match: [{destinationSubnets: [10.1.2.3/8, 10.0.0.1], port: 3306, sourceLabels: {b: x, a: z},"
        f" gateways: [edge], sourceNamespace: shop}}], {TO}}}]"
    )

    assert found.match == ConnectionMatch(
        subnets=("10.0.0.0/8", "10.0.0.1/32"),
        port=3306,
        source_labels=(("a", "z"), ("b", "x")),
        source_namespace="shop",
        gateways=("default/edge",),
    )


def test_server_names_are_compared_in_lower_case_and_a_star_is_any() -> None:
    names, anything = made(
        f'tls: [{{match: [{{sniHosts: [A.com, "*.B.com"]}}], {TO}}}, {{match: [{{sniHosts: ["*.com"]}}], {TO}}}]'
    )
    (star,) = [
        bound.route
        for bound in bound_connections(
            document(
                istio(
                    "VirtualService",
                    f'hosts: ["*"], gateways: [edge], tls: [{{match: [{{sniHosts: ["*", a.com]}}], {TO}}}]',
                )
            ),
            KNOWN,
        )
    ]

    assert names.match.server_names == ("a.com", "*.b.com")
    assert anything.match.server_names == ("*.com",)
    assert star.match.server_names == ()


def test_rule_holds_where_its_virtual_service_does() -> None:
    (found,) = [
        bound.route
        for bound in bound_connections(virtual_service(f"tcp: [{{{TO}}}]"), Known({"db": DB}, gateways=("a/b",)))
    ]

    assert found.match.gateways == ("a/b",)


def test_of_several_destinations_those_without_weight_get_nothing() -> None:
    (found,) = made(
        "tcp: [{route: [{destination: {host: db, subset: v1}, weight: 1}, {destination: {host: db, subset: v2}}]}]"
    )

    assert [(each.destination.subset, each.weight) for each in found.destinations] == [("v1", 1)]


def test_destinations_are_named_for_whoever_looks_them_up() -> None:
    spec = virtual_service(f"tcp: [{{{TO}}}], tls: [{{match: [{{sniHosts: [a.com]}}], {TO}}}]").spec
    assert isinstance(spec, VirtualServiceSpec)

    assert connection_destination_names(spec) == ("db", "db")


def test_destination_that_is_not_there_is_reported() -> None:
    (problem,) = problems("tcp: [{route: [{destination: {host: gone}}]}]")

    assert (problem.code, problem.field) == ("unknown-host", "spec.tcp[0].route[0].destination.host")


def test_rule_behind_one_that_takes_everything_is_reported() -> None:
    (problem,) = problems(f"tcp: [{{match: [{{port: 1}}, {{}}], {TO}}}, {{match: [{{port: 2}}], {TO}}}]")

    assert (problem.code, problem.field) == ("unreachable-route", "spec.tcp[1]")
    assert not problems(f"tcp: [{{match: [{{port: 1}}], {TO}}}, {{{TO}}}]")


def test_name_that_envoy_cannot_compare_is_reported_and_takes_nothing() -> None:
    assert codes(problems(f'tls: [{{match: [{{sniHosts: ["*-x.com"]}}], {TO}}}]')) == ["partial-wildcard"]
    assert made(f'tls: [{{match: [{{sniHosts: ["*-x.com"]}}], {TO}}}]') == []


def test_address_as_a_server_name_is_reported() -> None:
    """RFC 6066 allows none, yet Istio takes it, whatever the hosts are."""
    rule = f"tls: [{{match: [{{sniHosts: [10.0.0.1]}}], {TO}}}]"

    assert codes(problems(rule)) == ["address-as-name"]
    assert made(rule)[0].match.server_names == ("10.0.0.1",)
