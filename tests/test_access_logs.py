"""What `xds-server logs` shows of an entry."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from tests.envoy.running import free_port
from tests.telemetry.values import entry
from xds_server.access_logs import entries, line
from xds_server.errors import ConfigurationError
from xds_server.settings import Address
from xds_server.telemetry.log_buffer import Wanted
from xds_server.telemetry.log_entry import LogEntry


def read(found: LogEntry) -> Mapping[str, Any]:
    """As it comes off the debug port."""
    value: Mapping[str, Any] = json.loads(json.dumps(found.as_json()))
    return value


def shown(**more: Any) -> str:
    return line(read(entry(**more))).plain


def test_a_good_request_is_one_line() -> None:
    text = shown()

    assert text.endswith("200     12.3 ms  web.shop → reviews  GET /1")
    assert "\n" not in text


def test_flags_are_said_in_words_with_where_to_look() -> None:
    first, second = shown(status=503, flags=("UO", "URX"), details="overflow", attempts=3).splitlines()

    assert first.endswith("GET /1  (3 attempts)")
    assert "UO circuit breaker overflow: too many connections or requests at once" in second
    assert "(DestinationRule connectionPool)" in second
    assert "URX retries exhausted" in second
    assert second.endswith("overflow")


def test_what_came_in_names_the_caller() -> None:
    """By its certificate, where it had one; else by its address."""
    principal = "spiffe://cluster.local/ns/shop/sa/api"

    assert "web.shop ← 10.0.0.1:4000" in shown(cluster="inbound|8080||")
    assert f"web.shop ← {principal}" in shown(cluster="inbound|8080||", principal=principal)


def test_a_connection_has_bytes_instead_of_a_request() -> None:
    text = shown(protocol="TCP", method="", path="", status=0, received=7, sent=9)

    assert text.endswith("TCP, 7 bytes in, 9 out")
    assert "  -  " in text


def test_nothing_that_a_caller_chose_is_obeyed_by_a_terminal() -> None:
    assert "/?[31mred?" in shown(path="/\x1b[31mred\x07")


def test_status_of_grpc_is_said_unless_all_is_well() -> None:
    assert shown(grpc="UNAVAILABLE", grpc_message="not today").endswith("gRPC UNAVAILABLE: not today")
    assert shown(grpc="NOT_FOUND").endswith("gRPC NOT_FOUND")
    assert "gRPC" not in shown(grpc="OK")


def test_failure_that_was_only_handed_on_is_said_to_be_the_services() -> None:
    assert shown(status=500, details="via_upstream").endswith("the service answered so")
    assert "\n" not in shown(details="via_upstream")


@pytest.mark.parametrize("half", ["", '9\r\n{"path": \r\n'])
def test_server_that_ends_while_it_is_followed_is_said(half: str) -> None:
    """Else silence would look like a mesh in which nothing happens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = json.dumps(entry().as_json()) + "\n"
        answer = f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n{half}"
        threading.Thread(target=_answer_and_leave, args=(server, answer.encode())).start()
        told = entries(Address("127.0.0.1", server.getsockname()[1]), follow=True)

        assert next(told)["path"] == "/1"
        with pytest.raises(ConfigurationError, match="has gone"):
            next(told)


def test_the_server_is_asked_for_no_more_than_is_wanted() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        threading.Thread(target=_answer_and_leave, args=(server, answer, heard)).start()
        told = entries(Address("127.0.0.1", server.getsockname()[1]), wanted=Wanted(service="a", failed=True, tail=0))

        assert list(told) == []
    assert heard[0].startswith(b"GET /debug/logs?service=a&failed=true&follow=false&tail=0 ")


def _answer_and_leave(server: socket.socket, answer: bytes, heard: list[bytes] | None = None) -> None:
    connection, _ = server.accept()
    asked = connection.recv(65536)
    if heard is not None:
        heard.append(asked)
    connection.sendall(answer)
    connection.close()


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigurationError, match="--server"):
        list(entries(Address("127.0.0.1", free_port())))


def test_a_port_that_speaks_no_http_is_said_to_be_the_wrong_one() -> None:
    """The xDS port, which does not go away either."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        threading.Thread(target=_answer_and_leave, args=(server, settings)).start()

        with pytest.raises(ConfigurationError, match="no debug port"):
            list(entries(Address("127.0.0.1", server.getsockname()[1])))
