"""Who is suspect, in which order, and what a proxy's refusal may be blamed on."""

from __future__ import annotations

import pytest

from tests.builders import documents, istio
from xds_server.blame import (
    MOST_SUSPECTS,
    RECENT,
    Complaints,
    is_of_the_machine,
    refused_by_proxy,
    refused_unnamed,
    suspects,
)
from xds_server.policy.document import Document, PolicySet
from xds_server.quarantine import Quarantine


def parsed(kind: str, name: str, spec: str) -> Document:
    (found,) = documents(
        f"""
        apiVersion: networking.istio.io/v1
        kind: {kind}
        metadata: {{name: {name}}}
        spec: {spec}
        """
    )
    return found


def rule(name: str = "a") -> Document:
    """A DestinationRule; a new object each time, as after each edit."""
    return parsed("DestinationRule", name, "{host: a}")


def entry(name: str = "a") -> Document:
    """A ServiceEntry."""
    return parsed("ServiceEntry", name, "{hosts: [a], ports: [{number: 80, name: http}], resolution: NONE}")


def route(name: str = "a") -> Document:
    """A VirtualService."""
    return parsed("VirtualService", name, "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}")


def accepted(*state: Document, at: float = 0.0) -> Quarantine:
    quarantine = Quarantine()
    quarantine.accepted(PolicySet(state), at)
    return quarantine


def test_what_says_most_is_suspected_first() -> None:
    state = (entry(), rule(), route())

    found = suspects([each.origin for each in state], state, Quarantine())

    assert [document.kind for document in found] == ["VirtualService", "DestinationRule", "ServiceEntry"]


def test_a_telemetry_is_suspected_before_the_service_whose_listener_it_is_told_of() -> None:
    """Formats and filters are Envoy's to check; what makes a listener besides them is checked here."""
    (told,) = documents(istio("Telemetry", "tracing: [{}]"))

    assert suspects([entry().origin, told.origin], [entry(), told], Quarantine())[0] is told


def test_what_changed_is_suspected_before_what_was_in_force() -> None:
    old, new = route(), entry()

    assert suspects([old.origin, new.origin], [old, new], accepted(old)) == (new,)


def test_what_was_in_force_is_suspected_when_nothing_changed() -> None:
    """A proxy that nobody knew before shows what no one had to be sent."""
    old = route()

    assert suspects([old.origin], [old], accepted(old)) == (old,)


def test_documents_that_are_not_behind_it_are_not_suspected() -> None:
    assert suspects([rule("a").origin], [rule("b")], Quarantine()) == ()


def test_what_is_kept_out_already_is_not_to_blame_for_the_next() -> None:
    held, other = route(), rule()
    quarantine = Quarantine()
    quarantine.hold(held, "refused-by-envoy", "no good")

    assert suspects([held.origin, other.origin], [held, other], quarantine) == (other,)


def test_without_origins_whatever_changed_is_suspected() -> None:
    old, new = rule("a"), rule("b")

    assert suspects([], [old, new], accepted(old)) == (new,)


def test_nobody_is_singled_out_of_many_without_origins() -> None:
    assert suspects([], [rule(f"r{number}") for number in range(MOST_SUSPECTS + 1)], Quarantine()) == ()


@pytest.mark.parametrize(
    "message",
    ["cannot bind '127.0.0.1:80': Address already in use", "cannot bind '0.0.0.0:80': Permission denied"],
)
def test_a_port_that_somebody_else_has_is_no_policys_fault(message: str) -> None:
    assert is_of_the_machine(message)
    assert not is_of_the_machine("no good")


def blamed(nodes: str, *, connected: str = "abc", vouched: bool = False) -> list[bool]:
    """Whether one document is to blame after each refusal of these nodes."""
    complaints, suspected = Complaints(), [rule()]
    return [bool(complaints.against(suspected, node, connected=set(connected), vouched=vouched)) for node in nodes]


def test_what_one_of_many_proxies_says_is_no_policys_fault() -> None:
    """It may be broken, or another Envoy, or lie; however often it says it."""
    assert blamed("aaa") == [False, False, False]


def test_what_two_proxies_say_is_blamed_once() -> None:
    assert blamed("aabc") == [False, False, True, False]


