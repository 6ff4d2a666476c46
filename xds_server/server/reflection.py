"""Lets grpcurl and its like ask what this server speaks (grpc.reflection.v1alpha).

The services exist under Envoy's names only on the wire; their descriptors are built here, in a pool of their own, so
that they never meet Envoy's generated code in the same process.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection

from xds_server._proto import discovery_pb2, metrics_pb2, status_pb2
from xds_server.server import csds, metrics_sink, wire
from xds_server.xds.proxy_status import Variant

_MESSAGE_FILES = (any_pb2, struct_pb2, timestamp_pb2, discovery_pb2, status_pb2, metrics_pb2)
"""Each behind those that it imports."""


def add_reflection(server: Any) -> None:
    """Register with a grpc.aio.Server that has not been started."""
    names = (*wire.SERVICES, csds.SERVICE, metrics_sink.SERVICE, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=descriptors())


def descriptors() -> DescriptorPool:
    """A pool that knows every service under its real name and the messages under ours."""
    pool = DescriptorPool()
    for message_file in _MESSAGE_FILES:
        pool.AddSerializedFile(message_file.DESCRIPTOR.serialized_pb)
    for service in wire.SERVICES:
        pool.AddSerializedFile(_discovery_file(service).SerializeToString())
    pool.AddSerializedFile(_client_status_file().SerializeToString())
    pool.AddSerializedFile(_metrics_file().SerializeToString())
    return pool


def _discovery_file(service: str) -> FileDescriptorProto:
    file = _service_file(service, discovery_pb2.DESCRIPTOR.name)
    for method in wire.METHODS:
        if method.service == service:
            prefix = "Delta" if method.variant is Variant.DELTA else ""
            file.service[0].method.add(
                name=method.name,
                input_type=f".{discovery_pb2.DESCRIPTOR.package}.{prefix}DiscoveryRequest",
                output_type=f".{discovery_pb2.DESCRIPTOR.package}.{prefix}DiscoveryResponse",
                client_streaming=True,
                server_streaming=True,
            )
    return file


def _client_status_file() -> FileDescriptorProto:
    file = _service_file(csds.SERVICE, status_pb2.DESCRIPTOR.name)
    for name in (csds.FETCH, csds.STREAM):
        file.service[0].method.add(
            name=name,
            input_type=f".{status_pb2.DESCRIPTOR.package}.ClientStatusRequest",
            output_type=f".{status_pb2.DESCRIPTOR.package}.ClientStatusResponse",
            client_streaming=name == csds.STREAM,
            server_streaming=name == csds.STREAM,
        )
    return file


def _metrics_file() -> FileDescriptorProto:
    file = _service_file(metrics_sink.SERVICE, metrics_pb2.DESCRIPTOR.name)
    file.service[0].method.add(
        name=metrics_sink.METHOD.rpartition("/")[2],
        input_type=f".{metrics_pb2.DESCRIPTOR.package}.StreamMetricsMessage",
        output_type=f".{metrics_pb2.DESCRIPTOR.package}.StreamMetricsResponse",
        client_streaming=True,
    )
    return file


def _service_file(service: str, messages: str) -> FileDescriptorProto:
    """The file of a service without methods, whose messages are those of the file `messages`."""
    package, _, name = service.rpartition(".")
    file = FileDescriptorProto(name=f"{service}.proto", package=package, syntax="proto3", dependency=[messages])
    file.service.add(name=name)
    return file
