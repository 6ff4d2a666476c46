"""What proxies refuse, in the list of problems."""

from __future__ import annotations

from dataclasses import replace

from tests.debug.test_app import NOON
from xds_server.debug.refusals import refusals
from xds_server.problem import Origin, Severity
from xds_server.xds import type_url
from xds_server.xds.proxy_status import ProxyStatus, TypeState, Variant

RULE = Origin("shop.yaml", 3, "DestinationRule", "shop", "reviews")


def proxy(node_id: str, *origins: Origin, error: str = "no\n good", names: tuple[str, ...] = ("c",)) -> ProxyStatus:
    """One that refused a cluster."""
    state = TypeState(sent_nonce="1", last_error=error, refused=names, origins=origins)
    return ProxyStatus(node_id, "", "shop", "peer", Variant.DELTA, NOON, {type_url.CLUSTER: state})


def test_a_refusal_is_a_problem_of_the_document_behind_it() -> None:
    (problem,) = refusals([proxy("web", RULE)])

    assert (problem.file, problem.line, problem.kind, problem.name) == ("shop.yaml", 3, "DestinationRule", "reviews")
    assert (problem.code, problem.severity) == ("refused-by-proxy", Severity.WARNING)
    assert problem.message == "web refused CDS c and kept what was there before: no good"


def test_a_refusal_with_no_document_behind_it_is_a_problem_too() -> None:
    (problem,) = refusals([proxy("web", error="cannot bind '127.0.0.1:80'")])

    assert (problem.file, problem.line) == ("", 0)
    assert "cannot bind '127.0.0.1:80'" in problem.message


def test_what_many_say_alike_is_one_problem() -> None:
    (problem,) = refusals([proxy(f"web-{number}", RULE) for number in range(5)])

    assert problem.message.startswith("web-0, web-1, web-2 and 2 more refused")


def test_a_response_refused_as_a_whole_blames_nobody() -> None:
    origins = [replace(RULE, name=f"r{number}") for number in range(9)]

    (problem,) = refusals([proxy("web", *origins)])

    assert problem.file == ""


def test_a_proxy_that_took_everything_is_no_problem() -> None:
    assert refusals([proxy("web", RULE, error="")]) == ()
