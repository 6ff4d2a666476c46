"""A message's deprecated fields are looked at, and nothing but the message is touched."""

from __future__ import annotations

import dataclasses
import warnings

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.translate.message_defaults import ask_for_defaults_directly

MESSAGES = [cluster_v3.Cluster, core_v3.ApiConfigSource, route_v3.HeaderMatcher, route_v3.Route, route_v3.RouteAction]

ask_for_defaults_directly()


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


def test_making_a_message_leaves_the_filters_of_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "catch_warnings", None)

    assert cluster_v3.Cluster(name="a").name == "a"
