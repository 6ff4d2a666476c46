"""The generated code is what `protos/` says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted((ROOT / "protos").rglob("*.proto"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make protos` would write."""
    out = tmp_path_factory.mktemp("protos")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT / 'protos'}"]
    subprocess.run([*command, f"--python_out={out}", f"--pyi_out={out}", *map(str, SOURCES)], check=True)
    return out


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
@pytest.mark.parametrize("ending", ["py", "pyi"])
def test_committed_code_is_what_the_compiler_makes_of_the_sources(source: Path, ending: str, compiled: Path) -> None:
    relative = source.relative_to(ROOT / "protos").with_name(f"{source.stem}_pb2.{ending}")

    assert (ROOT / relative).read_text() == (compiled / relative).read_text(), "run: make protos"
