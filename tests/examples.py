"""The example policies of this repository, for tests that use them as they stand."""

from __future__ import annotations

from pathlib import Path

POLICIES = Path(__file__).parent.parent / "policies"
OWNERS_FILES = ("worker-circuit-breaker.yaml", "worker-retry.yaml", "worker-timeout.yaml", "worker-service.yaml")
OWNERS_DOCUMENTS = "---\n".join((POLICIES / name).read_text() for name in OWNERS_FILES)
"""The five documents that people already have, in spellings that Istio has given up."""
