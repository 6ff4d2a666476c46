"""How rules for access logs are merged (Istio's mergeLogs)."""

from __future__ import annotations

from xds_server.mesh.telemetry import LoggingRule, merged_logs
from xds_server.mesh.workload import Role

CLIENT = frozenset({Role.CLIENT})


def merged(*levels: tuple[LoggingRule, ...], defaults: tuple[str, ...] = ()) -> dict[str, LoggingRule]:
    return dict(merged_logs(list(levels), defaults, Role.CLIENT))


def test_defaults_hold_where_nothing_is_said() -> None:
    assert merged(defaults=("a", "b")) == {"a": LoggingRule(), "b": LoggingRule()}


def test_a_level_that_names_providers_takes_the_place_of_all_before_it() -> None:
    assert set(merged((LoggingRule(providers=("a",)),), (LoggingRule(providers=("b",)),), defaults=("c",))) == {"b"}


def test_two_rules_of_one_level_add_up() -> None:
    found = merged((LoggingRule(providers=("a",)), LoggingRule(providers=("b",), filter="x")))

    assert found == {"a": LoggingRule(), "b": LoggingRule(filter="x")}


def test_a_narrower_rule_without_a_filter_keeps_the_wider_ones() -> None:
    found = merged((LoggingRule(providers=("a",), filter="x"),), (LoggingRule(disabled=False),))

    assert found == {"a": LoggingRule(filter="x")}


def test_what_is_switched_off_is_something_else_than_never_named() -> None:
    assert merged((LoggingRule(providers=("a",), disabled=True),)) == {"a": LoggingRule(disabled=True)}


def test_a_rule_for_the_other_side_says_nothing() -> None:
    server = LoggingRule(frozenset({Role.SERVER}), ("a",))

    assert merged((server, LoggingRule(CLIENT, ("b",)))) == {"b": LoggingRule()}
