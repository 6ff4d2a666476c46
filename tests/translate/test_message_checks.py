"""A message's deprecated fields and oneofs are looked at, and nothing but the message is touched."""

from __future__ import annotations

import dataclasses
import warnings
from typing import get_type_hints

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.translate import message_checks
from xds_server.translate.message_checks import check_quickly

MESSAGES = [cluster_v3.Cluster, core_v3.ApiConfigSource, route_v3.HeaderMatcher, route_v3.Route, route_v3.RouteAction]

check_quickly()


def test_a_deprecated_field_that_is_set_warns() -> None:
    with pytest.warns(DeprecationWarning, match="track_timeout_budgets is deprecated"):
        cluster_v3.Cluster(track_timeout_budgets=True)


@pytest.mark.parametrize("message_class", MESSAGES)
def test_a_default_is_what_is_never_written_and_making_one_warns_of_nothing(
    message_class: type[betterproto2.Message],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = message_class()
        for field in dataclasses.fields(message):  # type: ignore[arg-type]  # generated dataclasses, whose base is none
            assert not message.is_set(field.name)
            assert not getattr(message, field.name)


def test_two_fields_of_one_oneof_are_refused() -> None:
    with pytest.raises(ValueError, match="Group address has more than one value; fields pipe, socket_address are not"):
        core_v3.Address(pipe=core_v3.Pipe(path="/a"), socket_address=core_v3.SocketAddress(address="10.0.0.1"))


def test_a_field_that_is_merely_optional_stands_beside_others() -> None:
    message = core_v3.Http2ProtocolOptions(max_concurrent_streams=1, hpack_table_size=0)

    assert (message.max_concurrent_streams, message.hpack_table_size) == (1, 0)


def test_making_a_message_leaves_the_filters_of_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "catch_warnings", None)

    assert cluster_v3.Cluster(name="a").name == "a"


def test_making_a_message_evaluates_no_type_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a class with fifty fields betterproto2 would evaluate fifty times fifty, when its first message is made."""
    monkeypatch.setattr(betterproto2.Message, "_type_hints", None)
    monkeypatch.delattr(route_v3.CorsPolicy, "_betterproto_meta", raising=False)  # another test may have written one

    message = route_v3.CorsPolicy(max_age="1")

    assert not message.is_set("allow_methods")
    assert "_betterproto_meta" not in vars(route_v3.CorsPolicy)


def test_reading_messages_evaluates_the_type_hints_of_a_class_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[type] = []

    def counted(message_class: type, *others: object) -> dict[str, object]:
        asked.append(message_class)
        return get_type_hints(message_class, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(message_checks, "get_type_hints", counted)

    assert route_v3.RetryPolicy.parse(b"").to_json() == "{}"
    assert asked.count(route_v3.RetryPolicy) <= 1
    assert "num_retries" in route_v3.RetryPolicy._type_hints()
