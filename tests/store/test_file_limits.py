"""What is too much for one file, and what of a large mesh still fits into one."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds_server.policy.service_entry import ServiceEntrySpec
from xds_server.store.directory import read_policies
from xds_server.store.file_limits import MAX_DOCUMENTS, MAX_FILE_BYTES, MAX_MARKS, excess


def service(name: str, endpoints: int) -> str:
    lines = (
        f"  - {{address: 10.0.{i // 250}.{i % 250}, ports: {{http: 8080}}, labels: {{app: a, version: v1}}, weight: 3,"
        f" serviceAccount: a}}\n"
        for i in range(endpoints)
    )
    return (
        f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n"
        f"  hosts: [{name}]\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  resolution: STATIC\n"
        f"  endpoints:\n{''.join(lines)}"
    )


def test_a_service_with_5000_endpoints_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("a", 5_000))
    (document,) = read_policies(tmp_path).policies.documents

    assert isinstance(document.spec, ServiceEntrySpec)
    assert len(document.spec.endpoints) == 5_000


def test_a_file_with_1000_documents_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("---\n".join(service(f"a{n}", 3) for n in range(1_000)))
    policies = read_policies(tmp_path).policies

    assert (len(policies.documents), policies.problems) == (1_000, ())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x" * (MAX_FILE_BYTES + 1), "bytes"),
        (b"---\na\n" * (MAX_DOCUMENTS + 1), "documents"),
        (b"...\r" * (MAX_DOCUMENTS + 1), "documents"),
        (b"[1" + b",1" * (MAX_MARKS + 1), "values"),
        (b"- " * (MAX_MARKS + 1), "values"),
        (b"a: \n" * (MAX_MARKS // 2 + 1), "values"),
        (b"? " * (MAX_MARKS + 1), "values"),
    ],
    ids=["bytes", "documents", "ends", "flow", "items", "lines", "questions"],
)
def test_too_much_is_told_without_parsing(data: bytes, said: str) -> None:
    assert said in (excess(data) or "")


@pytest.mark.parametrize(
    "data",
    [b"x" * MAX_FILE_BYTES, b"---\na\n" * MAX_DOCUMENTS, b"," * MAX_MARKS, b"one-word-and-more" * 20_000],
    ids=["bytes", "documents", "marks", "dashes"],
)
def test_as_much_as_is_allowed_may_be_read(data: bytes) -> None:
    assert excess(data) is None
