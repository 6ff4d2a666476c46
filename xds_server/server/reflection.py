"""Lets grpcurl and its like ask what this server speaks (grpc.reflection.v1alpha).

The services exist under Envoy's names only on the wire; their descriptors are built here, in a pool of their own, so
that they never meet Envoy's generated code in the same process.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, struct_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection

from xds_server._proto import discovery_pb2
from xds_server.server import wire
from xds_server.xds.proxy_status import Variant


def add_reflection(server: Any) -> None:
    """Register with a grpc.aio.Server that has not been started."""
    names = (*dict.fromkeys(method.service for method in wire.METHODS), reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=descriptors())


def descriptors() -> DescriptorPool:
    """A pool that knows every service under its real name and the messages under ours."""
    pool = DescriptorPool()
    for message_file in (any_pb2, struct_pb2, discovery_pb2):
        pool.AddSerializedFile(message_file.DESCRIPTOR.serialized_pb)
    for service in dict.fromkeys(method.service for method in wire.METHODS):
        pool.AddSerializedFile(_service_file(service).SerializeToString())
    return pool


def _service_file(service: str) -> FileDescriptorProto:
    package, _, name = service.rpartition(".")
    file = FileDescriptorProto(
        name=f"{service}.proto", package=package, syntax="proto3", dependency=[discovery_pb2.DESCRIPTOR.name]
    )
    described = file.service.add(name=name)
    for method in wire.METHODS:
        if method.service == service:
            prefix = "Delta" if method.variant is Variant.DELTA else ""
            described.method.add(
                name=method.name,
                input_type=f".{discovery_pb2.DESCRIPTOR.package}.{prefix}DiscoveryRequest",
                output_type=f".{discovery_pb2.DESCRIPTOR.package}.{prefix}DiscoveryResponse",
                client_streaming=True,
                server_streaming=True,
            )
    return file
