"""Istio's own documents: those it calls valid are taken, those it calls invalid are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xds_server.policy.document import RawDocument, parse_document
from xds_server.policy.kinds import KINDS
from xds_server.problem import Severity
from xds_server.store.yaml_reader import read_documents

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
EXPECTED = "_err"
"""The key under which Istio's documents say why they are invalid; it is no part of the policy."""
SERVED = {kind for _, kind in KINDS}

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="Istio's reference documents are not here")


def documents() -> Iterator[tuple[str, RawDocument]]:
    for folder in ("config", "crds", "samples"):
        for path in sorted((REFERENCE / folder).rglob("*.yaml")):
            for raw in read_documents(path.read_bytes(), path.name)[0]:
                if isinstance(raw.value, dict) and raw.value.get("kind") in SERVED:
                    yield f"{path.name}:{raw.positions.line}", raw


def names(*, valid: bool) -> list[object]:
    found = [(name, raw) for name, raw in documents() if (EXPECTED not in _value(raw)) == valid]
    return [pytest.param(raw, id=name) for name, raw in found]


def _value(raw: RawDocument) -> dict[str, object]:
    assert isinstance(raw.value, dict)
    return raw.value


@pytest.mark.parametrize("raw", names(valid=True))
def test_what_istio_takes_is_taken(raw: RawDocument) -> None:
    document, problems = parse_document(raw, "default")

    assert document is not None, [str(problem) for problem in problems]


@pytest.mark.parametrize("raw", names(valid=False))
def test_what_istio_refuses_is_refused(raw: RawDocument) -> None:
    policy = {key: value for key, value in _value(raw).items() if key != EXPECTED}

    document, problems = parse_document(RawDocument(raw.file, policy, raw.positions), "default")

    assert document is None
    assert Severity.ERROR in {problem.severity for problem in problems}


def test_unknown_kinds_of_istios_documents_are_never_silent() -> None:
    for folder in ("config", "samples"):
        for path in sorted((REFERENCE / folder).rglob("*.yaml")):
            for raw in read_documents(path.read_bytes(), path.name)[0]:
                document, problems = parse_document(raw, "default")

                assert document is not None or problems, path
