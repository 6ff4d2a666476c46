"""What changed between two sets."""

from __future__ import annotations

import gc
import weakref

from tests.xds.made import clusters
from xds_server.xds.diff import diff


def test_diff_names_new_changed_and_gone() -> None:
    """By version: an equal version in another object is no change."""
    change = diff(clusters(same="1", changed="1", gone="1"), clusters(same="1", changed="2", new="1"))

    assert change.changed.names == {"changed", "new"}
    assert change.removed == {"gone"}


def test_equal_sets_differ_in_nothing() -> None:
    """Whether they are one object or two."""
    one = clusters(a="1")

    assert not diff(one, one)
    assert not diff(one, clusters(a="1"))


def test_diff_of_one_pair_is_computed_once() -> None:
    """The very same value for every stream, so that its bytes can be shared."""
    old, new = clusters(a="1"), clusters(a="2")

    assert diff(old, new) is diff(old, new)


def test_diff_keeps_neither_set_alive() -> None:
    """Snapshots go when the last stream leaves them."""
    old, new = clusters(a="1"), clusters(a="2")
    diff(old, new)
    watched = [weakref.ref(old), weakref.ref(new)]
    del old, new
    gc.collect()

    assert [ref() for ref in watched] == [None, None]
