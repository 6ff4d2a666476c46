"""Access log entries as Envoy sends them: bytes to values, each cut to a bounded size."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.message import DecodeError

from xds_server._proto import accesslog_pb2
from xds_server.errors import ProtocolViolation
from xds_server.telemetry import grpc_status
from xds_server.telemetry.log_entry import LogEntry
from xds_server.telemetry.response_flags import BY_FIELD

STREAM = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
"""The gRPC method."""
_PROTOCOLS = {1: "HTTP/1.0", 2: "HTTP/1.1", 3: "HTTP/2", 4: "HTTP/3"}
_METHODS = {number: name for name, number in accesslog_pb2.RequestMethod.items() if number}
_LONGEST = 512
"""Characters of a path, and of whatever else is not a number."""


class Sender:
    """What the messages of one stream come to; only the first says who sends them."""

    def __init__(self) -> None:
        self._proxy = ""
        self._service = ""
        self._log = ""

    def entries(self, data: bytes) -> list[LogEntry]:
        """The entries of a StreamAccessLogsMessage.

        Raises:
            ProtocolViolation: it is none.
        """
        try:
            message = accesslog_pb2.StreamAccessLogsMessage.FromString(data)
        except DecodeError:
            raise ProtocolViolation("INVALID_ARGUMENT", "malformed StreamAccessLogsMessage") from None
        if message.HasField("identifier"):
            node = message.identifier.node
            said = (node.id, node.cluster, message.identifier.log_name)
            self._proxy, self._service, self._log = (text[:_LONGEST] for text in said)
        return [
            *(self._request(entry) for entry in message.http_logs.log_entry),
            *(self._connection(entry) for entry in message.tcp_logs.log_entry),
        ]

    def _request(self, entry: accesslog_pb2.HTTPAccessLogEntry) -> LogEntry:
        request, response = entry.request, entry.response
        found = self._either(entry.common_properties)
        return replace(
            found,
            protocol=_PROTOCOLS.get(entry.protocol_version, ""),
            method=_METHODS.get(request.request_method, ""),
            authority=request.authority[:_LONGEST],
            path=(request.original_path or request.path)[:_LONGEST],
            status=response.response_code.value,
            grpc=grpc_status.name(_grpc(response, "grpc-status")),
            grpc_message=_grpc(response, "grpc-message"),
            details=response.response_code_details[:_LONGEST] or found.details,
            request_id=request.request_id[:_LONGEST],
            received=request.request_body_bytes,
            sent=response.response_body_bytes,
        )

    def _connection(self, entry: accesslog_pb2.TCPAccessLogEntry) -> LogEntry:
        counted = entry.connection_properties
        found = self._either(entry.common_properties)
        return replace(found, protocol="TCP", received=counted.received_bytes, sent=counted.sent_bytes)

    def _either(self, common: accesslog_pb2.AccessLogCommon) -> LogEntry:
        """What requests and connections have in common."""
        took = common.duration if common.HasField("duration") else common.time_to_last_downstream_tx_byte
        failure = common.upstream_transport_failure_reason or common.downstream_transport_failure_reason
        return LogEntry(
            time=common.start_time.ToNanoseconds() / 1e9,
            seconds=took.ToNanoseconds() / 1e9,
            proxy=self._proxy,
            service=self._service,
            log=self._log,
            flags=_flags(common.response_flags),
            details=common.connection_termination_details[:_LONGEST],
            failure=failure[:_LONGEST],
            route=common.route_name[:_LONGEST],
            cluster=common.upstream_cluster[:_LONGEST],
            upstream=_address(common.upstream_remote_address),
            caller=_address(common.downstream_remote_address),
            principal=_principal(common.tls_properties.peer_certificate_properties),
            attempts=common.upstream_request_attempt_count,
        )


def _grpc(response: accesslog_pb2.HTTPResponseProperties, header: str) -> str:
    """From the trailers, or from the headers of an answer that has nothing else."""
    return (response.response_trailers.get(header) or response.response_headers.get(header, ""))[:_LONGEST]


def _flags(flags: accesslog_pb2.ResponseFlags) -> tuple[str, ...]:
    return tuple(BY_FIELD[field.name].short for field, _ in flags.ListFields())


def _principal(certificate: accesslog_pb2.TLSProperties.CertificateProperties) -> str:
    """Its first URI: a certificate of the mesh has one."""
    return next((name.uri[:_LONGEST] for name in certificate.subject_alt_name if name.uri), "")


def _address(address: accesslog_pb2.Address) -> str:
    socket = address.socket_address
    host = f"[{socket.address}]" if ":" in socket.address else socket.address
    return f"{host}:{socket.port_value}" if host else ""
