"""Who may see what a document defines: exportTo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from xds_server.policy.destination_rule import DestinationRuleSpec
from xds_server.policy.document import Document
from xds_server.policy.service_entry import ServiceEntrySpec
from xds_server.policy.virtual_service import VirtualServiceSpec

PUBLIC = ("*",)


def export_to(document: Document) -> tuple[str, ...]:
    """Namespaces that may see a document's objects: PUBLIC when nothing is written, "." resolved, () for "~"."""
    written = cast("DestinationRuleSpec | ServiceEntrySpec | VirtualServiceSpec", document.spec).export_to
    names = {document.namespace if name == "." else name for name in written} or {"*"}
    return PUBLIC if "*" in names else tuple(sorted(names - {"~"}))


def is_exported(names: Iterable[str], namespace: str) -> bool:
    """Whether callers of `namespace` may see what is exported to `names`."""
    return "*" in names or namespace in names


def rank(document: Document) -> int:
    """Private documents come before those that name namespaces, and those before public ones (Istio's order)."""
    names = export_to(document)
    if names == PUBLIC:
        return 2
    return 0 if names == (document.namespace,) else 1
