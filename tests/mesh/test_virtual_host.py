"""What VirtualServices make of a host together, and what some of them do."""

from __future__ import annotations

from tests.builders import backend, route
from xds_server.mesh.route import Match, MatchKind, Route, StringMatch
from xds_server.mesh.virtual_host import Claim, VirtualHost

REVIEWS = backend()
UNDER_A = Match(uri=StringMatch(MatchKind.PREFIX, "/a"))


def claim(namespace: str, match: Match = Match(), name: str = "") -> Claim:
    return Claim(namespace, (route(REVIEWS, match, name or namespace),))


def host(*tiers: tuple[Claim, ...], untold: tuple[Route, ...] = (), name: str = "reviews") -> VirtualHost:
    routes = tuple(route for claim in next(iter(tiers), ()) for route in claim.routes)
    return VirtualHost(name, (name,), REVIEWS, routes, untold=untold, claims=tiers)


def names(found: VirtualHost) -> list[str]:
    return [route.name for route in found.routes]


def test_what_some_namespaces_say_of_a_host_is_one_object_however_many_hosts_there_are() -> None:
    """Views are compared by it: a second one would cost each proxy a translation of everything."""
    hosts = [host((claim("shop"), claim("bank")), name=f"host-{number}") for number in range(3000)]
    first, again = ([host.ruled_from(frozenset({"shop"})) for host in hosts] for _ in range(2))

    assert all(one is other for one, other in zip(first, again, strict=True))
    assert hosts[0].ruled_from(frozenset()) is not first[0]


def test_host_is_the_same_object_while_nothing_in_force_is_left_out() -> None:
    found = host((claim("shop"),), (claim("bank"),))

    assert found.ruled_from(frozenset({"shop"})) is found


def test_routes_of_one_namespace_are_not_hidden_by_those_of_another() -> None:
    found = host((claim("bank"), claim("shop", UNDER_A, "narrow"), claim("shop")))

    assert names(found.ruled_from(frozenset({"shop"}))) == ["narrow", "shop"]
    assert names(found.ruled_from(frozenset({"bank"}))) == ["bank"]


def test_routes_of_some_namespaces_are_merged_as_those_of_all() -> None:
    """Catch-alls last, and nothing that can never match."""
    found = host((claim("bank"), claim("shop", UNDER_A, "narrow"), claim("shop"), claim("other")))

    assert names(found.ruled_from(frozenset({"bank", "shop"}))) == ["narrow", "bank"]


def test_wildcard_speaks_where_who_names_the_host_is_not_heard() -> None:
    found = host((claim("bank"),), (claim("wide"),), (claim("wider"),))

    assert names(found.ruled_from(frozenset({"wide", "wider"}))) == ["wide"]
    assert names(found.ruled_from(frozenset({"wider"}))) == ["wider"]


def test_host_that_nobody_speaks_of_keeps_what_is_untold() -> None:
    found = host((claim("bank"),), untold=(route(REVIEWS, name="default"),))

    assert names(found.ruled_from(frozenset())) == ["default"]


def test_caller_is_asked_for_what_any_claim_asks_for() -> None:
    """A route that is hidden from others may be in force for it."""
    found = host((claim("bank"), claim("shop", Match(source_labels=(("app", "web"),), source_namespace="shop"))))

    assert found.source_keys == {"app"}
    assert found.asks_namespace
