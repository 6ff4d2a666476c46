"""When the garbage collector looks."""

from __future__ import annotations

import gc

import pytest

from xds_server.garbage import collection_paused, set_aside


def test_the_collector_looks_again_after_a_pause() -> None:
    with collection_paused():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_a_load_that_fails_does_not_leave_the_collector_off() -> None:
    with pytest.raises(ValueError, match="no policies"), collection_paused():
        raise ValueError("no policies")

    assert gc.isenabled()


def test_what_is_set_aside_is_not_looked_at_again() -> None:
    loaded = [object()]

    set_aside()
    try:
        assert not any(each is loaded for each in gc.get_objects())
    finally:
        gc.unfreeze()
