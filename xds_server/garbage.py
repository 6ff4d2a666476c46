"""When Python's garbage collector looks: not while a mesh is loaded, and never again at what was."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """No collections meanwhile, for loading: it makes a million objects that stay.

    They would be walked again whenever they have grown by a quarter, which is a third of the time that loading 1,000
    services takes. What is not needed any more is freed by its reference count all the same.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def set_aside() -> None:
    """Take everything that lives now out of the collector's sight, but for the garbage, which goes.

    For what was loaded: most of it lives as long as the process. Walking it over and over would cost as much as
    every other edit.
    """
    gc.collect()
    gc.freeze()
