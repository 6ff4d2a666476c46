"""How much a policy file may hold, told by its bytes alone: what is too much is refused before anybody parses it.

The limits leave room for a ServiceEntry with 5,000 endpoints and for a file with 1,000 documents. Knows no YAML beyond
the characters that set one value apart from the next.
"""

from __future__ import annotations

MAX_FILE_BYTES = 2 << 20
MAX_DOCUMENTS = 5_000
MAX_MARKS = 120_000
"""Of the characters between values. A value, key or collection costs one at least, so it bounds all of them."""

_MARKS = b",:\n\r[{?"
_ITEM = b"- "
_BOUNDARIES = (b"\n---", b"\n...", b"\r---", b"\r...")


def excess(data: bytes) -> str | None:
    """What the file holds too much of, as a sentence; None when it may be read."""
    if len(data) > MAX_FILE_BYTES:
        return f"the file holds more than the {MAX_FILE_BYTES} bytes allowed"
    if _documents(data) > MAX_DOCUMENTS:
        return f"the file holds more than {MAX_DOCUMENTS} documents"
    if len(data) > MAX_MARKS and _marks(data) > MAX_MARKS:
        return f"the file holds more than {MAX_MARKS} characters that set values apart"
    return None


def _documents(data: bytes) -> int:
    return 1 + sum(data.count(boundary) for boundary in _BOUNDARIES)


def _marks(data: bytes) -> int:
    return len(data) - len(data.translate(None, _MARKS)) + data.count(_ITEM)
