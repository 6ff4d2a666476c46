"""Istio's rules for a WorkloadEntry, each in the words its author reads."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors


@pytest.mark.parametrize("address", ["10.0.0.1", "::1", "worker", "a_1.example.com", "unix:///a/b", "unix://@a"])
def test_addresses_that_can_be_reached(address: str) -> None:
    assert errors("WorkloadEntry", f'address: "{address}"') == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{}", "spec"),
        ("{address: 'http://a'}", "address"),
        ("{address: 'unix://a'}", "address"),
        ("{address: 'unix:///a/'}", "address"),
        ("{address: 'unix:///a', ports: {http: 80}}", "ports"),
        ("{address: 10.0.0.1, ports: {http: 99999}}", "ports.http"),
        ("{address: 10.0.0.1, ports: {'@': 80}}", "ports.@"),
        ("{address: 10.0.0.1, labels: {a: '*'}}", "labels.a"),
        ("{address: 10.0.0.1, weight: -1}", "weight"),
    ],
)
def test_istios_rules(spec: str, field: str) -> None:
    assert [where for where, _ in errors("WorkloadEntry", spec)] == [field]


def test_an_address_may_be_left_out_for_a_network() -> None:
    assert errors("WorkloadEntry", "network: net") == []
