"""DestinationRules that ask for TLS, cannot be read and never could: what they would protect is not called at all.

Left out, such a rule would leave its service called in plaintext. So something stands in for it that asks for TLS with
a credential that nobody has, and calls are answered 503 until the document is mended. A rule with an earlier good form
needs none of this, for that form is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from pydantic import ValidationError

from xds_server.compiler.finding import Outcome, Place
from xds_server.memo import Memo
from xds_server.policy.destination_rule import (
    ClientTLSMode,
    ClientTLSSettings,
    DestinationRuleSpec,
    TrafficPolicy,
    TypedWorkloadSelector,
)
from xds_server.policy.document import BrokenDocument, Document, Positions
from xds_server.problem import Problem

KIND = "DestinationRule"
NOBODY_HAS = ".unreadable"
"""A credential that no secrets directory holds: hidden folders are none (identity/credential_files.py)."""
_FIRST = datetime.min.replace(tzinfo=UTC)


def stand_ins(broken: Iterable[BrokenDocument], memo: Memo) -> tuple[Document, ...]:
    """A document for each of those that must not simply be left out; the same object for the same one."""
    return tuple(found for one in broken if one.kind == KIND for found in memo(stand_in, one).value)


def stand_in(broken: BrokenDocument) -> Outcome[tuple[Document, ...]]:
    """What is in force instead, before any other rule for the host; nothing where it asks for no TLS, or no host."""
    spec = broken.spec if isinstance(broken.spec, Mapping) else {}
    if not _asks_for_tls(spec):
        return Outcome(())
    tls = ClientTLSSettings(mode=ClientTLSMode.SIMPLE, credential_name=NOBODY_HAS)
    try:
        found = DestinationRuleSpec(
            host=spec.get("host"),
            traffic_policy=TrafficPolicy(tls=tls),
            workload_selector=_selector(spec.get("workloadSelector")),
        )
    except ValidationError:
        return Outcome(())
    positions = Positions(broken.origin.line, 0)
    return Outcome(
        (Document("", KIND, broken.namespace, broken.name, found, broken.origin, positions, created=_FIRST),)
    )


def is_stand_in(document: Document) -> bool:
    """Whether it stands in for one that cannot be read."""
    return document.kind == KIND and document.created is _FIRST


def closed(document: Document) -> Problem:
    """What its author is told."""
    spec = cast("DestinationRuleSpec", document.spec)
    message = (
        "it asks for TLS, cannot be read and never could: until it can, calls of "
        f"{spec.host} are answered 503 rather than sent in plaintext"
    )
    return Place(document, ()).error("fails-closed", message, "mend the document, or delete it")


def _asks_for_tls(written: object) -> bool:
    """Whether there is a `tls` anywhere that does not say DISABLE."""
    return any(not (isinstance(tls, Mapping) and tls.get("mode") == ClientTLSMode.DISABLE) for tls in _tls(written))


def _tls(written: object) -> Iterator[object]:
    if isinstance(written, Mapping):
        for key, value in written.items():
            if key == "tls" and value is not None:
                yield value
            else:
                yield from _tls(value)
    elif isinstance(written, Sequence) and not isinstance(written, str):
        for item in written:
            yield from _tls(item)


def _selector(written: object) -> TypedWorkloadSelector | None:
    """None, which is everybody, where it cannot be made out."""
    try:
        return None if written is None else TypedWorkloadSelector.model_validate(written)
    except ValidationError:
        return None
