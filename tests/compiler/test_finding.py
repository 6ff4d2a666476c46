"""How findings are placed and worded."""

from __future__ import annotations

import pytest

from tests.builders import document
from xds_server.compiler.finding import Place, nearest, neighbours
from xds_server.problem import Severity

DOCUMENT = document("""
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata: {name: reviews, namespace: shop}
    spec:
      hosts: [reviews]
      http:
      - route:
        - destination:
            host: reviews
    """)


def test_finding_names_document_line_column_and_field() -> None:
    problem = Place(DOCUMENT).at("http", 0, "route", 0, "destination", "host").warning("some-code", "is odd", "mend it")

    assert (problem.file, problem.line, problem.column) == ("test.yaml", 10, 9)
    assert (problem.kind, problem.namespace, problem.name) == ("VirtualService", "shop", "reviews")
    assert problem.field == "spec.http[0].route[0].destination.host"
    assert (problem.severity, problem.code, problem.fix) == (Severity.WARNING, "some-code", "mend it")


def test_finding_about_what_is_left_out_stands_where_it_would_be() -> None:
    problem = Place(DOCUMENT).at("http", 0, "route", 0, "destination", "subset").note("some-code", "is left out")

    assert (problem.line, problem.severity) == (9, Severity.NOTE)


def test_error_has_its_severity() -> None:
    assert Place(DOCUMENT).error("some-code", "is wrong").severity is Severity.ERROR


def test_fix_names_the_nearest_known_names() -> None:
    assert nearest("revews", ["productpage", "reviews"], "a ServiceEntry for") == "did you mean reviews?"


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("mongo.prod.svc.cluster.local", "reviews.default.svc.cluster.local", False),
        ("mongo.default.svc.cluster.local", "reviews.default.svc.cluster.local", False),
        ("mongo.example.com", "redis.example.com", False),
        ("shop/edge", "shop/in", False),
        ("revews.shop.svc.cluster.local", "reviews.shop.svc.cluster.local", True),
        ("revews.shop.svc.cluster.local", "reviews", True),
        ("reviews.shop.svc.cluster.local", "reviews.default.svc.cluster.local", True),
        ("ap.example.com", "api.example.com", True),
        ("v1.api.example.com", "api.example.com", True),
        ("shop/egde", "shop/edge", True),
    ],
)
def test_names_are_compared_by_what_tells_them_apart(name: str, known: str, meant: bool) -> None:
    """Every full name ends alike."""
    assert (nearest(name, [known], "a ServiceEntry for") == f"did you mean {known}?") is meant


def test_fix_says_how_to_define_a_name_that_is_like_no_other() -> None:
    assert nearest("zzz", ["reviews"], "a subset") == "define a subset zzz, or correct the name"


def test_nearest_name_is_found_among_thousands() -> None:
    known = sorted([*(f"service-{number}" for number in range(5000)), "reviews"])

    assert nearest("revews", neighbours("revews", known), "a ServiceEntry for") == "did you mean reviews?"


def test_neighbours_are_few_and_change_only_with_names_near_by() -> None:
    known = sorted(f"service-{number}" for number in range(5000))
    found = neighbours("service-2500x", known)

    assert "service-2500" in found
    assert len(found) < 20
    assert neighbours("service-2500x", sorted([*known, "another"])) == found
