"""Which names a stream wants, after each kind of request."""

from __future__ import annotations

import pytest

from xds_server.xds.subscription import LEGACY, NOTHING, Subscription, delta_subscription, sotw_subscription
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

A = Subscription(frozenset({"a"}))
STAR = Subscription(wildcard=True)


@pytest.mark.parametrize("url", [CLUSTER, LISTENER])
def test_first_request_without_names_is_the_legacy_wildcard(url: str) -> None:
    """In both variants."""
    assert sotw_subscription(None, url, ()) == LEGACY
    assert delta_subscription(None, url, (), ()) == LEGACY


@pytest.mark.parametrize("url", [ENDPOINT, ROUTE, SECRET])
def test_types_that_are_named_have_no_legacy_wildcard(url: str) -> None:
    """No names, nothing."""
    assert sotw_subscription(None, url, ()) == NOTHING
    assert delta_subscription(None, url, (), ()) == NOTHING


def test_sotw_names_replace_all_that_was_asked_before() -> None:
    """Each request is the whole subscription; "" matches nothing."""
    assert sotw_subscription(LEGACY, CLUSTER, ["a"]) == A
    assert sotw_subscription(A, CLUSTER, []) == NOTHING
    assert sotw_subscription(A, CLUSTER, [""]) == NOTHING
    assert sotw_subscription(LEGACY, CLUSTER, []) is LEGACY
    assert sotw_subscription(A, CLUSTER, ["*"]) == STAR


def test_equal_sotw_names_give_back_the_same_value() -> None:
    """A thousand names come with every ACK; the shared copy must survive."""
    assert sotw_subscription(A, CLUSTER, ["a", "a"]) is A


def test_delta_names_add_to_the_legacy_wildcard() -> None:
    """Only unsubscribing from "*" ends it."""
    both = delta_subscription(LEGACY, CLUSTER, ["a"], [])

    assert both.wildcard
    assert both.names == {"a"}
    assert delta_subscription(both, CLUSTER, [], ["*"]) == A


def test_delta_unsubscribing_from_the_unknown_changes_nothing() -> None:
    """A phantom unsubscribe is legal."""
    assert delta_subscription(A, ENDPOINT, [], ["ghost"]) == A


def test_wildcard_covers_every_name() -> None:
    """Names cover themselves."""
    assert STAR.covered(frozenset({"a", "b"})) == {"a", "b"}
    assert A.covered(frozenset({"a", "b"})) == {"a"}
