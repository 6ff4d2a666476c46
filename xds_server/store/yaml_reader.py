"""One file's text -> its YAML documents as plain values with positions, and a problem for each that cannot be read.

A file is cut into documents at its `---` lines first (YAML allows no `---` at the start of a line inside a document,
and Kubernetes cuts there too), so that a broken document costs itself only and an unchanged one is not read again.
It knows nothing of policies.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from xds_server.policy.document import RawDocument
from xds_server.problem import Problem, Severity
from xds_server.store.file_limits import MAX_DOCUMENTS, excess
from xds_server.store.yaml_builder import Refused, build

_BOUNDARY = re.compile(r"^(?:%[^\n]*\n){0,3}(?:---|\.\.\.)(?=[ \t\n]|\Z)", re.MULTILINE)
"""With its directives, of which YAML knows two; of any number, each would be searched again from the next."""
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BYTE_ORDER_MARK = "\ufeff"
_HINTS = (
    ("nesting depth", "flatten the document"),
    ("mapping values are not allowed", "quote a value that holds ': ', or check the indentation"),
    ("could not find expected ':'", "put ': ' behind the key, or check the indentation"),
    ("block end", "check the indentation: it must line up with the entries above"),
    ("unexpected end of stream", "close the quote or bracket that is still open"),
    ("expected node content", "close the bracket that is still open, or write the value that is missing"),
    ("',' or", "close the bracket that is still open"),
    ("cannot start any token", "quote the value"),
    ("unknown escape", "use single quotes where backslashes are meant"),
)


@dataclass(frozen=True, slots=True)
class Source:
    r"""The text of one document.

    Attributes:
        line: 1-based line of the file at which the text starts.
        text: with `\n` line ends only.
    """

    line: int
    text: str


def read_documents(text: str | bytes, file: str) -> tuple[list[RawDocument], tuple[Problem, ...]]:
    """Every readable document of one file, in order, and one problem for each that is not; empty ones are left out."""
    decoded = decode(text, file)
    if isinstance(decoded, Problem):
        return [], (decoded,)
    found = [read_document(source, file) for source in split_documents(decoded)]
    documents = [one for one in found if isinstance(one, RawDocument)]
    return documents, tuple(one for one in found if isinstance(one, Problem))


def decode(content: str | bytes, file: str) -> str | Problem:
    r"""The text of a file with `\n` line ends and without a byte order mark."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    if message := excess(data):
        return _problem(file, (0, 0), "file-too-large", message=message, fix="split it")
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return _problem(file, (1, 1), "yaml-encoding", message="the file is UTF-16", fix="save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _end_of(data[: error.start].decode("utf-8"))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return _problem(file, place, "yaml-encoding", message=message, fix="save the file as UTF-8")
    text = text.removeprefix(_BYTE_ORDER_MARK)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def split_documents(text: str) -> list[Source]:
    """The documents of one file, cut at its `---` and `...` lines; some may turn out to be empty.

    Text that is too much for `decode` is cut into as many as are allowed.
    """
    boundaries = itertools.islice(_BOUNDARY.finditer(text), MAX_DOCUMENTS)
    starts = [0, *(found.start() for found in boundaries if found.start()), len(text)]
    sources = []
    line = 1
    for start, end in itertools.pairwise(starts):
        piece = text[start:end]
        sources.append(Source(line, piece))
        line += piece.count("\n")
    return sources


def read_document(source: Source, file: str) -> RawDocument | Problem | None:
    """The value and positions of one document; None when it holds nothing but comments."""
    text = "   " + source.text[3:] if source.text.startswith("...") else source.text
    if not text or text.isspace():
        return None
    try:
        value, positions = build(text, source.line)
    except Refused as refused:
        return _problem(file, (refused.line, refused.column), refused.code, message=str(refused), fix=refused.fix)
    except MarkedYAMLError as error:
        return _syntax_problem(error, source, file)
    except ReaderError:
        return _character_problem(source, file)
    return None if value is None else RawDocument(file, value, positions)


def _problem(file: str, place: tuple[int, int], code: str, *, message: str, fix: str) -> Problem:
    return Problem(file, *place, "", "", "", "", Severity.ERROR, code, message, fix)


def _end_of(text: str) -> tuple[int, int]:
    """(line, column), both 1-based, of the character that follows `text`."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _syntax_problem(error: MarkedYAMLError, source: Source, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    said = error.problem or error.context or "cannot be read"
    place = source.line + line, column + 1
    if _character_at(source.text, line, column) == "\t":
        message, fix = "not YAML: a tab where only spaces may stand", "indent with spaces"
    else:
        message = f"not YAML: {said}" + _since(error, source, line)
        fix = next((hint for sign, hint in _HINTS if sign in said), "check quotes, brackets and indentation above it")
    return _problem(file, place, "yaml-syntax", message=message, fix=fix)


def _character_at(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line + 1)
    return lines[line][column : column + 1] if line < len(lines) else ""


def _since(error: MarkedYAMLError, source: Source, line: int) -> str:
    """Where the construct that went wrong began, when that is another line."""
    mark = error.context_mark
    return f", {error.context} that starts on line {source.line + mark.line}" if mark and mark.line != line else ""


def _character_problem(source: Source, file: str) -> Problem:
    found = _UNPRINTABLE.search(source.text)
    line, column = _end_of(source.text[: found.start()]) if found else (1, 1)
    what = f"U+{ord(found.group()):04X}" if found else "a control character"
    fix = "delete it, or escape it in double quotes"
    place = source.line + line - 1, column
    return _problem(file, place, "yaml-character", message=f"{what} is no character of YAML", fix=fix)
