"""One route: its action, and what the features add to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import backend, destination, route, traffic_rule
from tests.translate.shown import shown
from xds_server.mesh.proxy_settings import ProxyHeaders
from xds_server.mesh.route import (
    Cors,
    DirectResponse,
    Fault,
    HeaderOperations,
    Match,
    MatchKind,
    Mirror,
    Redirect,
    Rewrite,
    Route,
    StringMatch,
)
from xds_server.mesh.traffic import HashKey, LoadBalancer, LoadBalancing, TrafficPolicy
from xds_server.problem import Origin
from xds_server.translate import http_filters, names
from xds_server.translate.route import Place, clusters_of, envoy_route

REVIEWS = backend("reviews", traffic_rule(v1={"version": "v1"}, v2={"version": "v2"}))
RATINGS = backend("ratings")
ORIGIN = Origin("reviews.yaml", 3, "VirtualService", "bookinfo", "reviews")
V1, V2 = "outbound|9080|v1|reviews", "outbound|9080|v2|reviews"
HERE = Place(9080)


def made(source: Route, place: Place = HERE) -> dict[str, Any]:
    return shown(envoy_route(source, place))


def forwarded(source: Route, place: Place = HERE) -> dict[str, Any]:
    action: dict[str, Any] = made(source, place)["route"]
    return action


def test_route_without_timeout_has_no_limit() -> None:
    """Envoy's own default of 15 s would end slow requests that Istio lets go on."""
    assert forwarded(route(REVIEWS))["timeout"] == "0s"


def test_single_destination_is_the_cluster() -> None:
    assert forwarded(route(REVIEWS))["cluster"] == "outbound|9080||reviews"


def test_several_destinations_share_by_weight() -> None:
    shares = (destination(REVIEWS, subset="v1", weight=1), destination(REVIEWS, subset="v2", weight=3))

    found = forwarded(replace(route(REVIEWS), destinations=shares))

    assert found["weighted_clusters"] == {"clusters": [{"name": V1, "weight": 1}, {"name": V2, "weight": 3}]}
    assert "cluster" not in found


def test_destination_without_port_means_the_only_port_of_its_service() -> None:
    """Whatever port the request came in on."""
    assert Place(80).cluster(destination(REVIEWS).destination) == "outbound|9080||reviews"


def test_unknown_subset_answers_503_instead_of_naming_a_cluster_that_is_not_there() -> None:
    unknown = replace(route(REVIEWS), destinations=(destination(REVIEWS, subset="v9"),))

    assert forwarded(unknown)["cluster"] == names.BLACK_HOLE_CLUSTER


def test_unknown_port_answers_503() -> None:
    assert Place(9080).cluster(destination(REVIEWS, port=1).destination) == names.BLACK_HOLE_CLUSTER


def test_destination_that_the_caller_may_not_see_answers_503() -> None:
    """The author sees it and the caller does not: exportTo, or a Sidecar."""
    place = Place(9080, frozenset({"outbound|9080||reviews"}))

    assert forwarded(route(REVIEWS), place)["cluster"] == names.BLACK_HOLE_CLUSTER


def test_mirror_to_nowhere_is_no_mirror() -> None:
    """Copies are thrown away anyway; there is no need to make them fail first."""
    mirrored = replace(route(REVIEWS), mirrors=(Mirror(destination(RATINGS, port=1).destination),))

    assert "request_mirror_policies" not in forwarded(mirrored)


def test_mirror_copies_to_its_cluster() -> None:
    (policy,) = forwarded(replace(route(REVIEWS), mirrors=(Mirror(destination(RATINGS).destination),)))[
        "request_mirror_policies"
    ]

    assert policy["cluster"] == "outbound|9080||ratings"


def test_clusters_of_a_route_include_its_mirrors() -> None:
    mirrored = replace(route(REVIEWS), mirrors=(Mirror(destination(RATINGS).destination),))

    assert list(clusters_of(envoy_route(mirrored, HERE))) == ["outbound|9080||reviews", "outbound|9080||ratings"]


def test_route_that_answers_itself_has_no_cluster() -> None:
    assert list(clusters_of(envoy_route(Route(Match(), direct_response=DirectResponse(404)), HERE))) == []


def test_redirect_wins_over_a_direct_response_and_that_over_forwarding() -> None:
    """Istio's order."""
    responds = replace(route(REVIEWS), direct_response=DirectResponse(404))
    redirects = replace(responds, redirect=Redirect(uri="/b"))

    assert {"direct_response"} == {"route", "redirect", "direct_response"} & made(responds).keys()
    assert {"redirect"} == {"route", "redirect", "direct_response"} & made(redirects).keys()


def test_route_without_retry_is_never_tried_again() -> None:
    assert "retry_policy" in forwarded(route(REVIEWS))
    assert "retry_policy" not in forwarded(replace(route(REVIEWS), retry=None))


def test_timeout_of_the_author_is_written() -> None:
    assert forwarded(replace(route(REVIEWS), timeout=timedelta(seconds=5)))["timeout"] == "5s"


