"""Small policy documents for the tests of stores, and what a reading says of them."""

from __future__ import annotations

from pathlib import Path

from xds_server.store.directory import Reading

BROKEN = "metadata: [\n"
"""No YAML."""


def virtual_service(name: str, *, mark: str = "1", namespace: str = "default", created: str = "2024-01-01") -> str:
    """One valid document; `mark` is how a test tells one edit of it from another."""
    return (
        "apiVersion: networking.istio.io/v1\n"
        "kind: VirtualService\n"
        "metadata:\n"
        f"  name: {name}\n"
        f"  namespace: {namespace}\n"
        f'  creationTimestamp: "{created}T00:00:00Z"\n'
        f'  labels: {{mark: "{mark}"}}\n'
        "spec:\n"
        f"  hosts: [{name}.example.com]\n"
        "  http:\n"
        "  - route:\n"
        f"    - destination: {{host: {name}.example.com}}\n"
    )


def invalid(name: str) -> str:
    """One document that says what it is called and is not valid."""
    return virtual_service(name).replace("  http:", "  htp:")


def documents(*names: str, mark: str = "1") -> str:
    """The text of one file with a document of each name."""
    return "---\n".join(virtual_service(name, mark=mark) for name in names)


def write(root: Path, **texts: str) -> None:
    """Write `<key>.yaml` below root, in place."""
    for name, text in texts.items():
        (root / f"{name}.yaml").write_text(text)


def names(reading: Reading) -> list[str]:
    """Names of the documents in force, in order."""
    return [document.name for document in reading.policies.documents]


def marks(reading: Reading) -> dict[str, str]:
    """The mark of each document in force, by its name."""
    return {document.name: document.labels["mark"] for document in reading.policies.documents}


def codes(reading: Reading) -> list[str]:
    """Codes of the problems, in order."""
    return [problem.code for problem in reading.policies.problems]
