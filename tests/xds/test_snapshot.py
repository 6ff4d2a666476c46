"""All resources of one view."""

from __future__ import annotations

import pytest

from tests.xds.made import resource, snapshot
from xds_server.errors import InconsistentSnapshot
from xds_server.xds.type_url import CLUSTER, ENDPOINT


def test_names_are_sorted_and_unique_within_a_type() -> None:
    """Envoy refuses a response that names a resource twice."""
    made = snapshot(resource(CLUSTER, "b"), resource(CLUSTER, "a"), resource(ENDPOINT, "a"))

    assert [*made.of_type(CLUSTER)] == ["a", "b"]
    with pytest.raises(InconsistentSnapshot, match="named 'a'"):
        snapshot(resource(CLUSTER, "a"), resource(CLUSTER, "a", "2"))


def test_dangling_reference_is_found() -> None:
    """A cluster without endpoints would warm for 15 s."""
    snapshot(resource(CLUSTER, "a", "1", "e"), resource(ENDPOINT, "e")).check()
    with pytest.raises(InconsistentSnapshot, match="'a' needs 'e'"):
        snapshot(resource(CLUSTER, "a", "1", "e")).check()


def test_version_is_the_same_for_the_same_content() -> None:
    """On every machine, in whatever order it was made."""
    one, two = resource(CLUSTER, "a"), resource(ENDPOINT, "e")

    assert snapshot(one, two).version == snapshot(two, one).version
    assert snapshot(one).version != snapshot(resource(CLUSTER, "a", "2")).version
