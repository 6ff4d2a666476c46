"""Access log entries off the wire, as Envoy's own messages encode them."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.errors import ProtocolViolation
from xds_server.server.access_log import Sender
from xds_server.telemetry.response_flags import BY_FIELD

WHO = als_pb2.StreamAccessLogsMessage.Identifier(
    node=base_pb2.Node(id="web-1", cluster="web.shop"), log_name="http_envoy_accesslog"
)


def address(host: str, port: int) -> address_pb2.Address:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))


def common(**more: object) -> accesslog_pb2.AccessLogCommon:
    return accesslog_pb2.AccessLogCommon(
        start_time=Timestamp(seconds=10), duration=Duration(nanos=5_000_000), upstream_cluster="outbound|80||reviews",
        upstream_remote_address=address("10.0.0.2", 80), downstream_remote_address=address("::1", 9),
        route_name="default", upstream_request_attempt_count=2, **more,
    )  # fmt: skip


def requests(*entries: accesslog_pb2.HTTPAccessLogEntry, identifier: object = WHO) -> bytes:
    logs = als_pb2.StreamAccessLogsMessage.HTTPAccessLogEntries(log_entry=entries)
    return bytes(als_pb2.StreamAccessLogsMessage(identifier=identifier, http_logs=logs).SerializeToString())


def test_every_field_of_a_request_is_read() -> None:
    entry = accesslog_pb2.HTTPAccessLogEntry(
        common_properties=common(response_flags=accesslog_pb2.ResponseFlags(upstream_overflow=True)),
        protocol_version=accesslog_pb2.HTTPAccessLogEntry.HTTP2,
        request=accesslog_pb2.HTTPRequestProperties(
            request_method=base_pb2.POST, authority="reviews", path="/b", original_path="/a", request_id="id",
            request_body_bytes=3,
        ),
        response=accesslog_pb2.HTTPResponseProperties(
            response_code=UInt32Value(value=503), response_body_bytes=4, response_code_details="overflow"
        ),
    )  # fmt: skip
    (found,) = Sender().entries(requests(entry))

    assert (found.proxy, found.service, found.log) == ("web-1", "web.shop", "http_envoy_accesslog")
    assert (found.method, found.authority, found.path, found.protocol) == ("POST", "reviews", "/a", "HTTP/2")
    assert (found.status, found.flags, found.details) == (503, ("UO",), "overflow")
    assert (found.time, found.seconds, found.attempts) == (10, 0.005, 2)
    assert (found.upstream, found.caller, found.route) == ("10.0.0.2:80", "[::1]:9", "default")
    assert (found.received, found.sent, found.request_id) == (3, 4, "id")


@pytest.mark.parametrize("place", ["response_trailers", "response_headers"])
def test_status_of_grpc_is_read_wherever_it_stands(place: str) -> None:
    """In the trailers, or in the headers where the answer has nothing else; no other answer has one."""
    said = {"grpc-status": "14", "grpc-message": "not today"}
    entries = [
        accesslog_pb2.HTTPAccessLogEntry(response=accesslog_pb2.HTTPResponseProperties(**found))
        for found in ({place: said}, {})
    ]

    found = Sender().entries(requests(*entries))

    assert [(each.grpc, each.grpc_message) for each in found] == [("UNAVAILABLE", "not today"), ("", "")]


def test_certificate_of_the_caller_says_who_it_is_by_its_uri() -> None:
    peer = accesslog_pb2.TLSProperties.CertificateProperties(
        subject_alt_name=[
            accesslog_pb2.TLSProperties.CertificateProperties.SubjectAltName(dns="web.example"),
            accesslog_pb2.TLSProperties.CertificateProperties.SubjectAltName(
                uri="spiffe://cluster.local/ns/shop/sa/web"
            ),
        ]
    )
    tls = accesslog_pb2.TLSProperties(peer_certificate_properties=peer)
    entries = [
        accesslog_pb2.HTTPAccessLogEntry(common_properties=common(tls_properties=found))
        for found in (tls, accesslog_pb2.TLSProperties(), None)
    ]

    assert [found.principal for found in Sender().entries(requests(*entries))] == [
        "spiffe://cluster.local/ns/shop/sa/web", "", "",
    ]  # fmt: skip


def test_a_connection_has_no_request() -> None:
    entry = accesslog_pb2.TCPAccessLogEntry(
        common_properties=common(connection_termination_details="why"),
        connection_properties=accesslog_pb2.ConnectionProperties(received_bytes=1, sent_bytes=2),
    )
    logs = als_pb2.StreamAccessLogsMessage.TCPAccessLogEntries(log_entry=[entry])
    data = als_pb2.StreamAccessLogsMessage(identifier=WHO, tcp_logs=logs).SerializeToString()
    (found,) = Sender().entries(data)

    assert (found.protocol, found.status, found.details) == ("TCP", 0, "why")
    assert (found.received, found.sent) == (1, 2)


def test_only_the_first_message_says_who_sends() -> None:
    sender = Sender()
    sender.entries(requests())
    (found,) = sender.entries(requests(accesslog_pb2.HTTPAccessLogEntry(), identifier=None))

    assert found.service == "web.shop"


def test_every_flag_is_read() -> None:
    every = accesslog_pb2.ResponseFlags(
        **{name: True for name in BY_FIELD if name != "unauthorized_details"},
        unauthorized_details=accesslog_pb2.ResponseFlags.Unauthorized(),
    )
    entry = accesslog_pb2.HTTPAccessLogEntry(common_properties=common(response_flags=every))
    (found,) = Sender().entries(requests(entry))

    assert set(found.flags) == {flag.short for flag in BY_FIELD.values()}


def test_what_a_caller_chooses_is_cut() -> None:
    request = accesslog_pb2.HTTPRequestProperties(path="x" * 100_000)
    (found,) = Sender().entries(requests(accesslog_pb2.HTTPAccessLogEntry(request=request)))

    assert len(found.path) == 512


def test_bytes_that_are_no_message_are_a_protocol_violation() -> None:
    with pytest.raises(ProtocolViolation):
        Sender().entries(b"\xff\xff")
