"""What grpcurl can find out."""

from __future__ import annotations

import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.server.loopback import channel, serving
from xds_server.server import csds, metrics_sink, wire
from xds_server.server.reflection import descriptors


async def test_every_service_is_listed() -> None:
    async with serving() as server, channel(server) as connection:
        stub = reflection_pb2_grpc.ServerReflectionStub(connection)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answers = [answer async for answer in call]

    listed = {service.name for service in answers[0].list_services_response.service}
    assert {*wire.SERVICES, csds.SERVICE, metrics_sink.SERVICE} <= listed


def test_every_method_is_described_as_a_stream_both_ways() -> None:
    pool = descriptors()

    for method in wire.METHODS:
        described = pool.FindServiceByName(method.service).methods_by_name[method.name]
        assert (described.client_streaming, described.server_streaming) == (True, True)
        assert described.input_type.name.startswith("Delta") == method.name.startswith("Delta")


@pytest.mark.parametrize(("method", "streams"), [("FetchClientStatus", False), ("StreamClientStatus", True)])
def test_client_status_is_described_with_its_messages(method: str, streams: bool) -> None:
    described = descriptors().FindServiceByName(csds.SERVICE).methods_by_name[method]

    assert (described.client_streaming, described.server_streaming) == (streams, streams)
    assert [field.name for field in described.input_type.fields] == ["node_matchers"]
