"""Patterns of field paths."""

from __future__ import annotations

import pytest

from xds_server.policy.pattern import inside, occurrences, pattern_parts, snake_case, value_at

VALUE = {"http": [{"route": [{"weight": 1}, {"weight": 2}]}, {"timeout": "5s"}], "export_to": ["."]}


def test_a_list_is_every_one_of_its_items() -> None:
    found = list(occurrences(VALUE, pattern_parts("http[].route[].weight")))

    assert found == [(("http", 0, "route", 0, "weight"), 1), (("http", 0, "route", 1, "weight"), 2)]


def test_protos_own_spelling_is_found_as_written() -> None:
    assert list(occurrences(VALUE, ("exportTo",))) == [(("export_to",), ["."])]


@pytest.mark.parametrize("pattern", ["tls", "http[].fault", "http.route", "exportTo[].x"])
def test_what_is_not_there_is_not_found(pattern: str) -> None:
    assert list(occurrences(VALUE, pattern_parts(pattern))) == []


def test_the_empty_pattern_is_the_value() -> None:
    assert list(occurrences(VALUE, pattern_parts(""))) == [((), VALUE)]


def test_keys_are_collected_at_every_depth_in_istios_spelling() -> None:
    assert inside(VALUE).keys == {"http", "route", "weight", "timeout", "exportTo"}


def test_a_key_in_protos_spelling_is_noticed_anywhere() -> None:
    assert [inside(value).proto_names for value in ({"a": [{"b_c": 1}]}, {"a": [{"bC": "d_e"}]})] == [True, False]


def test_a_value_that_is_left_empty_is_noticed_anywhere() -> None:
    assert [inside(value).gaps for value in ({"a": [{"b": None}]}, {"a": [{"b": ""}]})] == [True, False]


@pytest.mark.parametrize(("name", "snake"), [("exportTo", "export_to"), ("h2UpgradePolicy", "h2_upgrade_policy")])
def test_snake_case_is_protos_spelling(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_a_path_leads_to_its_value_or_to_nothing() -> None:
    assert value_at(VALUE, ("http", 1, "timeout")) == "5s"
    assert value_at(VALUE, ("http", 2, "timeout")) is None
