"""How long tests wait for what must come: so long that only what never comes is missed, on however busy a machine."""

from __future__ import annotations

PATIENCE = 120.0
"""Seconds after which a test that waits for something is a failed one."""
