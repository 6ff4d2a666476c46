"""Istio's rules for a VirtualService, each in the words its author reads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.policy.reading import errors, of_kind
from xds_server.policy.virtual_service import VirtualServiceSpec

ROUTE = "route: [{destination: {host: a}}]"


def rule_errors(rule: str) -> list[tuple[str, str]]:
    """(field, message) of each error in one rule, fields below the rule."""
    found = errors("VirtualService", f"hosts: [a]\nhttp:\n- {rule}")
    return [(field.removeprefix("http[0]").removeprefix("."), message) for field, message in found]


def test_every_part_of_a_rule_is_read() -> None:
    document, problems = of_kind(
        "VirtualService",
        """
        hosts: [reviews, "*.example.com"]
        exportTo: ["."]
        http:
        - name: first
          match:
          - name: m
            uri: {prefix: /a}
            scheme: {exact: http}
            method: {exact: GET}
            authority: {regex: "a.*"}
            headers: {x-retry: {exact: "true"}, cookie: {}}
            withoutHeaders: {x-a: {}, x-b: {regex: "*"}}
            queryParams: {q: {exact: "1"}}
            port: 80
            sourceLabels: {app: web}
            sourceNamespace: default
            ignoreUriCase: true
            statPrefix: s
          route:
          - destination: {host: reviews, subset: v1, port: {number: 9080}}
            weight: 100
            headers: {request: {set: {a: b}, add: {c: d}, remove: [e]}, response: {set: {f: g}}}
          timeout: 0s
          retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx,503", backoff: 25ms, retryIgnorePreviousHosts: false}
          fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}, abort: {httpStatus: 500, percentage: {value: 1}}}
          mirrors: [{destination: {host: b}, percentage: {value: 50}}]
          corsPolicy: {allowOrigins: [{exact: "*"}], allowMethods: [GET], maxAge: 24h, unmatchedPreflights: IGNORE}
          rewrite: {uri: /b, authority: c}
        - directResponse: {status: 503, body: {string: no}}
        """.replace("string: no", 'string: "no"'),
    )

    assert problems == ()
    assert document is not None
    assert isinstance(document.spec, VirtualServiceSpec)
    rule, answer = document.spec.http
    assert rule.timeout == timedelta()
    assert rule.match[0].headers["cookie"].is_present_match
    assert rule.mirrors[0].destination.host == "b"
    assert answer.direct_response is not None
    assert document.spec.on_mesh


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ("{name: nothing}", ""),
        (f"{{{ROUTE}, redirect: {{uri: /}}}}", "redirect"),
        (f"{{{ROUTE}, directResponse: {{status: 200}}}}", "directResponse"),
        ("{redirect: {uri: /}, fault: {abort: {httpStatus: 500}}}", "fault"),
        ("{directResponse: {status: 200}, rewrite: {uri: /}}", "rewrite"),
        (f"{{{ROUTE}, delegate: {{name: b}}}}", "delegate"),
        ("{redirect: {uri: /}, mirror: {host: b}}", "mirror"),
        (f"{{{ROUTE}, mirror: {{host: b}}, mirrors: [{{destination: {{host: b}}}}]}}", "mirrors"),
    ],
)
def test_a_rule_does_one_thing(rule: str, field: str) -> None:
    assert [where for where, _ in rule_errors(rule)] == [field]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("retries: {perTryTimeout: 5s}", "retries.perTryTimeout"),
        ("retries: {attempts: 0, retryRemoteLocalities: false}", "retries.retryRemoteLocalities"),
        ("headers: {request: {remove: ['']}}", "headers.request.remove[0]"),
        ("match: [{headers: {a: {prefix: ''}}}]", "match[0].headers.a.prefix"),
        ("match: [{withoutHeaders: {a: {prefix: ''}}}]", "match[0].withoutHeaders.a.prefix"),
        ("match: [{uri: {regex: ''}}]", "match[0].uri.regex"),
        ("match: [{gateways: [a@b]}]", "match[0].gateways[0]"),
        ("retries: {attempts: 1, retryOn: 'sometimes,503'}", "retries.retryOn"),
        ("fault: {}", "fault"),
        ("fault: {delay: {}}", "fault.delay"),
        ("fault: {delay: {exponentialDelay: 1s}}", "fault.delay.exponentialDelay"),
        ("fault: {abort: {httpStatus: 601}}", "fault.abort.httpStatus"),
        ("fault: {abort: {grpcStatus: GONE}}", "fault.abort.grpcStatus"),
        ("fault: {abort: {http2Error: X}}", "fault.abort.http2Error"),
        ("fault: {abort: {}}", "fault.abort"),
        ("fault: {abort: {httpStatus: 600, percentage: {value: 1}}}", "fault.abort.httpStatus"),
        ("rewrite: {}", "rewrite"),
        ("rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}", "rewrite.uriRegexRewrite"),
        ("rewrite: {uriRegexRewrite: {match: a}}", "rewrite.uriRegexRewrite"),
        ("corsPolicy: {allowMethods: [FETCH]}", "corsPolicy.allowMethods[0]"),
        ("corsPolicy: {allowOrigins: [{}]}", "corsPolicy.allowOrigins[0]"),
        ("corsPolicy: {allowHeaders: ['a b']}", "corsPolicy.allowHeaders[0]"),
        ("corsPolicy: {maxAge: 1500ms}", "corsPolicy.maxAge"),
        ("mirrorPercentage: {value: 101}", "mirrorPercentage.value"),
        ("timeout: 5", "timeout"),
        ("match: [{uri: {}}]", "match[0].uri"),
        ("match: [{headers: {'a b': {}}}]", "match[0].headers.a b"),
        ("match: [{port: 0}]", "match[0].port"),
        ("match: [{sourceNamespace: 'a.b'}]", "match[0].sourceNamespace"),
        ("match: [{uri: {regex: '(a'}}]", "match[0].uri.regex"),
        ("headers: {response: {set: {host: a}}}", "headers.response.set.host"),
        ("headers: {request: {remove: [':path']}}", "headers.request.remove[0]"),
        ("headers: {request: {set: {a: '50%'}}}", "headers.request.set.a"),
        ("{headers: {request: {set: {host: a}}}, rewrite: {authority: b}}", "headers.request.set.host"),
    ],
)
def test_each_part_of_a_rule_keeps_istios_rules(part: str, field: str) -> None:
    rule = f"{{{ROUTE}, {part.removeprefix('{').removesuffix('}') if part.startswith('{') else part}}}"

    assert [where for where, _ in rule_errors(rule)] == [field]


@pytest.mark.parametrize(
    ("redirect", "field"),
    [
        ("{}", ""),
        ("{uri: /, prefixRewrite: /}", "prefixRewrite"),
        ("{uri: /, redirectCode: 304}", "redirectCode"),
        ("{scheme: ftp}", "scheme"),
        ("{port: 80, derivePort: FROM_REQUEST_PORT}", "derivePort"),
    ],
)
def test_a_redirect_is_one_that_envoy_can_make(redirect: str, field: str) -> None:
    found = [where.removeprefix("redirect").removeprefix(".") for where, _ in rule_errors(f"redirect: {redirect}")]

    assert found == [field]


def test_prefix_rewrite_needs_prefix_matches() -> None:
    found = rule_errors("{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}")

    assert found == [("redirect.prefixRewrite", "prefixRewrite needs prefix matches")]


def test_weights_of_several_destinations_cannot_all_be_nothing() -> None:
    found = rule_errors("route: [{destination: {host: a}}, {destination: {host: b}}]")

    assert found == [("route", "the weights of several destinations add up to 0")]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("hosts: [a]", ""),
        (f"{{hosts: ['*'], http: [{{{ROUTE}}}]}}", "hosts[0]"),
        (f"{{hosts: ['*.a.b', c.a.b], http: [{{{ROUTE}}}]}}", "hosts[1]"),
        (f"{{gateways: [g], http: [{{{ROUTE}}}]}}", "gateways"),
        ("{http: [{delegate: {name: b}}]}", "http[0].delegate"),
        (f"{{hosts: [a], tls: [{{match: [{{sniHosts: [b.c]}}], {ROUTE}}}]}}", "tls[0].match[0].sniHosts[0]"),
        (f"{{hosts: [a], tls: [{{match: [], {ROUTE}}}]}}", "tls[0].match"),
        ("{hosts: [a], tcp: [{match: [{port: 1}]}]}", "tcp[0]"),
        (
            f"{{hosts: [a], http: [{{match: [{{headers: {{'@request.auth.claims.x': {{exact: z}}}}}}], {ROUTE}}}]}}",
            'http[0].match[0].headers["@request.auth.claims.x"]',
        ),
    ],
)
def test_rules_between_the_lists(spec: str, field: str) -> None:
    assert [where.removeprefix("spec") for where, _ in errors("VirtualService", spec)] == [field]


def test_a_rule_for_others_to_delegate_to_has_no_hosts() -> None:
    document, problems = of_kind("VirtualService", f"http: [{{{ROUTE}}}]")

    assert document is not None
    assert problems == ()


def test_any_value_at_all_can_be_said_of_a_header_that_must_be_absent_only() -> None:
    """Istio allows the regex "*", which is none, in withoutHeaders alone."""
    ((field, message),) = rule_errors(f'match: [{{headers: {{a: {{regex: "*"}}}}}}]\n  {ROUTE}')

    assert not rule_errors(f'match: [{{withoutHeaders: {{a: {{regex: "*"}}}}}}]\n  {ROUTE}')
    assert field == "match[0].headers.a.regex"
    assert "RE2" in message


@pytest.mark.parametrize("gateway", ["a@b", "a/*", "*/a", "/a", "a/"])
def test_what_names_no_gateway_is_refused(gateway: str) -> None:
    assert errors("VirtualService", f"hosts: [a]\ngateways: ['{gateway}']\nhttp:\n- {ROUTE}")[0][0] == "gateways[0]"


@pytest.mark.parametrize("gateway", ["mesh", "edge", "edge.shop", "edge.shop.svc.cluster.local", "shop/edge", "./edge"])
def test_gateways_are_named_in_all_of_istios_ways(gateway: str) -> None:
    assert errors("VirtualService", f"hosts: [a]\ngateways: ['{gateway}']\nhttp:\n- {ROUTE}") == []
