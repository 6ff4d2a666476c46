"""One policy document as read: metadata, source positions, and the model of its kind.

Knows no YAML: it takes plain values with positions kept beside them. `parse_document` says everything that can be said
of one document alone; what it says of others is the compiler's.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import compress, islice
from typing import TypeGuard

from pydantic import BaseModel, ValidationError

from xds_server.policy.kinds import Kind, find_kind, nearest_kind
from xds_server.policy.legacy import rewritten
from xds_server.policy.mesh_config import as_document, is_mesh_config
from xds_server.policy.metadata import read_metadata
from xds_server.policy.model import Finding, Path, PolicyModel
from xds_server.policy.not_applied import not_applied
from xds_server.policy.pattern import Inside, inside
from xds_server.policy.position import Positions
from xds_server.policy.wording import findings, istio_path
from xds_server.problem import Origin, Problem, Severity

__all__ = [
    "BrokenDocument",
    "Document",
    "Path",
    "PolicySet",
    "Positions",
    "RawDocument",
    "as_broken",
    "broken_document",
    "broken_text",
    "changes",
    "dotted",
    "identify",
    "parse_document",
    "precedence",
    "unfolded",
]

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")
_LONGEST = 2000
"""Characters of a message."""
_KINDS_LOOKED_AT = 100
"""In text that is no YAML: finding out which kind a word comes closest to takes long."""


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One YAML document as plain dicts, lists and scalars, before anybody asked what it means."""

    file: str
    value: object
    positions: Positions


@dataclass(frozen=True, eq=False)
class Document:
    """One valid policy document. Compared by identity: a store gives the same object while its text is the same.

    Attributes:
        created: metadata.creationTimestamp where given; aware, UTC.
        labels, annotations: metadata's, as written.
        spec: the pydantic model that `policy.kinds` names for `kind`.
        status: as written, whatever it is: `policy.status` reads it.
        problems: notes and warnings about this document alone (old spellings, fields not applied yet).
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    spec: BaseModel
    origin: Origin
    positions: Positions
    created: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    status: object = None
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name): what a document is called; one document of each key is in force."""
        return self.kind, self.namespace, self.name


@dataclass(frozen=True, eq=False)
class BrokenDocument:
    """A document that cannot be taken and of which no good form is in force. Compared by identity, as documents are.

    Leaving it out is right for most kinds. A kind that closes doors must not leave them open because of a typo: its
    compiler reads here that there was a will, and how far it can be made out.

    Attributes:
        kind: the kind of ours that it names or comes closest to.
        namespace: "" when it cannot be made out.
        name: "" when it cannot be made out.
        spec: as written, plain values; None when it cannot be made out.
    """

    kind: str
    namespace: str
    name: str
    spec: object
    origin: Origin


@dataclass(frozen=True, eq=False)
class PolicySet:
    """Everything a store holds at one moment.

    Attributes:
        documents: in order of precedence (creationTimestamp where given, then namespace, then name), each key once.
        problems: of documents and files that could not be taken as they are, and the notes of those that could.
        broken: documents that are written and of which no form is in force.
    """

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: tuple[BrokenDocument, ...] = ()


def changes(before: Sequence[Document], now: Sequence[Document]) -> tuple[frozenset[Document], frozenset[Document]]:
    """The documents that are gone, and those that are new; an edited one is both.

    Most edits leave every other document in its place, so that it need not be looked up.
    """
    if len(before) == len(now):
        moved = tuple(map(operator.is_not, before, now))
        gone, new = frozenset(compress(before, moved)), frozenset(compress(now, moved))
    else:
        gone, new = frozenset(before), frozenset(now)
    return gone - new, new - gone


def precedence(document: Document) -> tuple[bool, datetime, str, str]:
    """Sort key of documents that speak of one thing: creationTimestamp where given, then namespace, then name.

    A document with a timestamp comes before those without. Which file holds it never matters.
    """
    return (
        document.created is None,
        document.created or datetime.max.replace(tzinfo=UTC),
        document.namespace,
        document.name,
    )


def unfolded(raw: RawDocument) -> Iterator[RawDocument]:
    """The documents that `raw` stands for: itself, or the items of a `kind: List` (kubectl writes several so)."""
    items = raw.value.get("items") if _is_list(raw.value) else None
    if not isinstance(items, list):
        yield _whole(raw)
        return
    places = raw.positions.children["items"].children
    for index, item in enumerate(items):
        yield from unfolded(RawDocument(raw.file, item, places[index]))


