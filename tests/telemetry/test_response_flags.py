"""The table of response flags is Envoy's."""

from __future__ import annotations

import re
from pathlib import Path

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_v3

from tests.envoy.static_form import complaints
from xds_server.telemetry.response_flags import BY_FIELD, FLAGS, in_words
from xds_server.translate.encode import any_of, encode
from xds_server.translate.endpoint import address
from xds_server.xds import type_url
from xds_server.xds.resource import Resource


def filtering(flags: list[str]) -> Resource:
    log = accesslog_v3.AccessLog(
        name="envoy.access_loggers.stdout",
        filter=accesslog_v3.AccessLogFilter(response_flag_filter=accesslog_v3.ResponseFlagFilter(flags=flags)),
        typed_config=any_of(stream_v3.StdoutAccessLog()),
    )
    chains = [listener_v3.FilterChain(name="none")]
    listener = listener_v3.Listener(name="any", address=address("127.0.0.1", 1), filter_chains=chains, access_log=[log])
    return Resource(type_url.LISTENER, "any", "1", encode(listener))


def test_envoy_knows_every_flag_and_no_other(envoy_binary: Path, tmp_path: Path) -> None:
    """It takes all of the table, and lists those that it knows when it is given one that it does not."""
    assert complaints(envoy_binary, tmp_path, [filtering([flag.short for flag in FLAGS])]) == ""
    listed = re.search(
        r"value must be in list \[([A-Z ]+)\]", complaints(envoy_binary, tmp_path, [filtering(["NOFLAG"])])
    )

    assert listed
    assert set(listed[1].split()) == {flag.short for flag in FLAGS}


def test_every_flag_of_the_access_log_service_is_known() -> None:
    assert {field.name for field in accesslog_pb2.ResponseFlags.DESCRIPTOR.fields} == BY_FIELD.keys()


def test_no_flag_is_listed_twice_and_each_is_explained() -> None:
    for name in ("short", "long", "words"):
        values = [getattr(flag, name) for flag in FLAGS]
        assert len(set(values)) == len(values)
        assert all(values)


def test_a_flag_that_nobody_knows_stands_for_itself() -> None:
    assert in_words("XYZ") == "XYZ"
