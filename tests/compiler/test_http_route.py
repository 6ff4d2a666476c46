"""What one HTTP rule means."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import backend, codes, compiled, document, entry, istio, traffic_rule
from xds_server.compiler.finding import Place
from xds_server.compiler.http_route import Known, bound_routes, destination_names, rule_problems
from xds_server.mesh.route import (
    Cors,
    Destination,
    DirectResponse,
    Fault,
    HeaderOperations,
    MatchKind,
    Mirror,
    Redirect,
    Rewrite,
    Route,
    StringMatch,
)
from xds_server.policy.virtual_service import HTTPRoute, VirtualServiceSpec
from xds_server.problem import Problem

REVIEWS = backend(traffic=traffic_rule(v1={"v": "v1"}))
RATINGS = backend("ratings")
KNOWN = Known({"reviews": REVIEWS, "ratings": RATINGS, "gone": None}, ("ratings", "reviews"))
TO = "route: [{destination: {host: reviews}}]"


def rule(written: str) -> tuple[HTTPRoute, Place]:
    found = document(istio("VirtualService", f"hosts: [reviews], http: [{{{written}}}]"))
    assert isinstance(found.spec, VirtualServiceSpec)
    return found.spec.http[0], Place(found).at("http", 0)


def routes(written: str) -> list[Route]:
    return [bound.route for bound in bound_routes(*rule(written), KNOWN)]


def made(written: str) -> Route:
    (found,) = routes(written)
    return found


def problems(written: str) -> list[Problem]:
    return rule_problems(*rule(written), KNOWN)


def test_rule_without_match_is_one_route_for_everything() -> None:
    found = made(TO)

    assert found.match.is_catch_all
    assert (found.timeout, found.name) == (None, "")
    assert found.origin is not None


def test_each_match_is_a_route_of_its_own_with_its_own_place() -> None:
    bound = bound_routes(*rule(f"match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}], {TO}"), KNOWN)

    assert [found.route.match.uri for found in bound] == [StringMatch(MatchKind.PREFIX, p) for p in ("/a", "/b")]
    assert [found.place.field for found in bound] == ["spec.http[0].match[0]", "spec.http[0].match[1]"]


@pytest.mark.parametrize(
    ("rule_name", "match_name", "name"), [("a", "b", "a.b"), ("a", "", "a"), ("", "b", ".b"), ("", "", "")]
)
def test_route_is_named_after_rule_and_match(rule_name: str, match_name: str, name: str) -> None:
    """Istio's form, the leading dot included."""
    assert made(f'name: "{rule_name}", match: [{{name: "{match_name}", uri: {{prefix: /a}}}}], {TO}').name == name


def test_match_holds_at_its_own_gateways_else_at_those_of_its_virtual_service() -> None:
    found = routes(f"match: [{{gateways: [edge]}}, {{gateways: [mesh]}}, {{uri: {{prefix: /}}}}], {TO}")

    assert [route.match.gateways for route in found] == [("default/edge",), ("mesh",), ("mesh",)]


def test_delegate_is_no_route() -> None:
    assert routes("delegate: {name: other}") == []


def test_destination_is_what_its_name_means() -> None:
    (found,) = made("route: [{destination: {host: reviews, subset: v1, port: {number: 9080}}}]").destinations

    assert found.destination == Destination("reviews", 9080, "v1", REVIEWS)


def test_unknown_destination_keeps_its_name() -> None:
    (found,) = made("route: [{destination: {host: gone}}]").destinations

    assert found.destination == Destination("gone", None, "", None)


def test_destination_without_weight_among_several_gets_nothing() -> None:
    found = made(
        "route: [{destination: {host: reviews}, weight: 3}, {destination: {host: gone}},"
        " {destination: {host: ratings}, weight: 1}]"
    )

    assert [(w.destination.host, w.weight) for w in found.destinations] == [("reviews", 3), ("ratings", 1)]


def test_only_destination_gets_everything_whatever_its_weight() -> None:
    assert len(made("route: [{destination: {host: reviews}, weight: 0}]").destinations) == 1


