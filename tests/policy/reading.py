"""Short ways from YAML to what the policy layer says of it."""

from __future__ import annotations

import textwrap

from xds_server.policy.document import Document, RawDocument, parse_document
from xds_server.policy.kinds import KINDS
from xds_server.problem import Problem, Severity
from xds_server.store.yaml_reader import read_documents


def raw(text: str) -> RawDocument:
    """The one document of a YAML text, indented as the test is."""
    found, problems = read_documents(textwrap.dedent(text).lstrip("\n"), "test.yaml")
    assert not problems, problems
    assert len(found) == 1
    return found[0]


def parse(text: str) -> tuple[Document | None, tuple[Problem, ...]]:
    """What is made of the one document of a YAML text in the namespace "default"."""
    return parse_document(raw(text), "default")


def of_kind(kind: str, spec: str) -> tuple[Document | None, tuple[Problem, ...]]:
    """What is made of a document of one kind whose spec is this YAML."""
    body = textwrap.indent(textwrap.dedent(spec).strip("\n"), "  ")
    group = next(group for group, name in KINDS if name == kind)
    return parse(f"apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: test}}\nspec:\n{body}\n")


def errors(kind: str, spec: str) -> list[tuple[str, str]]:
    """(field, message) of each error in a spec; the fields without their leading "spec."."""
    document, problems = of_kind(kind, spec)
    found = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert (document is None) == bool(found)
    return [(problem.field.removeprefix("spec."), problem.message) for problem in found]
