"""What pydantic found, said in the words of the document's author.

The only module that reads pydantic's errors; not one of its sentences leaves here.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from xds_server.policy.model import REFUSED, Finding, Path, PolicyModel, quote

MOST_TOLD = 100
"""Mistakes of one document: whoever makes more of them is helped by the first ones, and the rest takes long to word."""
_REMEMBERED = 256
"""Wrong names whose wording is."""
_KEY = "[key]"  # pydantic's last part of a place that is a mapping's key, not its value
_SHAPES = {
    "StringMatch": "write {exact: ...}, {prefix: ...} or {regex: ...}",
    "Percent": "write {value: ...}",
    "PortSelector": "write {number: ...}",
    "Destination": "write {host: ...}",
    **dict.fromkeys(("ServerPort", "ServicePort", "SidecarPort"), "write {number: ..., name: ..., protocol: ...}"),
}


def findings(error: ValidationError, model: type[PolicyModel]) -> Iterator[Finding]:
    """The mistakes in the document, each with its place in Istio's spelling, below the value that was validated."""
    every = [details for details in error.errors(include_url=False) if not _lacks_wrong_items_only(details)]
    for details in every[:MOST_TOLD]:
        path = istio_path(model, details["loc"])
        yield from (finding.below(path) for finding in _said(details, model))
    if more := len(every[MOST_TOLD:]):
        yield Finding(f"{more} more mistakes in it are not listed", "correct the others first", code="more-mistakes")


def _lacks_wrong_items_only(details: ErrorDetails) -> bool:
    """Whether a list is short of items because some are wrong, and each of these is told."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def istio_path(model: type[PolicyModel], path: Path) -> Path:
    """The path with each field in Istio's spelling, however the author wrote it."""
    spelled: list[str | int] = []
    for part, annotation in zip(path, _annotations(model, path), strict=False):
        field = _field(annotation, part)
        spelled.append(str(field.alias) if field else part)
    return tuple(part for part in spelled if part != _KEY)


def _said(details: ErrorDetails, model: type[PolicyModel]) -> Iterable[Finding]:
    if details["type"] == REFUSED:
        found: tuple[Finding, ...] = details["ctx"]["findings"]
        return found
    if details["type"] == "extra_forbidden":
        return [_unknown_field(details["loc"], model)]
    if details["loc"][-1:] == (_KEY,) or details["type"] == "invalid_key":
        key = next(part for part in reversed(details["loc"]) if part != _KEY)
        return [Finding("a key must be text", quote(key))]
    if details["input"] is None and details["type"] != "missing":
        return [Finding("has nothing after it", "give it a value, or remove it", code="empty-value")]
    annotation = _annotation(model, details["loc"])
    if _is_secret(annotation):
        return [Finding("must be text", "write it in quotes")]
    say = None if _holds_secret(annotation) else _WORDING.get(details["type"])
    return [say(details["input"], details.get("ctx", {})) if say else Finding("is not a value that fits here")]


def _annotation(model: type[PolicyModel], path: Path) -> object:
    """What is declared at a place."""
    here: object = model
    for part in path:
        here = _below(here, part)
    return here


def _holds_secret(annotation: object) -> bool:
    """Whether a secret belongs below it, so that what stands there in another shape may be one."""
    holder = _model(annotation)
    return holder is not None and any(_is_secret(field.annotation) for field in holder.model_fields.values())


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def _unknown_field(path: Path, model: type[PolicyModel]) -> Finding:
    return _no_such_field(str(path[-1]), _model(list(_annotations(model, path))[-1]) or model, model)


@lru_cache(_REMEMBERED)
def _no_such_field(name: str, holder: type[PolicyModel], model: type[PolicyModel]) -> Finding:
    """Remembered, for who writes a wrong name once writes it in every item of a list."""
    known = _names(holder)
    near = difflib.get_close_matches(name, known, n=1)
    if (elsewhere := _first_places(model).get(name)) is not None:
        fix = f"it belongs at spec.{elsewhere.removesuffix('[]')}"
    elif near:
        fix = f"did you mean {near[0]}?"
    else:
        fix = f"known here: {', '.join(known)}"
    return Finding(f"there is no field {name} here", fix, code="unknown-field")


def _names(model: type[PolicyModel]) -> list[str]:
    return [str(field.alias) for field in model.model_fields.values()]


@cache
def _first_places(model: type[PolicyModel]) -> dict[str, str]:
    """The shallowest place below a model of each name of a field."""
    return {place.rpartition(".")[2].removesuffix("[]"): place for place in reversed([*_places(model)])}