def test_timeout() -> None:
    assert made(f"timeout: 5s, {TO}").timeout == timedelta(seconds=5)
    assert made(f"timeout: 0s, {TO}").timeout is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("uri: /a", Redirect(uri="/a")),
        ("authority: a.b, redirectCode: 308", Redirect(authority="a.b", code=308)),
        ("scheme: https, port: 8443", Redirect(scheme="https", port=8443)),
        (
            "scheme: https, derivePort: FROM_REQUEST_PORT",
            Redirect(scheme="https", derive_port="FROM_REQUEST_PORT"),
        ),
        ("prefixRewrite: /b", Redirect(prefix_rewrite="/b")),
    ],
)
def test_redirect(written: str, meant: Redirect) -> None:
    assert made(f"match: [{{uri: {{prefix: /a}}}}], redirect: {{{written}}}").redirect == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("status: 204", DirectResponse(204)),
        ("status: 200, body: {string: hello}", DirectResponse(200, b"hello")),
        ("status: 200, body: {bytes: aGVsbG8=}", DirectResponse(200, b"hello")),
        ('status: 200, body: {string: ""}', DirectResponse(200, b"")),
    ],
)
def test_direct_response(written: str, meant: DirectResponse) -> None:
    assert made(f"directResponse: {{{written}}}").direct_response == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (f"rewrite: {{uri: /b}}, {TO}", Rewrite(uri="/b")),
        (f"rewrite: {{authority: a.b}}, {TO}", Rewrite(authority="a.b")),
        (f"rewrite: {{uriRegexRewrite: {{match: a+, rewrite: b}}}}, {TO}", Rewrite(regex=("a+", "b"))),
        (TO, None),
    ],
)
def test_rewrite_of_path_and_authority(written: str, meant: Rewrite | None) -> None:
    assert made(written).rewrite == meant


def test_header_changes_are_sorted() -> None:
    """Host stays among them: what each place can do with it is a matter of Envoy's."""
    found = made(
        "headers: {request: {set: {b: x, a: z, host: a.b}, add: {c: z}, remove: [e, d]},"
        f" response: {{set: {{f: x}}, add: {{g: z}}, remove: [h]}}}}, {TO}"
    )

    assert found.headers == HeaderOperations(
        request_set=(("a", "z"), ("b", "x"), ("host", "a.b")),
        request_add=(("c", "z"),),
        request_remove=("d", "e"),
        response_set=(("f", "x"),),
        response_add=(("g", "z"),),
        response_remove=("h",),
    )


def test_header_changes_of_a_destination_stay_with_it() -> None:
    (found,) = made("route: [{destination: {host: reviews}, headers: {response: {set: {a: b}}}}]").destinations

    assert found.headers == HeaderOperations(response_set=(("a", "b"),))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("delay: {fixedDelay: 2s, percentage: {value: 12.5}}", Fault(timedelta(seconds=2), 12.5)),
        ("delay: {fixedDelay: 2s, percent: 10}", Fault(timedelta(seconds=2), 10.0)),
        ("delay: {fixedDelay: 2s}", Fault(timedelta(seconds=2), 0.0)),
        ("abort: {httpStatus: 500, percentage: {value: 1.0}}", Fault(abort_http_status=500, abort_percent=1.0)),
        ("abort: {grpcStatus: UNAVAILABLE}", Fault(abort_grpc_status=14)),
    ],
)
def test_fault_meets_no_request_unless_a_percentage_is_written(written: str, meant: Fault) -> None:
    assert made(f"fault: {{{written}}}, {TO}").fault == meant


@pytest.mark.parametrize(
    ("written", "percents"),
    [
        ("mirror: {host: ratings}", [100.0]),
        ("mirror: {host: ratings}, mirrorPercentage: {value: 5.5}", [5.5]),
        ("mirror: {host: ratings}, mirrorPercent: 7", [7.0]),
        ("mirror: {host: ratings}, mirrorPercentage: {value: 0.0}", []),
        (
            "mirrors: [{destination: {host: ratings}}, {destination: {host: ratings}, percentage: {value: 5.0}}]",
            [100.0, 5.0],
        ),
    ],
)
def test_mirror_copies_everything_unless_a_percentage_is_written(written: str, percents: list[float]) -> None:
    assert made(f"{written}, {TO}").mirrors == tuple(
        Mirror(Destination("ratings", None, "", RATINGS), percent) for percent in percents
    )


def test_cors() -> None:
    assert made(
        "corsPolicy: {allowOrigins: [{exact: a}], allowMethods: [GET], allowHeaders: [b], exposeHeaders: [c],"
        f" maxAge: 1m, allowCredentials: true, unmatchedPreflights: IGNORE}}, {TO}"
    ).cors == Cors(
        allow_origins=(StringMatch(MatchKind.EXACT, "a"),),
        allow_methods=("GET",),
        allow_headers=("b",),
        expose_headers=("c",),
        max_age=timedelta(minutes=1),
        allow_credentials=True,
        forward_not_matching_preflights=False,
    )


