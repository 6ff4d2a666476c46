"""Sets share what can be shared, and keep nothing alive."""

from __future__ import annotations

import gc
import weakref

from tests.xds.made import clusters, resource, snapshot
from xds_server.xds.resource_set import EMPTY
from xds_server.xds.type_url import CLUSTER, ENDPOINT


def test_one_snapshot_has_one_set_per_type() -> None:
    """So that streams of one snapshot hold the same object."""
    shared = snapshot(resource(CLUSTER, "a"))

    assert shared.set_of(CLUSTER) is shared.set_of(CLUSTER)
    assert shared.set_of(ENDPOINT) is EMPTY


def test_sets_die_with_their_snapshot() -> None:
    """A server that runs for a year must not keep a year of snapshots."""
    dying = snapshot(resource(CLUSTER, "a"))
    watched = weakref.ref(dying.set_of(CLUSTER))
    del dying
    gc.collect()

    assert watched() is None


def test_version_depends_on_names_and_versions_alone() -> None:
    """Two servers with the same files tell Envoy the same."""
    assert clusters(a="1", b="2").version == clusters(b="2", a="1").version
    assert clusters(a="1").version != clusters(a="2").version
    assert clusters(a="1").version != clusters(b="1").version


def test_selection_is_shared_and_leaves_out_what_is_not_there() -> None:
    """The tuple of a selection is what an encoder may remember bytes by."""
    full = clusters(a="1", b="1", c="1")

    chosen = full.selection(frozenset({"c", "a", "z"}))
    assert [found.name for found in chosen.resources] == ["a", "c"]
    assert full.selection(frozenset({"z", "a", "c"})).resources is chosen.resources
    assert full.selection(frozenset({"a", "b", "c", "z"})) is full


def test_variant_replaces_adds_and_leaves_out() -> None:
    """None leaves out; the order stays that of names; nothing exchanged is the set itself."""
    full = clusters(a="1", c="1")
    changed = {"a": None, "b": resource(CLUSTER, "b"), "c": resource(CLUSTER, "c", "2")}

    variant = full.variant(changed)
    assert [(found.name, found.version) for found in variant.resources] == [("b", "1"), ("c", "2")]
    assert full.variant(changed) is variant
    assert full.variant({"a": full.get("a"), "z": None}) is full


def test_memory_of_selections_is_bounded() -> None:
    """A peer that asks for ever other names must not fill ours."""
    full = clusters(a="1", b="1")
    for number in range(1000):
        full.selection(frozenset({"a", str(number)}))

    assert len(full._selections) <= 64


def test_peers_that_ask_for_what_does_not_exist_leave_little_behind() -> None:
    """Least of all with the set of nothing, which lives as long as the process."""
    for number in range(20):
        many = frozenset(f"{number}-{name}" for name in range(30_000))
        EMPTY.selection(many)
        EMPTY.variant({name: resource(CLUSTER, name) for name in many})

    assert sum(map(len, EMPTY._selections)) <= 200_000
    assert sum(map(len, EMPTY._variants)) <= 200_000


def test_needs_are_the_names_referred_to() -> None:
    """By type."""
    chosen = snapshot(resource(CLUSTER, "a", "1", "e"), resource(CLUSTER, "b", "1", "f")).set_of(CLUSTER)

    assert chosen.needs(ENDPOINT) == {"e", "f"}
    assert chosen.needs(CLUSTER) == frozenset()
