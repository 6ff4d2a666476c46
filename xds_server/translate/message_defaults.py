"""How a message finds out that a deprecated field of its is unset: without silencing the warnings of the whole process.

When a message is made, betterproto2 compares each of its deprecated fields with that field's default. To get at the
default it enters `warnings.catch_warnings`, lest making one should warn. That costs as much as all other checks of a
Cluster together, and it swaps filters that all threads share, in the worker thread. There is nothing to silence: a
default is None, a zero, or an empty list or map, and none of these warns. A deprecated field that is set warns as ever.
"""

from __future__ import annotations

from typing import Any

import betterproto2


def ask_for_defaults_directly() -> None:
    """Take effect, for all messages of this process; more than once is as good as once."""
    betterproto2.Message._get_field_default = _default  # type: ignore[method-assign]  # noqa: SLF001 - nobody else can


def _default(self: Any, field_name: str) -> Any:
    return self._betterproto.default_gen[field_name]()
