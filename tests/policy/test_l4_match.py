"""What tls and tcp rules match."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from xds_server.policy.l4_match import L4MatchAttributes, TLSMatchAttributes


def test_a_connection_is_matched_by_where_it_goes() -> None:
    match = L4MatchAttributes.model_validate({"destinationSubnets": ["10.0.0.0/8"], "port": 443})

    assert (match.destination_subnets, match.port) == (("10.0.0.0/8",), 443)


@pytest.mark.parametrize("wrong", [{"destinationSubnets": ["a"]}, {"port": 0}, {"sourceNamespace": "a.b"}])
def test_places_must_be_real(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        L4MatchAttributes.model_validate(wrong)


def test_a_tls_match_names_its_servers() -> None:
    with pytest.raises(ValidationError):
        TLSMatchAttributes.model_validate({"port": 443})
