"""A change as a trace."""

from __future__ import annotations

from collections.abc import Callable

from xds_server.telemetry.change import MOST_ANSWERS, MOST_STEPS, Answer, ChangeTrace
from xds_server.telemetry.span import Branch, Span, Trace

TAKEN = Answer("web", "CDS", "taken", 13, 14)


def numbered() -> Callable[[int], bytes]:
    """Bytes that are another number each time."""
    count = iter(range(1, 10_000))
    return lambda size: next(count).to_bytes(size, "big")


def change() -> ChangeTrace:
    """One that was noticed at 10, compiled until 12, and published then."""
    trace = ChangeTrace(10, numbered(), (("xds.files", "a.yaml"),))
    trace.step("debounce", 10, 11)
    trace.step("compile", 11, 12)
    trace.published(12, (("xds.generation", 7),))
    return trace


def tree(spans: list[Span]) -> Branch:
    (only,) = Trace(spans[0].trace_id, tuple(spans)).trees()
    return only


def test_a_change_is_one_tree_from_the_notice_to_the_last_answer() -> None:
    top = tree(change().ended("settled", [TAKEN, Answer("web", "LDS", "taken", 15, 17)]))
    debounce, compiled, push = top.children

    assert (top.span.name, top.span.start, top.span.end) == ("policy change", 10e9, 17e9)
    assert [each.span.name for each in top.children] == ["debounce", "compile", "push"]
    assert (compiled.span.start, compiled.span.end) == (11e9, 12e9)
    assert (push.span.start, push.span.end) == (12e9, 15e9)
    assert [(each.span.name, each.span.start, each.span.end) for each in push.children] == [
        ("ack", 15e9, 17e9), ("ack", 13e9, 14e9)
    ]  # fmt: skip
    assert not any(each.span.failed for each in top)
    assert {each.span.service for each in top} == {"xds-server"}
    assert debounce.children == ()


def test_tags_say_what_it_was_and_how_it_ended() -> None:
    top = tree(change().ended("settled", [TAKEN]))

    assert dict(top.span.tags) == {
        "xds.outcome": "settled", "xds.files": "a.yaml", "xds.generation": 7, "xds.answers": 1
    }  # fmt: skip
    (answer,) = top.children[-1].children
    assert dict(answer.span.tags) == {"xds.node.id": "web", "xds.type": "CDS", "xds.outcome": "taken"}


def test_a_refusal_is_a_failure_of_the_answer_and_of_the_change() -> None:
    top = tree(change().ended("settled", [TAKEN, Answer("web", "LDS", "refused", 13, 13.5)]))

    assert top.span.failed
    assert [each.span.failed for each in top.children[-1].children] == [True, False]


def test_without_a_proxy_there_is_no_push() -> None:
    top = tree(change().ended("settled"))

    assert [each.span.name for each in top.children] == ["debounce", "compile"]
    assert top.span.end == 12e9


def test_what_never_came_into_force_ends_with_its_last_step() -> None:
    trace = ChangeTrace(10, numbered())
    trace.step("read", 10, 11, failed=True)
    top = tree(trace.ended("failed"))

    assert (top.span.failed, top.children[0].span.failed, top.span.end) == (True, True, 11e9)


def test_of_many_answers_those_that_are_no_good_and_took_longest_are_told() -> None:
    """And how many there were."""
    quick = [Answer(f"quick-{number}", "CDS", "taken", 13, 14) for number in range(1000)]
    worst = [
        Answer("silent", "CDS", "unanswered", 13, 13.5),
        Answer("against", "CDS", "refused", 13, 13.5),
        Answer("slow", "CDS", "taken", 13, 20),
    ]
    top = tree(change().ended("settled", [*quick, *worst]))
    told = [dict(each.span.tags)["xds.node.id"] for each in top.children[-1].children]

    assert dict(top.span.tags)["xds.answers"] == 1003
    assert len(told) == MOST_ANSWERS
    assert set(told[:2]) == {"silent", "against"}
    assert told[2] == "slow"


def test_of_many_steps_the_first_are_told() -> None:
    trace = ChangeTrace(10, numbered())
    for number in range(1000):
        trace.step(f"{number}", 10, 11)

    assert [span.name for span in trace.ended("failed")] == ["policy change", *map(str, range(MOST_STEPS))]


def test_a_clock_that_was_set_back_makes_no_span_end_before_it_began() -> None:
    trace = ChangeTrace(10, numbered())
    trace.step("read", 11, 9)

    assert trace.ended("settled")[1].end == 11e9