def _places(model: type[PolicyModel], above: str = "") -> Iterator[str]:
    """Every field below a model as a pattern, the shallow ones first."""
    below: list[tuple[type[PolicyModel], str]] = []
    for field in model.model_fields.values():
        place = f"{above}{field.alias}{'[]' if _is_list(field.annotation) else ''}"
        yield place
        if (inner := _model(field.annotation)) is not None:
            below.append((inner, f"{place}."))
    for inner, place in below:
        yield from _places(inner, place)


def _is_list(annotation: object) -> bool:
    return get_origin(annotation) is tuple or any(_is_list(part) for part in get_args(annotation))


def _annotations(model: type[PolicyModel], path: Path) -> Iterator[object]:
    """What is declared for the mapping or list that each part of a path is a key of."""
    here: object = model
    for part in path:
        yield here
        here = _below(here, part)


def _below(annotation: object, part: str | int) -> object:
    if (field := _field(annotation, part)) is not None:
        return field.annotation
    if get_origin(annotation) in {tuple, dict}:
        return [inner for inner in get_args(annotation) if inner is not Ellipsis][-1]
    return next((_below(inner, part) for inner in get_args(annotation)), None)


def _field(annotation: object, part: str | int) -> Any:
    model = annotation if isinstance(annotation, type) and issubclass(annotation, PolicyModel) else None
    if model is None:
        options = get_args(annotation) if get_origin(annotation) not in {tuple, dict} else ()
        return next((found for inner in options if (found := _field(inner, part)) is not None), None)
    return next((field for name, field in model.model_fields.items() if part in {name, field.alias}), None)


def _model(annotation: object) -> type[PolicyModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, PolicyModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part)) is not None), None)


def _shown(value: object) -> str:
    """A plain value as the author sees it in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _found(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return _shown(value)
    return f"the number {value}" if isinstance(value, int | float) else f'"{value}"'


Context = Mapping[str, Any]


def _missing(_: object, __: Context) -> Finding:
    return Finding("is required", code="missing-field")


def _text(value: object, _: Context) -> Finding:
    if isinstance(value, Mapping | list):
        return Finding(f"must be text, not {_found(value)}")
    return Finding(f"must be text, not {_found(value)}", quote(value))


def _number(value: object, _: Context) -> Finding:
    plain = isinstance(value, str) and re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", value)
    return Finding(f"must be a number, not {_found(value)}", f"write {value} without quotes" if plain else "")


def _whole_number(value: object, context: Context) -> Finding:
    if isinstance(value, float):
        return Finding(f"must be a whole number, not {value}", f"write {value:.0f}" if math.isfinite(value) else "")
    return _number(value, context)


def _boolean(value: object, _: Context) -> Finding:
    quoted = isinstance(value, str) and value.lower() in {"true", "false"}
    return Finding(f"must be true or false, not {_found(value)}", f"write {value} without quotes" if quoted else "")


def _mapping(value: object, context: Context) -> Finding:
    fix = _SHAPES.get(context.get("class_name", ""), "")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        fix = "remove the dash in front of it"
    elif isinstance(value, list) and "class_name" not in context:
        fix = "write {key: value}, as many pairs as there are"
    return Finding(f"must be a mapping of fields, not {_found(value)}", fix)


def _list(value: object, _: Context) -> Finding:
    fix = "put a dash in front of each entry" if isinstance(value, Mapping) else f"write [{_shown(value)}]"
    return Finding(f"must be a list, not {_found(value)}", fix)


def _empty(_: object, __: Context) -> Finding:
    return Finding("must not be empty")


def _choice(value: object, context: Context) -> Finding:
    words = re.findall(r"'([^']*)'", context["expected"])
    near = difflib.get_close_matches(str(value).upper(), words, n=1)
    fix = f"write {near[0]}" if near else f"write one of {', '.join(words)}"
    return Finding(f"{_found(value)} is none of {', '.join(words)}", fix)


def _limit(word: str, key: str) -> Callable[[object, Context], Finding]:
    return lambda value, context: Finding(f"must be {word.format(context[key])}, not {value}")


_WORDING: dict[str, Callable[[object, Context], Finding]] = {
    "missing": _missing,
    "string_type": _text,
    "int_type": _whole_number,
    "int_from_float": _whole_number,
    "float_type": _number,
    "finite_number": _number,
    "bool_type": _boolean,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "dict_type": _mapping,
    "tuple_type": _list,
    "too_short": _empty,
    "string_too_short": _empty,
    "enum": _choice,
    "greater_than_equal": _limit("{} or more", "ge"),
    "less_than_equal": _limit("{} or less", "le"),
    "greater_than": _limit("more than {}", "gt"),
    "less_than": _limit("less than {}", "lt"),
}
"""By pydantic's error type; everything else has one sentence that is always true."""
