"""What every policy model has in common."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from xds_server.policy.destination_rule import ClientTLSMode, DestinationRuleSpec, OutlierDetection, SimpleLB
from xds_server.policy.model import Finding, istio_name
from xds_server.policy.virtual_service import HTTPRetry


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("host", "host"),
        ("from_", "from"),
        ("consecutive_5xx_errors", "consecutive5xxErrors"),
        ("http1_max_pending_requests", "http1MaxPendingRequests"),
        ("http2_keep_alive", "http2KeepAlive"),
    ],
)
def test_fields_are_spelled_as_proto_json_does(name: str, spelled: str) -> None:
    assert istio_name(name) == spelled


@pytest.mark.parametrize("key", ["consecutive5xxErrors", "consecutive_5xx_errors"])
def test_both_spellings_of_proto_are_read(key: str) -> None:
    assert OutlierDetection.model_validate({key: 3}).consecutive_5xx_errors == 3


def test_models_are_frozen() -> None:
    retry = HTTPRetry(attempts=2)

    with pytest.raises(ValidationError):
        retry.attempts = 3  # type: ignore[misc]  # what the test is about


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        DestinationRuleSpec.model_validate({"host": "a", "hosts": ["a"]})


def test_enums_are_read_by_proto_number_too() -> None:
    assert TypeAdapter(SimpleLB).validate_python(5) is SimpleLB.LEAST_REQUEST
    assert TypeAdapter(ClientTLSMode).validate_python(0) is ClientTLSMode.DISABLE


@pytest.mark.parametrize("value", [6, -1, True, "least_request"])
def test_enums_know_nothing_else(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SimpleLB).validate_python(value)


def test_a_finding_can_be_seen_from_above() -> None:
    assert Finding("wrong", at=("b",)).below(("a", 0)).at == ("a", 0, "b")
