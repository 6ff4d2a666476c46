"""How access logs are told to Envoy; the goldens `access-log-*` show the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3

from tests.envoy.static_form import complaints
from xds_server.mesh.telemetry import FileLog, Format, Log, Reports
from xds_server.translate.access_log import ISTIO_FIELDS, ISTIO_TEXT, access_logs, listener_logs
from xds_server.translate.outbound import virtual_outbound


def only(*logs: Log, listener_log: bool = True) -> accesslog_v3.AccessLog:
    (found,) = listener_logs(Reports(logs=logs, listener_log=listener_log))
    return found


def test_a_listener_logs_only_what_no_other_log_sees() -> None:
    found = only(Log(FileLog())).filter

    assert found is not None
    assert found.response_flag_filter is not None
    assert found.response_flag_filter.flags == ["NR"]


def test_a_filter_of_a_policy_holds_at_a_listener_too() -> None:
    found = only(Log(FileLog(), "connection.mtls")).filter

    assert found is not None
    assert found.and_filter is not None
    assert len(found.and_filter.filters) == 2


def test_listeners_log_nothing_where_the_mesh_says_so() -> None:
    assert listener_logs(Reports(logs=(Log(FileLog()),), listener_log=False)) == []


@pytest.mark.parametrize(
    ("path", "name"), [("/dev/stdout", "stdout"), ("/dev/stderr", "stderr"), ("/var/log/x", "file")]
)
def test_the_streams_of_the_proxy_are_not_opened_again(path: str, name: str) -> None:
    (found,) = access_logs(Reports(logs=(Log(FileLog(path)),)))

    assert found.name == f"envoy.access_loggers.{name}"


def test_istios_formats_say_the_same() -> None:
    assert all(operator in ISTIO_TEXT for operator in ISTIO_FIELDS.values())


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        (Log(FileLog(format=Format("%NOTHING%\n"))), "NOTHING"),
        (Log(FileLog(), "response.code >"), "syntax"),
    ],
)
def test_what_is_no_format_and_no_expression_envoy_itself_refuses(
    log: Log, wrong: str, tmp_path: Path, envoy_binary: Path
) -> None:
    listener = virtual_outbound("BlackHoleCluster", reports=Reports(logs=(log,)))

    assert wrong.lower() in complaints(envoy_binary, tmp_path, [listener]).lower()
