"""The events of one YAML document -> its value, with the line and column of every key and value.

Refuses while it reads, before anything is built: duplicate keys, unknown tags, keys that are no text, and whatever
passes a limit (of all values together there are no more than `file_limits.py` lets pass). Anchors, aliases and `<<`
merges work; what an alias stands for is shared, never copied, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from yaml._yaml import CParser
from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, StreamEndEvent
from yaml.scanner import ScannerError

from xds_server.policy.document import Positions
from xds_server.store.yaml_scalar import plain_scalar

MAX_DEPTH = 64
MAX_KEYS = 5_000
"""In one mapping."""
MAX_ITEMS = 10_000
"""In one list."""
MAX_REPEATED = 20_000
"""Values that the aliases of one document stand for, all together."""

_Event = Any
"""One of yaml.events; the stubs give their base class none of the attributes that we read."""
_Built = tuple[object, Positions]
_Children = dict[str | int, Positions]

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = ("!", f"{_TAG}str")
_COLLECTION_TAGS = (None, "!", f"{_TAG}map", f"{_TAG}seq")
_SCALAR_TYPES: dict[str, tuple[type, ...]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (float, int),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}

_UNEXPECTED_COLON = "found unexpected ':'"
_COLON_OF_A_SCALAR = re.compile(r"""(?<=[^\s"'\[\]{},]):(?=[,?\[\]{}])""")
"""Behind a quote it is the one of JSON: `{"a":[1]}`."""
_PRIVATE_USE = range(0xE000, 0xF900)


class Refused(Exception):
    """The document asks for something that is not built; ends the reading of this document.

    Attributes:
        line, column: 1-based, in the file.
        code, fix: as in Problem; the message is the exception's text.
    """

    def __init__(self, line: int, column: int, *, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.code = code
        self.fix = fix


def build(text: str, line: int) -> tuple[object, Positions]:
    """The value of the one document in `text`, which starts at `line` of its file; None when it is empty.

    Raises:
        Refused: for what we do not build.
        yaml.error.MarkedYAMLError, yaml.reader.ReaderError: for what is not YAML; their marks count from `text`.
    """
    try:
        return _Builder(CParser(text).get_event, line).document()
    except ScannerError as error:
        if error.problem != _UNEXPECTED_COLON:
            raise
    return _Builder(_keeping_colons(text), line).document()


def _keeping_colons(text: str) -> Callable[[], _Event]:
    """The events of a text that libyaml refuses for a `:` before a bracket, as in `[2001:db8::]`.

    To Go's loader, and so to Istio, it is part of the plain scalar that it ends. So that all places stay right, another
    character stands in for it while libyaml reads.
    """
    used = set(text)
    stand_in = next(char for char in map(chr, _PRIVATE_USE) if char not in used)
    next_event: Callable[[], _Event] = CParser(_COLON_OF_A_SCALAR.sub(stand_in, text)).get_event

    def restored() -> _Event:
        event = next_event()
        if type(event) is ScalarEvent:
            event.value = event.value.replace(stand_in, ":")
        return event

    return restored


class _Builder:
    """Pulls events from the C parser; every limit is checked before the value is kept."""

    def __init__(self, next_event: Callable[[], _Event], line: int) -> None:
        self._next = next_event
        self._line = line
        self._anchors: dict[str, tuple[_Built, int]] = {}
        self._values = 0
        self._repeated = 0

    def document(self) -> _Built:
        self._next()  # the start of the stream
        if type(self._next()) is StreamEndEvent:
            return None, Positions(self._line, 1)
        top = self._next()
        built = self._node(top, 0, top)
        self._next()  # the end of the document
        after = self._next()
        if type(after) is not StreamEndEvent:
            message = "a second document starts here"
            raise self._refusal(after, "yaml-syntax", message, "put `---` on a line of its own before it")
        return built

    def _node(self, event: _Event, depth: int, at: _Event) -> _Built:
        """The value that starts with `event`; `at` is the event whose place counts: its key's, or itself."""
        kind = type(event)
        if kind is AliasEvent:
            return self._alias(event, at)
        self._values += 1
        if event.anchor is not None:
            return self._anchored(event, depth, at)
        return self._scalar(event, at) if kind is ScalarEvent else self._collection(event, depth, at)

    def _anchored(self, event: _Event, depth: int, at: _Event) -> _Built:
        """Known by its anchor only when complete, so that no value can hold itself."""
        before = self._values + self._repeated
        built = self._scalar(event, at) if type(event) is ScalarEvent else self._collection(event, depth, at)
        self._anchors[event.anchor] = built, self._values + self._repeated - before + 1
        return built

    def _alias(self, event: _Event, at: _Event) -> _Built:
        if event.anchor not in self._anchors:
            message = f"alias *{event.anchor} names an anchor that is not complete before it"
            raise self._refusal(
                event, "yaml-alias", message, f"write &{event.anchor} further up, outside of this value"
            )
        (value, positions), size = self._anchors[event.anchor]
        self._repeated += size
        if self._repeated > MAX_REPEATED:
            message = f"the aliases stand for more than {MAX_REPEATED} values"
            raise self._refusal(event, "yaml-bomb", message, "write the values out, or split the document")
        return value, self._position(at, positions.children)

    def _scalar(self, event: _Event, at: _Event) -> _Built:
        mark = at.start_mark
        return self._scalar_value(event), Positions(self._line + mark.line, mark.column + 1)

    def _scalar_value(self, event: _Event) -> object:
        tag = event.tag
        if tag is not None:
            return self._tagged(event, tag)
        return plain_scalar(event.value) if event.implicit[0] else event.value

    def _tagged(self, event: _Event, tag: str) -> object:
        if tag in _TEXT_TAGS:
            return event.value
        if tag not in _SCALAR_TYPES:
            raise self._unknown_tag(event)
        value = plain_scalar(event.value)
        if type(value) not in _SCALAR_TYPES[tag]:
            message = f"{event.value!r} is no {tag.removeprefix(_TAG)}"
            raise self._refusal(event, "yaml-tag", message, "leave the tag out")
        return value

    def _collection(self, event: _Event, depth: int, at: _Event) -> _Built:
        if depth >= MAX_DEPTH:
            raise self._refusal(event, "yaml-too-deep", f"more than {MAX_DEPTH} levels", "flatten the document")
        if event.tag not in _COLLECTION_TAGS:
            raise self._unknown_tag(event)
        values, children = self._mapping(depth) if type(event) is MappingStartEvent else self._sequence(depth)
        return values, self._position(at, children)

    def _sequence(self, depth: int) -> tuple[object, _Children]:
        values: list[object] = []
        children: _Children = {}
        while type(item := self._next()) is not SequenceEndEvent:
            if len(values) >= MAX_ITEMS:
                raise self._refusal(item, "yaml-too-large", f"a list holds more than {MAX_ITEMS} items", "split it")
            value, children[len(values)] = self._node(item, depth + 1, item)
            values.append(value)
        return values, children

    def _mapping(self, depth: int) -> tuple[object, _Children]:
        values: dict[str, object] = {}
        children: _Children = {}
        merged: list[_Built] = []
        next_event = self._next
        while type(key := next_event()) is not MappingEndEvent:
            if type(key) is ScalarEvent and key.value == "<<" and _is_merge(key):
                merged += self._merged(next_event(), depth)
                continue
            name = self._key(key, children)
            values[name], children[name] = self._node(next_event(), depth + 1, key)
        for other, places in merged:
            _fill_in(values, children, other, places)
        return values, children

    def _key(self, event: _Event, children: _Children) -> str:
        """The text of a mapping key, which must be new in its mapping."""
        self._values += 1
        if type(event) is not ScalarEvent:
            raise self._refusal(event, "yaml-key", "a key that is no plain text", "write the key out as text")
        name = self._scalar_value(event)
        if type(name) is int:
            name = str(name)  # JSON knows no other keys: `8080:` is what PeerAuthentication's ports are written as
        if not isinstance(name, str):
            message = f"the key {event.value} means {name!r}, which is no text"
            raise self._refusal(event, "yaml-key", message, f'quote it: "{event.value}"')
        if name in children:
            here = self._position(event, {}).line
            message = f"key {name!r} is written twice in one mapping, on lines {children[name].line} and {here}"
            raise self._refusal(event, "duplicate-key", message, "keep one of them")
        if len(children) >= MAX_KEYS:
            raise self._refusal(event, "yaml-too-large", f"a mapping holds more than {MAX_KEYS} keys", "split it")
        return name

    def _merged(self, event: _Event, depth: int) -> list[_Built]:
        """The mappings that `<<` names, the strongest first."""
        value, positions = self._node(event, depth + 1, event)
        merged = [(value, positions)]
        if isinstance(value, list):
            merged = [(part, positions.children[index]) for index, part in enumerate(value)]
        if not all(isinstance(part, dict) for part, _ in merged):
            message = "`<<` takes a mapping or a list of mappings"
            raise self._refusal(event, "yaml-merge", message, "name an anchored mapping")
        return merged

    def _position(self, event: _Event, children: Mapping[str | int, Positions]) -> Positions:
        mark = event.start_mark
        return Positions(self._line + mark.line, mark.column + 1, children)

    def _unknown_tag(self, event: _Event) -> Refused:
        written = event.tag.replace(_TAG, "!!")
        return self._refusal(event, "yaml-tag", f"unknown tag {written}", "leave the tag out")

    def _refusal(self, event: _Event, code: str, message: str, fix: str) -> Refused:
        mark = event.start_mark
        return Refused(self._line + mark.line, mark.column + 1, code=code, message=message, fix=fix)


def _is_merge(key: _Event) -> bool:
    """Whether a key that reads `<<` is meant so."""
    return bool(key.implicit[0]) or key.tag == f"{_TAG}merge"


def _fill_in(values: dict[str, object], children: _Children, other: object, places: Positions) -> None:
    """Add to a mapping under construction what it does not say itself: its own keys win over merged ones."""
    if isinstance(other, dict):
        for name in other.keys() - values.keys():
            values[name] = other[name]
            children[name] = places.children[name]
