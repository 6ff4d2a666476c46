"""Which host a name means."""

from __future__ import annotations

import pytest

from xds_server.mesh.host import Names, candidates, covers, may_be_same, normal, spellings

NAMES = Names(
    {
        "worker": "default",
        "reviews.shop.svc.cluster.local": "shop",
        "ratings.shop": "default",
        "ratings": "shop",
        "api.example.com": "default",
        "*.example.org": "default",
    }
)


@pytest.mark.parametrize("name", ["worker", "worker.default", "worker.default.svc", "worker.default.svc.cluster.local"])
def test_short_host_has_four_spellings(name: str) -> None:
    assert NAMES.resolve(name, "elsewhere") == "worker"


@pytest.mark.parametrize("name", ["reviews", "reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local"])
def test_full_host_has_four_spellings_in_its_own_namespace(name: str) -> None:
    assert NAMES.resolve(name, "shop") == "reviews.shop.svc.cluster.local"


def test_name_without_dot_means_the_namespace_of_its_document() -> None:
    assert NAMES.resolve("reviews", "default") is None


def test_exact_host_comes_before_any_other_meaning() -> None:
    """`ratings.shop` could also be `ratings` in namespace shop."""
    assert NAMES.resolve("ratings.shop", "default") == "ratings.shop"
    assert NAMES.resolve("ratings.shop.svc", "default") == "ratings"


def test_name_in_the_wrong_namespace_means_nothing() -> None:
    assert NAMES.resolve("worker.shop", "default") is None


def test_nothing_is_appended_to_a_host_with_dots() -> None:
    assert NAMES.resolve("api.example.com", "shop") == "api.example.com"
    assert NAMES.resolve("api.example", "shop") is None


def test_wildcard_is_no_name_for_what_it_covers() -> None:
    assert NAMES.resolve("a.example.org", "default") is None
    assert NAMES.resolve("*.example.org", "default") == "*.example.org"


def test_case_and_trailing_dot_mean_nothing() -> None:
    assert NAMES.resolve("API.Example.com.", "default") == "api.example.com"
    assert normal("Worker.") == "worker"


@pytest.mark.parametrize("name", ["worker", "reviews.shop", "ratings.shop.svc", "api.example.com"])
def test_candidates_hold_whatever_a_name_may_mean(name: str) -> None:
    assert NAMES.resolve(name, "shop") in {*candidates(name, "shop"), None}


def test_wildcard_covers_hosts_below_it() -> None:
    assert covers("*.example.com", "api.example.com", "default")
    assert not covers("*.example.com", "example.com", "default")
    assert covers("*", "worker", "default")


def test_wildcard_covers_a_short_host_by_its_full_name() -> None:
    assert covers("*.default.svc.cluster.local", "worker", "default")
    assert not covers("*.shop.svc.cluster.local", "worker", "default")


def test_short_host_answers_to_all_spellings_everywhere() -> None:
    assert spellings("worker", "default", "shop") == (
        "worker",
        "worker.default",
        "worker.default.svc",
        "worker.default.svc.cluster.local",
    )


def test_full_host_answers_to_its_bare_name_in_its_own_namespace_alone() -> None:
    full = "reviews.shop.svc.cluster.local"

    assert spellings(full, "shop", "shop") == (full, "reviews.shop.svc", "reviews.shop", "reviews")
    assert spellings(full, "shop", "default") == (full, "reviews.shop.svc", "reviews.shop")


@pytest.mark.parametrize("host", ["api.example.com", "*.example.com", "*.shop.svc.cluster.local", "*"])
def test_any_other_host_answers_to_itself_alone(host: str) -> None:
    assert spellings(host, "default", "default") == (host,)


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("reviews", "reviews.shop", True),
        ("reviews.shop", "Reviews.shop.svc.cluster.local.", True),
        ("reviews.shop", "reviews.default.svc", False),
        ("reviews", "ratings", False),
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "api.example.org", False),
        ("", "api.example.com", False),
    ],
)
def test_names_may_be_of_one_service_unless_something_tells_them_apart(name: str, other: str, same: bool) -> None:
    assert may_be_same(name, other) is may_be_same(other, name) is same
