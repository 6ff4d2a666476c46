"""All resources of one view."""

from __future__ import annotations

import pytest

from tests.xds.made import resource, snapshot
from xds_server.errors import InconsistentSnapshot
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, SECRET


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


def test_dangling_reference_is_found_beside_a_snapshot_that_was_sound() -> None:
    """Whether what is referred to went, or what refers came or changed; whatever else stayed."""
    a, e = resource(CLUSTER, "a", "1", "e"), resource(ENDPOINT, "e")
    sound = snapshot(a, e)
    sound.check()

    snapshot(a, e, resource(CLUSTER, "b", "1", "e")).check(sound=sound)
    snapshot(a, resource(ENDPOINT, "e", "2")).check(sound=sound)
    for dangling in (
        snapshot(a),
        snapshot(a, e, resource(CLUSTER, "b", "1", "f")),
        snapshot(e, resource(CLUSTER, "a", "2", "f")),
        snapshot(a, resource(ENDPOINT, "f")),
    ):
        with pytest.raises(InconsistentSnapshot, match="needs"):
            dangling.check(sound=sound)


def test_version_is_the_same_for_the_same_content() -> None:
    """On every machine, in whatever order it was made."""
    one, two = resource(CLUSTER, "a"), resource(ENDPOINT, "e")

    assert snapshot(one, two).version == snapshot(two, one).version
    assert snapshot(one).version != snapshot(resource(CLUSTER, "a", "2")).version


def test_secrets_of_a_proxy_leave_the_rest_shared() -> None:
    """A thousand proxies of one view differ in their own keys and in nothing else."""
    view = snapshot(resource(CLUSTER, "a"))

    one, other = (view.with_secrets([resource(SECRET, "default", version)]) for version in "12")

    assert one.set_of(CLUSTER) is other.set_of(CLUSTER) is view.set_of(CLUSTER)
    assert (one.of_type(SECRET)["default"].version, other.of_type(SECRET)["default"].version) == ("1", "2")
    assert not view.of_type(SECRET)


def test_version_of_a_snapshot_with_secrets_follows_both() -> None:
    views = [snapshot(resource(CLUSTER, "a", version)) for version in "12"]

    versions = {view.with_secrets([resource(SECRET, "default", secret)]).version for view in views for secret in "12"}

    assert len(versions) == 4
    assert views[0].with_secrets([resource(SECRET, "default", "1")]).version in versions


def test_version_of_what_proxies_share_is_the_same_for_all_of_them() -> None:
    """It is part of each response: were it another, nobody would be sent the same bytes."""
    view = snapshot(resource(CLUSTER, "a"))
    one, other = (view.with_secrets([resource(SECRET, "default", version)]) for version in "12")

    assert one.version_of(CLUSTER) == other.version_of(CLUSTER) == view.version
    assert one.version_of(SECRET) == one.version != other.version_of(SECRET)


def test_reference_to_what_each_proxy_is_given_later_is_no_defect() -> None:
    listener = Resource(LISTENER, "a", "1", b"1", refs=((SECRET, "default"),))

    Snapshot.of([listener]).check(given={(SECRET, "default")})

    with pytest.raises(InconsistentSnapshot, match="'default'"):
        Snapshot.of([listener]).check()