def test_what_the_only_proxy_says_is_blamed_where_nothing_is_validated() -> None:
    assert blamed("a", connected="a") == [True]


def test_what_the_only_proxy_says_is_not_blamed_against_what_envoy_takes() -> None:
    """It would be taken away from all that come later."""
    assert blamed("aa", connected="a", vouched=True) == [False, False]


def test_what_envoy_takes_is_blamed_once_more_than_half_of_the_proxies_refuse_it() -> None:
    assert blamed("abacde", connected="abcde", vouched=True) == [False, False, False, True, False, False]
    assert blamed("ab", connected="abcd", vouched=True) == [False, False]


def test_what_proxies_said_that_have_left_does_not_count() -> None:
    """One that comes under ever new names is one."""
    complaints, suspected = Complaints(), [rule()]
    complaints.against(suspected, "a", connected={"a", "x", "y"}, vouched=False)

    assert complaints.against(suspected, "b", connected={"b", "x", "y"}, vouched=False) == ()


def test_each_suspect_has_complaints_of_its_own() -> None:
    complaints, one, other = Complaints(), rule(), route()
    complaints.against([one], "a", connected={"a", "b"}, vouched=False)

    assert complaints.against([one, other], "b", connected={"a", "b"}, vouched=False) == (one,)


def test_what_was_said_of_an_earlier_content_does_not_count() -> None:
    complaints, suspected = Complaints(), [rule()]
    complaints.against(suspected, "a", connected={"a", "b", "c"}, vouched=False)
    complaints.forget()

    assert complaints.against(suspected, "b", connected={"a", "b", "c"}, vouched=False) == ()


def test_a_proxys_refusal_is_blamed_on_the_newest_change() -> None:
    old, new = rule("a"), rule("b")
    quarantine = accepted(old)
    quarantine.accepted(PolicySet((old, new)), 5.0)

    assert refused_by_proxy([old.origin, new.origin], [old, new], quarantine, now=6.0) == (new,)


def test_a_proxys_refusal_is_not_blamed_on_what_has_long_been_in_force() -> None:
    """A proxy of another version of Envoy must not take a policy away from all others."""
    old = rule()

    assert refused_by_proxy([old.origin], [old], accepted(old), now=RECENT + 1) == ()


def test_a_proxys_refusal_of_everything_is_blamed_on_nothing() -> None:
    state = [rule(f"r{number}") for number in range(MOST_SUSPECTS + 1)]

    assert refused_by_proxy([each.origin for each in state], state, accepted(*state), now=1.0) == ()


def test_an_unnamed_refusal_is_blamed_on_the_newest_change_as_a_whole() -> None:
    """Documents that came together depend on each other, though the response may show only some of them."""
    old, between, shown, beside = rule("old"), rule("between"), rule("new"), route("new")
    quarantine = accepted(old)
    quarantine.accepted(PolicySet((old, between)), 4.0)
    state = (old, between, shown, beside)
    quarantine.accepted(PolicySet(state), 5.0)

    assert refused_unnamed([old.origin, shown.origin], state, quarantine, taken_at=3.0) == (shown, beside)


def test_an_unnamed_refusal_is_not_blamed_on_what_the_proxy_took_before() -> None:
    state = (rule(),)

    assert refused_unnamed([state[0].origin], state, accepted(*state, at=4.0), taken_at=4.5) == ()


def test_an_unnamed_refusal_is_not_blamed_on_a_change_that_the_response_does_not_show() -> None:
    old, new = rule("old"), rule("new")
    quarantine = accepted(old)
    quarantine.accepted(PolicySet((old, new)), 5.0)

    assert refused_unnamed([old.origin], [old, new], quarantine, taken_at=3.0) == ()


def test_an_unnamed_refusal_does_not_take_the_stand_in_away_too() -> None:
    held = rule()
    quarantine = accepted(held)
    quarantine.hold(held, "refused-by-proxy", "no good")

    assert refused_unnamed([held.origin], [held], quarantine, taken_at=-1.0) == ()


def test_an_unnamed_refusal_is_not_blamed_on_a_change_of_many_documents() -> None:
    state = [rule(f"r{number}") for number in range(MOST_SUSPECTS + 1)]

    assert refused_unnamed([state[0].origin], state, accepted(*state, at=4.0), taken_at=3.0) == ()
