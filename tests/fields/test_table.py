"""Which fields a kind has, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xds_server.fields.table import TABLED, counts, every_field, places
from xds_server.policy.model import istio_name
from xds_server.policy.pattern import EACH
from xds_server.store.yaml_reader import read_documents

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


def test_the_fields_of_a_model_are_listed_where_it_stands_first() -> None:
    found = {place.path: place for place in places("DestinationRule")}

    assert found["trafficPolicy.loadBalancer.simple"].first == ""
    assert found["subsets[].trafficPolicy"].first == "trafficPolicy"
    assert "subsets[].trafficPolicy.loadBalancer" not in found


def test_every_place_of_a_field_counts() -> None:
    paths = [path for path, _ in every_field("DestinationRule")]

    assert len(paths) == len(set(paths)) == sum(counts("DestinationRule").values())
    assert "subsets[].trafficPolicy.portLevelSettings[].loadBalancer.warmup.duration" in paths


def test_a_default_comes_from_the_row_or_from_the_model() -> None:
    found = {place.path: place.default for place in places("VirtualService")}

    assert found["http[].redirect.redirectCode"] == "301"
    assert found["http[].match[].ignoreUriCase"] == "false"
    assert found["http[].directResponse.status"] == "required"
    assert found["http[].name"] == ""


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="Istio's reference documents are not here")
@pytest.mark.parametrize("kind", TABLED)
def test_every_field_that_istios_own_documents_use_is_listed(kind: str) -> None:
    known = {path for path, _ in every_field(kind)}
    used = {path for spec in specs(kind) for path in written(spec, "")}

    assert {path for path in used - known if is_block(path.rpartition(".")[0], known)} == set()


def specs(kind: str) -> Iterator[object]:
    """The specs of Istio's valid documents of one kind."""
    for path in sorted(REFERENCE.rglob("*.yaml")):
        for raw in read_documents(path.read_bytes(), path.name)[0] if "invalid" not in path.name else ():
            if isinstance(raw.value, dict) and raw.value.get("kind") == kind:
                yield raw.value.get("spec")


def written(value: object, above: str) -> Iterator[str]:
    """The path of each key at any depth, in Istio's spelling."""
    if isinstance(value, list):
        for item in value:
            yield from written(item, f"{above}{EACH}")
    elif isinstance(value, dict):
        for key, item in value.items():
            path = f"{above}.{istio_name(str(key))}".removeprefix(".")
            yield path
            yield from written(item, path)


def is_block(path: str, known: set[str]) -> bool:
    """Whether the keys there are fields, and not those of a mapping."""
    return any(each.startswith(f"{path}.") for each in known) or not path