def _whole(raw: RawDocument) -> RawDocument:
    """`raw` with everything around its spec, which a MeshConfig may leave out."""
    value = as_document(raw.file, raw.value)
    if value is raw.value:
        return raw
    children = raw.positions.children
    inner = {**children, "spec": children.get("spec", raw.positions)}
    return RawDocument(raw.file, value, Positions(raw.positions.line, raw.positions.column, inner))


def _is_list(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping) and (value.get("apiVersion"), value.get("kind")) == ("v1", "List")


def identify(raw: RawDocument, default_namespace: str) -> tuple[str, str, str] | None:
    """(kind, namespace, name) of a document that may be wrong elsewhere; None when it does not say."""
    if not isinstance(raw.value, Mapping) or not isinstance(metadata := raw.value.get("metadata"), Mapping):
        return None
    kind, name = raw.value.get("kind"), metadata.get("name")
    namespace = metadata.get("namespace") or default_namespace
    if isinstance(kind, str) and isinstance(name, str) and isinstance(namespace, str) and kind and name:
        return kind, namespace, name
    return None


def broken_document(raw: RawDocument, default_namespace: str) -> BrokenDocument | None:
    """What can be made out of a document that `parse_document` refused; None when not even its kind can."""
    if not isinstance(raw.value, Mapping) or (kind := nearest_kind(raw.value.get("kind"))) is None:
        return None
    metadata = raw.value.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    namespace, name = named.get("namespace") or default_namespace, named.get("name")
    return _broken(
        kind,
        namespace if isinstance(namespace, str) else "",
        name if isinstance(name, str) else "",
        raw.value.get("spec"),
        (raw.file, raw.positions.line),
    )


def as_broken(document: Document) -> BrokenDocument:
    """A valid document that cannot be in force for another reason, as what it was meant to be."""
    spec = document.spec.model_dump(by_alias=True)
    return BrokenDocument(document.kind, document.namespace, document.name, spec, document.origin)


def broken_text(text: str, file: str, line: int) -> BrokenDocument | None:
    """The same of text that is no YAML, as far as its lines still tell; `line` is where it starts in `file`."""
    said = islice(_said("kind", text), _KINDS_LOOKED_AT)
    kind = next((kind for name in said if (kind := nearest_kind(name))), None)
    if kind is None:
        return None
    namespace, name = (next(_said(key, text), "") for key in ("namespace", "name"))
    return _broken(kind, namespace, name, None, (file, line))


def _said(key: str, text: str) -> Iterator[str]:
    """What stands behind a key, wherever it is written.

    White space before it is looked for on its own line only: text may be nothing but line ends.
    """
    if key not in text:
        return iter(())
    pattern = rf"""(?:^|[{{,-])[^\S\n]*["']?{key}["']?\s*:\s*["']?([\w.-]+)"""
    return (found[1] for found in re.finditer(pattern, text, re.MULTILINE))


def _broken(kind: str, namespace: str, name: str, spec: object, place: tuple[str, int]) -> BrokenDocument:
    return BrokenDocument(kind, namespace, name, spec, Origin(*place, kind, namespace, name))


def parse_document(raw: RawDocument, default_namespace: str) -> tuple[Document | None, tuple[Problem, ...]]:
    """The document, and everything that is to be said of it alone, in the order of its lines.

    Returns:
        No document when one of the problems is an error, or when it is no policy of Istio's (a warning says so).
        A document carries the same problems.
    """
    if raw.value is None:
        return None, ()
    if not isinstance(raw.value, Mapping):
        return None, _problems(raw, default_namespace, [Finding("a document must be a mapping of fields")])
    api_version, kind = raw.value.get("apiVersion"), raw.value.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        return None, _problems(raw, default_namespace, [_unnamed(raw.value)])
    found = find_kind(api_version, kind)
    if isinstance(found, Finding):
        return None, _problems(raw, default_namespace, [found])
    return _parsed(raw, raw.value, default_namespace, found)


