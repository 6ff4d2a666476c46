"""What is remembered of mesh values."""

from __future__ import annotations

import gc
from collections import Counter

from xds_server.translate.memory import Memory


class Value:
    """Something with an identity, as mesh values have."""

    def __init__(self, name: str) -> None:
        self.name = name


def counting() -> tuple[Memory[Value, str], Counter[str]]:
    made: Counter[str] = Counter()

    def make(value: Value) -> str:
        made[value.name] += 1
        return value.name.upper()

    return Memory(make), made


def test_results_come_in_the_order_of_what_was_asked() -> None:
    memory, _ = counting()
    values = [Value("b"), Value("a")]

    assert memory.each(values) == ["B", "A"]
    assert memory.each(values) == ["B", "A"]


def test_only_what_is_new_is_made() -> None:
    memory, made = counting()
    a, b, c = Value("a"), Value("b"), Value("c")

    memory.each([a, b])
    memory.each([a, c])
    memory.each([c])

    assert made == {"a": 1, "b": 1, "c": 1}


def test_nothing_is_forgotten_while_its_value_lives() -> None:
    """Views are translated in turn, and each must find what another asked for last."""
    memory, made = counting()
    a, b = Value("a"), Value("b")

    for view in ([a], [b], [a], [b]):
        memory.each(view)

    assert made == {"a": 1, "b": 1}
    assert memory.one(a) == "A"


def test_what_is_gone_is_forgotten() -> None:
    memory, _ = counting()
    kept = Value("kept")
    memory.each([Value("gone")])

    memory.each([kept])
    gc.collect()

    assert len(memory) == 1


def test_what_was_given_stays_as_it_was_given() -> None:
    """Whoever holds the results for one view must not see those for the next."""
    memory, _ = counting()
    a, b, c = Value("a"), Value("b"), Value("c")
    before = memory.each([a, b])

    assert memory.each([a, c]) == ["A", "C"]
    assert memory.each([a, b, c]) == ["A", "B", "C"]
    assert before == ["A", "B"]
