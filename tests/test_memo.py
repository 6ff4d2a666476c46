"""The memory that makes cost follow change."""

from __future__ import annotations

import gc

import pytest

from xds_server.memo import Memo


class Pair:
    """A result that can be told from an equal one."""

    def __init__(self, left: object, right: object) -> None:
        self.parts = left, right


class Other(Pair):
    """What another function makes of the same inputs."""


class Holder:
    """Something kept up to date in place."""

    def __init__(self, memo: Memo) -> None:
        self.memo = memo


class Named(Holder):
    """One of several that are kept, by name."""

    def __init__(self, memo: Memo, name: str) -> None:
        super().__init__(memo)
        self.name = name


def test_same_inputs_give_the_same_object() -> None:
    memo = Memo()
    first = memo(Pair, 1, 2)

    assert memo(Pair, 1, 2) is first


def test_other_inputs_give_another_result() -> None:
    memo = Memo()

    assert memo(Pair, 1, 2).parts == (1, 2)
    assert memo(Pair, 2, 1).parts == (2, 1)


def test_other_function_with_the_same_inputs_is_not_confused() -> None:
    memo = Memo()
    first = memo(Pair, 1, 2)

    assert type(memo(Other, 1, 2)) is Other
    assert memo(Pair, 1, 2) is first


def test_result_that_nobody_holds_is_forgotten() -> None:
    memo = Memo()
    memo(Pair, 1, 2)
    gc.collect()

    assert len(memo) == 0


def test_function_that_raises_is_asked_again() -> None:
    memo = Memo()
    answers: list[str] = []

    def function(wanted: str) -> Pair:
        answers.append(wanted)
        if len(answers) == 1:
            raise ValueError(wanted)
        return Pair(wanted, len(answers))

    with pytest.raises(ValueError, match="asked"):
        memo(function, "asked")

    assert memo(function, "asked").parts == ("asked", 2)


def test_what_is_kept_is_made_once_of_the_memo() -> None:
    memo = Memo()

    assert memo.kept(Holder) is memo.kept(Holder)
    assert memo.kept(Holder).memo is memo


def test_what_is_forgotten_is_made_again() -> None:
    memo = Memo()
    first = memo.kept(Holder)
    memo.forget(Holder)

    assert memo.kept(Holder) is not first


def test_what_is_kept_is_made_once_for_each_input() -> None:
    memo = Memo()

    assert memo.kept(Named, "a") is memo.kept(Named, "a")
    assert memo.kept(Named, "b").name == "b"