def _unnamed(value: Mapping[str, object]) -> Finding:
    if not any(key in value for key in ("apiVersion", "kind", "spec")):
        message = "ignored: without apiVersion and kind it is not an Istio policy"
        meant = "if it is Istio's mesh configuration, write kind: MeshConfig above it, or call the file mesh.yaml"
        fix = meant if is_mesh_config(value) else ""
        return Finding(message, fix, code="not-a-policy", severity=Severity.WARNING)
    missing = "kind" if isinstance(value.get("apiVersion"), str) else "apiVersion"
    return Finding(f"a document needs {missing}", f"write {missing}: ...", (missing,), "missing-field")


def _parsed(
    raw: RawDocument, value: Mapping[str, object], default_namespace: str, kind: Kind
) -> tuple[Document | None, tuple[Problem, ...]]:
    metadata = read_metadata(value.get("metadata"), default_namespace)
    found, spec = inside(value), value.get("spec")
    positions = raw.positions.with_istio_names() if found.proto_names else raw.positions
    today = rewritten(kind.name, spec, positions, found)
    model, of_spec = _spec(kind, today.spec, found if today.spec is spec else inside(today.spec))
    below = [replace(each, at=("spec", *istio_path(kind.model, each.at))) for each in (*today.findings, *of_spec)]
    placed = RawDocument(raw.file, raw.value, today.positions)
    problems = _problems(placed, default_namespace, [*_top_level(value), *metadata.findings, *below])
    if model is None or any(problem.severity is Severity.ERROR for problem in problems):
        return None, problems
    origin = Origin(raw.file, raw.positions.line, kind.name, metadata.namespace, metadata.name)
    document = Document(
        api_version=str(value["apiVersion"]),
        kind=kind.name,
        namespace=metadata.namespace,
        name=metadata.name,
        spec=model,
        origin=origin,
        positions=today.positions,
        created=metadata.created,
        labels=metadata.labels,
        annotations=metadata.annotations,
        status=value.get("status"),
        problems=problems,
    )
    return document, problems


def _top_level(value: Mapping[str, object]) -> Iterator[Finding]:
    for key in value:
        if key not in _TOP_LEVEL:
            near = difflib.get_close_matches(str(key), _TOP_LEVEL, n=1)
            fix = f"did you mean {near[0]}?" if near else "it may belong under spec"
            yield Finding(f"there is no field {key} here", fix, (str(key),), "unknown-field")


def _spec(kind: Kind, spec: object, found: Inside) -> tuple[PolicyModel | None, list[Finding]]:
    if spec is None:
        return None, [Finding("spec is required", "write spec: {...}", code="missing-field")]
    beside = [*not_applied(kind.name, spec, found), *(_empty_values(spec) if found.gaps else ())]
    try:
        return kind.model.model_validate(spec), beside
    except ValidationError as error:
        wrong = list(findings(error, kind.model))
        refused = {finding.at for finding in wrong}
        return None, wrong + [finding for finding in beside if finding.at not in refused]


def _empty_values(value: object, path: Path = ()) -> Iterator[Finding]:
    """A key with nothing after it is taken as left out, as proto-JSON's null is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if item is None:
            fix = "give it a value, or remove it"
            yield Finding(
                "has nothing after it and is taken as left out", fix, (*path, key), "empty-value", Severity.WARNING
            )
        elif isinstance(item, dict | list):
            yield from _empty_values(item, (*path, key))


def _problems(raw: RawDocument, default_namespace: str, found: Iterable[Finding]) -> tuple[Problem, ...]:
    kind, namespace, name = identify(raw, default_namespace) or ("", "", "")
    placed = sorted(((raw.positions.at(finding.at), finding) for finding in found), key=lambda pair: pair[0])
    return tuple(
        Problem(
            file=raw.file,
            line=line,
            column=column,
            kind=kind,
            namespace=namespace,
            name=name,
            field=dotted(finding.at),
            severity=finding.severity,
            code=finding.code,
            message=_clipped(finding.message),
            fix=_clipped(finding.fix),
        )
        for (line, column), finding in placed
    )


def _clipped(text: str) -> str:
    """What is wrong may be quoted in it, of any length: a certificate where a host belongs."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


def dotted(path: Path) -> str:
    """A path as people write it: `spec.http[0].timeout`; a key with a dot in it stands in quotes."""
    text = "".join(_step(part) for part in path)
    return text.removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f'["{part}"]' if "." in part else f".{part}"