def test_unmatched_preflights_go_on_unless_said_otherwise() -> None:
    assert made(f"corsPolicy: {{allowMethods: [GET]}}, {TO}").cors == Cors(allow_methods=("GET",))


def test_destination_names_are_those_of_routes_and_mirrors_once_each() -> None:
    first, _ = rule(f"mirror: {{host: ratings}}, {TO}")
    second, _ = rule(f"mirrors: [{{destination: {{host: gone}}}}], {TO}")

    assert destination_names([first, second]) == ("reviews", "ratings", "gone")


@pytest.mark.parametrize(
    ("destination", "code", "field", "fix"),
    [
        ("{host: gone}", "unknown-host", "host", "define a ServiceEntry for gone, or correct the name"),
        ("{host: reviews, subset: v11}", "unknown-subset", "subset", "did you mean v1?"),
        ("{host: reviews, port: {number: 80}}", "unknown-port", "port.number", "its ports: 9080"),
    ],
)
def test_destination_that_does_not_exist_is_reported(destination: str, code: str, field: str, fix: str) -> None:
    (found,) = problems(f"route: [{{destination: {destination}}}]")

    assert (found.code, found.fix) == (code, fix)
    assert found.field == f"spec.http[0].route[0].destination.{field}"


def test_mirror_that_does_not_exist_is_reported() -> None:
    (found,) = problems(f"mirror: {{host: gone}}, {TO}")

    assert (found.code, found.field) == ("unknown-host", "spec.http[0].mirror.host")


@pytest.mark.parametrize(
    ("match", "uri", "found"),
    [("/a", "/", ["double-slash"]), ("/a/", "/", []), ("/a", "/b", [])],
)
def test_rewrite_that_doubles_a_slash_is_reported(match: str, uri: str, found: list[str]) -> None:
    """Envoy replaces the prefix alone: /a to / makes //b of /a/b."""
    assert codes(problems(f"match: [{{uri: {{prefix: {match}}}}}], rewrite: {{uri: {uri}}}, {TO}")) == found


def test_fault_without_percentage_is_reported() -> None:
    assert codes(problems(f"fault: {{delay: {{fixedDelay: 2s}}}}, {TO}")) == ["inert-fault"]
    assert codes(problems(f"fault: {{abort: {{httpStatus: 500, percentage: {{value: 0.0}}}}}}, {TO}")) == []


def test_header_that_envoy_takes_off_every_request_is_reported() -> None:
    headers = "headers: {X-Envoy-Internal: {exact: 'true'}, x-own: {}}, withoutHeaders: {x-envoy-retry-on: {}}"
    (problem,) = problems(f"match: [{{{headers}}}], route: [{{destination: {{host: reviews}}}}]")

    assert (problem.code, problem.field) == ("unseen-header", "spec.http[0].match[0].headers.X-Envoy-Internal")


@pytest.mark.parametrize(("kind", "told"), [("regex", ["no-effect"]), ("prefix", []), ("exact", [])])
def test_case_that_a_regex_does_not_ignore_is_reported(kind: str, told: list[str]) -> None:
    found = problems(f"match: [{{uri: {{{kind}: /a}}, ignoreUriCase: true}}], {TO}")

    assert codes(found) == told
    assert all(each.field == "spec.http[0].match[0].ignoreUriCase" for each in found)


def test_source_that_is_not_looked_at_is_reported() -> None:
    assert codes(problems(f"match: [{{gateways: [mesh], sourceLabels: {{a: b}}}}], {TO}")) == ["source-ignored"]


@pytest.mark.parametrize(
    ("gateways", "destination", "told"),
    [
        ("[edge]", "{host: reviews}", ["port-left-out"]),
        ("[edge, mesh]", "{host: reviews}", ["port-left-out"]),
        ("[mesh]", "{host: reviews}", []),
        ("[edge]", "{host: reviews, port: {number: 80}}", []),
        ("[edge]", "{host: ratings}", []),
    ],
)
def test_port_that_a_gateways_would_decide_is_told(gateways: str, destination: str, told: list[str]) -> None:
    ports = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: http-2, protocol: HTTP}]"
    services = entry(spec=f"{ports}, endpoints: [{{address: 10.0.0.1}}]") + entry("ratings")
    edge = istio(
        "Gateway",
        "selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]",
        name="edge",
    )
    route = istio(
        "VirtualService",
        f"hosts: [a.example.com], gateways: {gateways}, http: [{{route: [{{destination: {destination}}}]}}]",
    )

    _, problems = compiled(services, edge, route)

    assert [code for code in codes(problems) if code == "port-left-out"] == told
