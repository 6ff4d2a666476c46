"""A document's metadata: what it is called, where it belongs, and how old it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from xds_server.policy.model import Finding, quote
from xds_server.policy.values import is_dns_label

_OF_KUBERNETES = frozenset(
    {
        "uid",
        "resourceVersion",
        "generation",
        "generateName",
        "selfLink",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "clusterName",
    }
)
"""What Kubernetes writes into the documents that it gives out; it means nothing here."""
_OURS = ("name", "namespace", "labels", "annotations", "creationTimestamp")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata as read, with what is wrong with it; what could not be read is left empty.

    Attributes:
        created: aware, UTC.
    """

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    created: datetime | None = None
    findings: tuple[Finding, ...] = ()


def read_metadata(value: object, default_namespace: str) -> Metadata:
    """Kubernetes' ObjectMeta, as far as it means something without Kubernetes; places are below the document."""
    if not isinstance(value, Mapping):
        message = "metadata is required" if value is None else "must be a mapping of fields"
        return Metadata(findings=(Finding(message, "write metadata: {name: ...}", ("metadata",), "missing-field"),))
    created = _moment(value.get("creationTimestamp"))
    return Metadata(
        name=_text(value.get("name")),
        namespace=_text(value.get("namespace")) or default_namespace,
        labels=_texts(value.get("labels")),
        annotations=_texts(value.get("annotations")),
        created=created,
        findings=tuple(finding.below(("metadata",)) for finding in _findings(value, created)),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}


def _moment(value: object) -> datetime | None:
    """RFC 3339 with its time of day, or what a YAML reader made of it; without a zone it is UTC."""
    if isinstance(value, str) and len(value) > len("2006-01-02"):
        with suppress(ValueError):
            return _in_utc(datetime.fromisoformat(value))
    return _in_utc(value) if isinstance(value, datetime) else None


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _findings(metadata: Mapping[object, object], created: datetime | None) -> Iterator[Finding]:
    yield from _name_findings(metadata.get("name"))
    yield from _namespace_findings(metadata.get("namespace"))
    for key in ("labels", "annotations"):
        yield from _text_findings(key, metadata.get(key))
    moment = metadata.get("creationTimestamp")
    if moment is not None and created is None:
        fix = "write it as 2006-01-02T15:04:05Z"
        yield Finding(f'"{moment}" is not a point in time', fix, ("creationTimestamp",))
    for written in metadata:
        if written not in _OURS and written not in _OF_KUBERNETES:
            yield _unknown_field(str(written))


def _name_findings(value: object) -> Iterator[Finding]:
    if value is None or value == "":
        yield Finding("a document needs a name", "write metadata: {name: ...}", ("name",), "missing-field")
    elif not isinstance(value, str):
        yield Finding("must be text", quote(value), ("name",))
    elif len(value) > 253 or not _SUBDOMAIN.fullmatch(value):
        yield Finding(f'"{value}" is not a name', "use lower-case letters, digits, - and .", ("name",))


def _namespace_findings(value: object) -> Iterator[Finding]:
    if value is None or value == "":
        return
    if not isinstance(value, str) or not is_dns_label(value) or value != value.lower():
        fix = "use lower-case letters, digits and dashes, at most 63"
        yield Finding(f'"{value}" is not a namespace', fix, ("namespace",))


def _text_findings(key: str, value: object) -> Iterator[Finding]:
    if value is not None and not isinstance(value, Mapping):
        yield Finding("must be a mapping of text", "write {name: value}", (key,))
        return
    pairs = value.items() if isinstance(value, Mapping) else ()
    for name, text in pairs:
        if not isinstance(name, str) or not isinstance(text, str):
            wrong = text if isinstance(name, str) else name
            yield Finding(f"{name} must be text", quote(wrong), (key, name))


def _unknown_field(key: str) -> Finding:
    near = difflib.get_close_matches(key, _OURS, n=1)
    fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(_OURS)}"
    return Finding(f"there is no field {key} here", fix, (key,), "unknown-field")
