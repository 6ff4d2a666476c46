"""Whatever stands in a file, reading and compiling it gives policies and problems, and never an exception."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.policies import pool, route, service
from xds_server.pipeline import Pipeline
from xds_server.store.directory import read_policies

GOOD = (service("a", [9]) + route("a", "a") + pool("a", 7)).encode()
TOKENS = [
    b"\n", b"  ", b"- ", b": ", b"{", b"}", b"[", b"]", b"'", b'"', b"&a ", b"*a", b"<<: ", b"!!", b"|\n", b"---\n",
    b"#", b"\t", b"null", b"-1", b"1e999", b"0x7f", b"~", b"\xff", b"\x00", b"\xe2\x80\xa8", b"hosts", b"http", b"? ",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Good policies with some places replaced, repeated or cut."""
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 12))] = draw(st.sampled_from(TOKENS) | st.binary(max_size=6))
    return bytes(data)


@given(damaged() | st.binary(max_size=300))
def test_any_file_gives_policies_and_problems(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "good.yaml").write_bytes(service("good", [9]).encode())
        (Path(directory) / "fuzz.yaml").write_bytes(content)
        reading = read_policies(Path(directory))
    generation = Pipeline().compile(reading.policies)

    assert any(document.name == "good" for document in generation.policies.documents)


@pytest.mark.parametrize("unit", [*TOKENS, b"%a\n", b"...\n", b"kind: x, ", b"a: b,", b"\xff\n---\n"])
@pytest.mark.parametrize("head", [b"", b"a: [", GOOD], ids=["alone", "open", "good"])
def test_any_token_a_million_times_over_is_told_in_few_words(head: bytes, unit: bytes, tmp_path: Path) -> None:
    """Each is there to end at all: searching from every place to the end would take hours."""
    (tmp_path / "fuzz.yaml").write_bytes((head + unit * 1_000_000)[: 3 << 20])

    assert len(read_policies(tmp_path).policies.problems) <= 3
