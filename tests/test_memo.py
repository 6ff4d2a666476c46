"""The memory that makes cost follow change."""

from __future__ import annotations

import pytest

from xds_server.memo import Memo


class Counter:
    """A pure function that counts how often it ran."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, left: object, right: object) -> tuple[object, object]:
        """Its inputs."""
        self.calls += 1
        return left, right


def test_same_inputs_give_the_same_object() -> None:
    memo, function = Memo(), Counter()

    assert memo(function, 1, 2) is memo(function, 1, 2)
    assert function.calls == 1


def test_other_inputs_give_another_result() -> None:
    memo, function = Memo(), Counter()

    assert memo(function, 1, 2) != memo(function, 2, 1)


def test_other_function_with_the_same_inputs_is_not_confused() -> None:
    memo, first, second = Memo(), Counter(), Counter()
    memo(first, 1, 2)
    memo(second, 1, 2)

    assert (first.calls, second.calls) == (1, 1)


def test_each_answers_in_the_order_asked() -> None:
    memo, function = Memo(), Counter()
    memo(function, 2, 2)

    assert list(memo.each(function, [(3, 3), (2, 2), (1, 1)])) == [(3, 3), (2, 2), (1, 1)]


def test_sweep_keeps_what_was_asked_for_since_the_last_one() -> None:
    memo, function = Memo(), Counter()
    kept = memo(function, 1, 1)
    memo.sweep()
    assert memo(function, 1, 1) is kept
    memo.sweep()

    assert memo(function, 1, 1) is kept


def test_sweep_drops_what_nobody_asked_for() -> None:
    memo, function = Memo(), Counter()
    memo(function, 1, 1)
    memo.sweep()
    memo.sweep()

    assert len(memo) == 0


def test_a_function_that_raises_is_asked_again() -> None:
    memo = Memo()
    answers: list[str] = []

    def function() -> str:
        answers.append("asked")
        if len(answers) == 1:
            raise ValueError(answers[0])
        return "well"

    with pytest.raises(ValueError, match="asked"):
        memo(function)

    assert memo(function) == "well"
