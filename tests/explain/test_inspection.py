"""A listener finds out what its listener filters look at, and nothing else."""

from __future__ import annotations

from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.explain.inspection import TLS, Found, found_by
from xds_server.explain.traffic import HTTP_1, Connection
from xds_server.translate.filter_chain import http_inspector, tls_inspector

SECURE = Connection("10.0.0.1", 443, tls=True, server_name="A.test", alpn=("h2",))
PLAIN_HTTP = Connection("10.0.0.1", 80, http=HTTP_1)


def found(connection: Connection, *filters: listener_v3.ListenerFilter) -> Found:
    return found_by(listener_v3.Listener(listener_filters=list(filters)), connection)


def test_tls_inspector_finds_server_name_and_protocols() -> None:
    assert found(SECURE, tls_inspector()) == Found(TLS, "a.test", ("h2",))
    assert found(PLAIN_HTTP, tls_inspector()) == Found()


def test_http_inspector_finds_http_that_is_plain() -> None:
    assert found(PLAIN_HTTP, http_inspector()) == Found(protocols=(HTTP_1,))
    assert found(SECURE, tls_inspector(), http_inspector()) == Found(TLS, "a.test", ("h2",))


def test_who_does_not_look_finds_a_plain_connection() -> None:
    assert found(SECURE) == Found()
    assert found(SECURE, tls_inspector(not_on=[443])) == Found()
    assert found(SECURE, tls_inspector(only_on=[80])) == Found()
    assert found(SECURE, tls_inspector(only_on=[443])) == Found(TLS, "a.test", ("h2",))
    assert found(PLAIN_HTTP, http_inspector([80, 81])) == Found()
