"""/debug/configz: the policy documents in force, shaped as Kubernetes would give them back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from xds_server.policy.document import Document


def config_objects(documents: Iterable[Document], kind: str | None = None) -> list[dict[str, object]]:
    """One object per document, in order of precedence; `kind` keeps one kind only, in any case of letters."""
    return [_object(document) for document in documents if kind is None or document.kind.lower() == kind.lower()]


def _object(document: Document) -> dict[str, object]:
    metadata: dict[str, object] = {"name": document.name, "namespace": document.namespace}
    if document.created is not None:
        metadata["creationTimestamp"] = document.created.isoformat().replace("+00:00", "Z")
    if document.labels:
        metadata["labels"] = document.labels
    if document.annotations:
        metadata["annotations"] = document.annotations
    return {
        "apiVersion": document.api_version,
        "kind": document.kind,
        "metadata": metadata,
        # Only what the author wrote; the spelling is Istio's of today.
        "spec": _json(document.spec.model_dump(by_alias=True, exclude_unset=True)),
    }


def _json(value: object) -> object:
    """Plain values as Istio writes them: a duration is "5s", where pydantic would write "PT5S"."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item) for item in value]
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    return value if value is None or isinstance(value, bool | int | float) else str(value)
