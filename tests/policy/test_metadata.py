"""Metadata: what a document is called, where it belongs, how old it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from xds_server.policy.metadata import read_metadata


def fields(value: object) -> list[str]:
    """The places with something wrong, below metadata."""
    return [".".join(map(str, finding.at[1:])) for finding in read_metadata(value, "default").findings]


def test_the_default_namespace_is_used_when_none_is_written() -> None:
    assert read_metadata({"name": "a"}, "default").namespace == "default"
    assert read_metadata({"name": "a", "namespace": "b"}, "default").namespace == "b"


@pytest.mark.parametrize(
    "moment",
    ["2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00", datetime(2024, 5, 1, 10, tzinfo=UTC), "2024-05-01 10:00:00"],
)
def test_the_age_is_in_utc(moment: object) -> None:
    assert read_metadata({"name": "a", "creationTimestamp": moment}, "").created == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_no_age_is_none() -> None:
    assert read_metadata({"name": "a", "creationTimestamp": None}, "").created is None


def test_what_kubernetes_adds_is_accepted_silently() -> None:
    assert fields({"name": "a", "uid": "x", "resourceVersion": "1", "generation": 3, "managedFields": []}) == []


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ([], ""),
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": "A b"}, "name"),
        ({"name": "a" * 254}, "name"),
        ({"name": "a", "namespace": "a.b"}, "namespace"),
        ({"name": "a", "namespace": 5}, "namespace"),
        ({"name": "a", "labels": {"v": 1}}, "labels.v"),
        ({"name": "a", "labels": ["v"]}, "labels"),
        ({"name": "a", "annotations": {"v": True}}, "annotations.v"),
        ({"name": "a", "creationTimestamp": "yesterday"}, "creationTimestamp"),
        ({"name": "a", "creationTimestamp": "2024-05-01"}, "creationTimestamp"),
        ({"name": "a", "label": {}}, "label"),
    ],
)
def test_each_mistake_has_its_place(value: object, field: str) -> None:
    assert fields(value) == [field]


def test_a_misspelt_key_is_told_the_nearest() -> None:
    assert read_metadata({"name": "a", "namespce": "b"}, "").findings[0].fix == "did you mean namespace?"


def test_names_may_have_dots() -> None:
    assert fields({"name": "reviews.v1"}) == []