def test_rewrite_changes_path_and_host() -> None:
    found = forwarded(replace(route(REVIEWS), rewrite=Rewrite(uri="/b", authority="other")))

    assert (found["prefix_rewrite"], found["host_rewrite_literal"]) == ("/b", "other")


def test_rewrite_by_regex_substitutes() -> None:
    found = forwarded(replace(route(REVIEWS), rewrite=Rewrite(regex=("^/a(.*)", r"/b\1"))))

    assert found["regex_rewrite"] == {"pattern": {"regex": "^/a(.*)"}, "substitution": r"/b\1"}


def test_host_is_decided_by_rewrite_then_by_the_route_then_by_its_only_destination() -> None:
    """Istio's order, where several ask for it."""
    near = replace(destination(REVIEWS), headers=HeaderOperations(request_set=(("host", "destination"),)))
    all_three = replace(
        route(REVIEWS),
        destinations=(near,),
        headers=HeaderOperations(request_set=(("host", "route"),)),
        rewrite=Rewrite(authority="rewrite"),
    )
    two = replace(all_three, rewrite=None)
    one = replace(two, headers=HeaderOperations())

    assert [forwarded(each)["host_rewrite_literal"] for each in (all_three, two, one)] == [
        "rewrite",
        "route",
        "destination",
    ]


def test_headers_of_the_only_destination_follow_the_routes() -> None:
    near = replace(destination(REVIEWS), headers=HeaderOperations(request_set=(("x-b", "2"),), request_remove=("x-c",)))
    source = replace(route(REVIEWS), destinations=(near,), headers=HeaderOperations(request_set=(("x-a", "1"),)))

    found = envoy_route(source, HERE)

    assert [option.header and option.header.key for option in found.request_headers_to_add] == ["x-a", "x-b"]
    assert found.request_headers_to_remove == ["x-c"]


def test_headers_of_weighted_destinations_stay_theirs() -> None:
    headers = HeaderOperations(request_set=(("host", "other"), ("x-a", "1")), response_remove=("x-b",))
    shares = (replace(destination(REVIEWS, subset="v1", weight=1), headers=headers), destination(RATINGS, weight=1))

    found = made(replace(route(REVIEWS), destinations=shares))

    assert "request_headers_to_add" not in found
    assert found["route"]["weighted_clusters"]["clusters"][0] == {
        "name": V1,
        "weight": 1,
        "host_rewrite_literal": "other",
        "request_headers_to_add": [
            {"header": {"key": "x-a", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
        "response_headers_to_remove": ["x-b"],
    }


def test_hash_of_the_destinations_is_taken_from_their_traffic_rules_once_each() -> None:
    """The cluster's load balancer only works with what the route has hashed."""
    hashing = TrafficPolicy(LoadBalancer(LoadBalancing.RING_HASH, HashKey(header="x-user")))
    reviews = backend("reviews", traffic_rule(hashing, v1={}, v2={}))
    shares = (destination(reviews, subset="v1", weight=1), destination(reviews, subset="v2", weight=1))

    found = forwarded(replace(route(reviews), destinations=shares))

    assert found["hash_policy"] == [{"header": {"header_name": "x-user"}}]


def test_filters_get_the_routes_own_settings() -> None:
    source = replace(route(REVIEWS), fault=Fault(abort_http_status=500, abort_percent=100), cors=Cors())

    settings = made(source)["typed_per_filter_config"]

    assert sorted(settings) == [http_filters.CORS, http_filters.FAULT]
    assert settings[http_filters.FAULT]["abort"]["http_status"] == 500


def test_route_names_the_policy_behind_it() -> None:
    """Where `istioctl proxy-config` looks."""
    assert made(replace(route(REVIEWS), origin=ORIGIN))["metadata"] == {
        "filter_metadata": {
            "istio": {"config": "/apis/networking.istio.io/v1/namespaces/bookinfo/virtual-service/reviews"}
        }
    }


def test_traces_call_a_request_by_its_destination() -> None:
    prefixed = route(REVIEWS, Match(uri=StringMatch(MatchKind.PREFIX, "/api")))
    exact = route(REVIEWS, Match(uri=StringMatch(MatchKind.EXACT, "/api")))

    assert made(prefixed)["decorator"] == {"operation": "reviews:9080/api*"}
    assert made(exact)["decorator"] == {"operation": "reviews:9080/api"}


def test_traces_call_a_request_of_several_destinations_by_its_policy() -> None:
    shares = (destination(REVIEWS, subset="v1", weight=1), destination(REVIEWS, subset="v2", weight=3))

    assert made(replace(route(REVIEWS), destinations=shares, origin=ORIGIN))["decorator"] == {
        "operation": "reviews:9080/*"
    }


@pytest.mark.parametrize(("rewrite", "kept"), [(Rewrite(authority="b"), True), (Rewrite(uri="/b"), False)])
def test_host_that_is_rewritten_is_kept_where_the_mesh_wants_it(rewrite: Rewrite, kept: bool) -> None:
    rewritten, told = replace(route(REVIEWS), rewrite=rewrite), Place(9080, headers=ProxyHeaders(original_host=True))

    assert forwarded(rewritten, told).get("append_x_forwarded_host", False) is kept
    assert "append_x_forwarded_host" not in forwarded(rewritten)
