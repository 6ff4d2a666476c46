"""What grpcurl can find out."""

from __future__ import annotations

from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.server.loopback import channel, serving
from xds_server.server import wire
from xds_server.server.reflection import descriptors


async def test_every_service_is_listed() -> None:
    async with serving() as server, channel(server) as connection:
        stub = reflection_pb2_grpc.ServerReflectionStub(connection)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answers = [answer async for answer in call]

    listed = {service.name for service in answers[0].list_services_response.service}
    assert {method.service for method in wire.METHODS} <= listed


def test_every_method_is_described_as_a_stream_both_ways() -> None:
    pool = descriptors()

    for method in wire.METHODS:
        described = pool.FindServiceByName(method.service).methods_by_name[method.name]
        assert (described.client_streaming, described.server_streaming) == (True, True)
        assert described.input_type.name.startswith("Delta") == method.name.startswith("Delta")
