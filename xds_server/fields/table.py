"""Every field of a kind, in the order in which its models have them, with its row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from xds_server.fields.destination_rule import DESTINATION_RULE
from xds_server.fields.gateway import GATEWAY, SIDECAR
from xds_server.fields.mesh_config import MESH_CONFIG
from xds_server.fields.row import Row, Rows, State
from xds_server.fields.security import SECURITY
from xds_server.fields.services import SERVICES
from xds_server.fields.telemetry import PROVIDERS, TELEMETRY
from xds_server.fields.virtual_service import VIRTUAL_SERVICE
from xds_server.policy.kinds import KINDS
from xds_server.policy.model import PolicyEnum, PolicyModel

ROWS: Rows = {
    **VIRTUAL_SERVICE,
    **DESTINATION_RULE,
    **SERVICES,
    **GATEWAY,
    **SIDECAR,
    **MESH_CONFIG,
    **SECURITY,
    **TELEMETRY,
    **PROVIDERS,
}
"""Every model's rows."""
TABLED = (
    "VirtualService",
    "DestinationRule",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    "Sidecar",
    "Gateway",
    "PeerAuthentication",
    "Telemetry",
    "MeshConfig",
)
"""The kinds that have a table."""


@dataclass(frozen=True, slots=True)
class Place:
    """A field where a document of one kind has it.

    Attributes:
        path: `http[].retries.attempts`; `{}` stands for any key.
        default: what holds where it is left out.
        first: the path of the model that this is another place of, whose fields are listed there; "" when this is it.
    """

    path: str
    default: str
    row: Row
    first: str = ""


def places(kind: str) -> tuple[Place, ...]:
    """Every field of a kind; the fields of a model that stands in several places only at the first."""
    return tuple(_places(_model_of(kind), "", {}))


def row(model: type[PolicyModel], field: str) -> Row:
    """The row of a field, which its model or one that this derives from has.

    Raises:
        KeyError: there is none.
    """
    holder = next(each for each in model.__mro__ if field in ROWS.get(each, {}))
    return ROWS[holder][field]


def counts(kind: str) -> dict[State, int]:
    """How many fields of a kind are in each state, every place of a field counted, as in Istio's own schema."""
    found = dict.fromkeys(State, 0)
    for _, each in every_field(kind):
        found[each.state] += 1
    return found


def every_field(kind: str) -> Iterator[tuple[str, Row]]:
    """(path, row) of each field of a kind, at every place of its model."""
    yield from _every(_model_of(kind), "")


def models(kind: str) -> frozenset[type[PolicyModel]]:
    """Every model that a document of this kind can hold."""
    found: set[type[PolicyModel]] = set()
    waiting = [_model_of(kind)]
    while waiting:
        model = waiting.pop()
        if model not in found:
            found.add(model)
            waiting += [inner for field in model.model_fields.values() if (inner := inside(field.annotation)[0])]
    return frozenset(found)


def inside(annotation: object, around: str = "") -> tuple[type[PolicyModel] | None, str]:
    """The model that a field holds, None for a plain value, and how it holds it: "", `[]` or `{}`."""
    if isinstance(annotation, type) and issubclass(annotation, PolicyModel):
        return annotation, around
    origin, parts = get_origin(annotation), get_args(annotation)
    sign = "[]" if origin is tuple else "{}" if origin is dict else around
    found = (inside(part, sign) for part in (parts[1:] if origin is dict else parts))
    return next((each for each in found if each[0]), (None, sign))


def _model_of(kind: str) -> type[PolicyModel]:
    return next(each.model for each in KINDS.values() if each.name == kind)


def _places(model: type[PolicyModel], above: str, seen: dict[type[PolicyModel], str]) -> Iterator[Place]:
    for field in model.model_fields.values():
        path = f"{above}{field.alias}"
        found = row(model, str(field.alias))
        inner, sign = inside(field.annotation)
        first = seen.get(inner, "") if inner else ""
        yield Place(f"{path}{sign}", _default(field, found), found, first)
        if inner and not first and found.state is not State.REFUSED:
            seen[inner] = f"{path}{sign}"
            yield from _places(inner, f"{path}{sign}.", seen)


def _every(model: type[PolicyModel], above: str) -> Iterator[tuple[str, Row]]:
    for field in model.model_fields.values():
        path = f"{above}{field.alias}"
        yield path, row(model, str(field.alias))
        inner, sign = inside(field.annotation)
        if inner:
            yield from _every(inner, f"{path}{sign}.")


def _default(field: FieldInfo, found: Row) -> str:
    """What the row says, else what the model does."""
    if found.default or found.state is not State.APPLIED:
        return found.default
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default in (None, "", (), {}) or isinstance(default, PolicyModel) else _plain(default)


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return str(default.value) if isinstance(default, PolicyEnum) else str(default)
