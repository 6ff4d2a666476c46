"""What stands in for a document that Envoy refuses, and until when."""

from __future__ import annotations

from collections.abc import Sequence

from tests.builders import documents
from xds_server.policy.document import Document, PolicySet, Positions, RawDocument, broken_document
from xds_server.problem import Severity
from xds_server.quarantine import Quarantine


def rule(name: str = "a") -> Document:
    """A DestinationRule; a new object each time, as after each edit."""
    (found,) = documents(
        f"""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {{name: {name}}}
        spec: {{host: {name}}}
        """,
        file=f"{name}.yaml",
    )
    return found


def after(*states: Sequence[Document]) -> Quarantine:
    """One that has accepted these states of the policies, a second apart."""
    quarantine = Quarantine()
    for second, state in enumerate(states):
        quarantine.accepted(PolicySet(tuple(state)), float(second))
    return quarantine


def in_force(quarantine: Quarantine, *state: Document) -> tuple[Document, ...]:
    return quarantine.applied(PolicySet(state)).documents


def test_nothing_is_held_at_first() -> None:
    policies = PolicySet((rule(),))

    assert Quarantine().applied(policies) is policies


def test_the_form_in_force_before_stands_in() -> None:
    good, bad, other = rule(), rule(), rule("b")
    quarantine = after([good, other])
    quarantine.hold(bad, "refused-by-envoy", "no good")

    assert in_force(quarantine, bad, other) == (good, other)


def test_without_a_form_before_it_the_document_is_left_out() -> None:
    bad, other = rule(), rule("b")
    quarantine = after([other])
    quarantine.hold(bad, "refused-by-envoy", "no good")

    assert in_force(quarantine, bad, other) == (other,)


def test_what_is_refused_while_in_force_falls_back_to_what_it_replaced() -> None:
    """A proxy refuses it only after it was accepted."""
    good, bad = rule(), rule()
    quarantine = after([good], [bad])
    quarantine.hold(bad, "refused-by-proxy", "no good")

    assert in_force(quarantine, bad) == (good,)


def test_a_stand_in_that_is_refused_too_is_left_out() -> None:
    good, bad = rule(), rule()
    quarantine = after([good])
    quarantine.hold(bad, "refused-by-envoy", "no good")
    quarantine.hold(bad, "refused-by-envoy", "no better")

    assert in_force(quarantine, bad) == ()


def test_a_stand_in_stays_the_last_good_form_over_several_bad_ones() -> None:
    good, bad, worse = rule(), rule(), rule()
    quarantine = after([good])
    quarantine.hold(bad, "refused-by-envoy", "no good")
    quarantine.accepted(quarantine.applied(PolicySet((bad,))), 1.0)
    quarantine.applied(PolicySet((worse,)))
    quarantine.hold(worse, "refused-by-envoy", "no better")

    assert in_force(quarantine, worse) == (good,)


def test_a_document_is_released_when_its_text_changes() -> None:
    bad, mended = rule(), rule()
    quarantine = after([rule()])
    quarantine.hold(bad, "refused-by-envoy", "no good")

    assert in_force(quarantine, mended) == (mended,)
    assert quarantine.held == ()


def test_a_document_is_released_when_it_is_deleted() -> None:
    bad = rule()
    quarantine = after([rule()])
    quarantine.hold(bad, "refused-by-envoy", "no good")

    assert in_force(quarantine) == ()
    assert not quarantine.holds(bad)


def test_an_innocent_document_is_released() -> None:
    suspect = rule()
    quarantine = after([rule()])
    quarantine.restore(suspect, quarantine.hold(suspect, "refused-by-envoy", "no good"))

    assert in_force(quarantine, suspect) == (suspect,)


def test_a_document_held_for_another_reason_is_held_as_it_was_when_it_is_innocent_of_this_one() -> None:
    good, bad = rule(), rule()
    quarantine = after([good])
    quarantine.hold(bad, "refused-by-envoy", "no good")
    quarantine.restore(bad, quarantine.hold(bad, "refused-by-envoy", "no better"))

    assert in_force(quarantine, bad) == (good,)
    assert "no good" in quarantine.held[0].problem.message


def test_the_problem_says_where_and_what_became_of_it() -> None:
    bad = rule()
    quarantine = after([rule()])
    quarantine.hold(bad, "refused-by-envoy", "Envoy refuses cluster c: no good")
    (problem,) = quarantine.applied(PolicySet((bad,))).problems

    assert (problem.file, problem.line, problem.kind, problem.name) == ("a.yaml", 2, "DestinationRule", "a")
    assert (problem.code, problem.severity) == ("refused-by-envoy", Severity.ERROR)
    assert problem.message == "Envoy refuses cluster c: no good; the form before it stays in force"


def test_the_problem_says_when_nothing_stands_in() -> None:
    bad = rule()
    quarantine = Quarantine()
    quarantine.hold(bad, "refused-by-envoy", "no good")

    assert quarantine.held[0].problem.message == "no good; it is left out"


def test_changed_is_what_is_not_in_force() -> None:
    old, new = rule(), rule("b")

    assert after([old]).changed([old, new]) == [new]


def test_newest_is_what_was_taken_up_last() -> None:
    first, second, third = rule("a"), rule("b"), rule("c")
    quarantine = after([first], [first, second, third])

    assert quarantine.newest([first, second], not_before=0.0) == [second]
    assert quarantine.newest([first], not_before=0.5) == []


def test_what_is_left_out_is_known_to_be_written() -> None:
    """A kind that closes doors reads it there: whoever left it out would open them."""
    bad, other = rule(), rule("b")
    quarantine = after([other])
    quarantine.hold(bad, "refused-by-envoy", "no good")
    known = broken_document(RawDocument("c.yaml", {"kind": "Sidecar"}, Positions(1, 1)), "default")
    assert known is not None

    first, second = (quarantine.applied(PolicySet((bad, other), broken=(known,))).broken for _ in range(2))

    assert first == second
    assert [(one.kind, one.name) for one in first] == [("Sidecar", ""), ("DestinationRule", "a")]


def test_what_has_a_stand_in_is_not_left_out() -> None:
    good, bad = rule(), rule()
    quarantine = after([good])
    quarantine.hold(bad, "refused-by-envoy", "no good")

    assert quarantine.applied(PolicySet((bad,))).broken == ()


def test_the_form_of_before_the_start_stands_in_until_something_is_accepted() -> None:
    """Later the quarantine itself knows what was in force."""
    earlier, bad = rule("a"), rule("a")
    quarantine = Quarantine(lambda _: earlier)
    quarantine.hold(bad, "refused-by-envoy", "no good")
    first = quarantine.held[0].stand_in
    quarantine.accepted(quarantine.applied(PolicySet((bad,))), 0.0)
    new = rule("new")
    quarantine.hold(new, "refused-by-envoy", "no good")

    assert first is earlier
    assert [held.stand_in for held in quarantine.held] == [earlier, None]
