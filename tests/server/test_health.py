"""The health service, asked by its own client."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.server.loopback import ADS, channel, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", ADS[1:]], ids=["server", "ads"])
async def test_health_is_what_was_said_last(service: str) -> None:
    async with serving() as server, channel(server) as connection:
        stub = health_pb2_grpc.HealthStub(connection)
        request = health_pb2.HealthCheckRequest(service=service)
        before = await stub.Check(request)

        await server.listener.set_serving(True)
        after = await stub.Check(request)

    assert (before.status, after.status) == (NOT_SERVING, SERVING)
