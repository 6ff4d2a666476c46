"""The names are gRPC's."""

from __future__ import annotations

import grpc

from xds_server.telemetry.grpc_status import NAMES, name


def test_names_are_those_of_the_library_in_its_order() -> None:
    assert {each.value[0]: each.name for each in grpc.StatusCode} == dict(enumerate(NAMES))


def test_what_is_no_code_stands_for_itself() -> None:
    assert [name(code) for code in ("14", "99", "x", "")] == ["UNAVAILABLE", "99", "x", ""]
