"""Whether this server is fit to be asked: gRPC's standard health service, for probes and balancers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Health:
    """NOT_SERVING until the first generation is published, SERVING from then on, NOT_SERVING again while stopping.

    Args:
        services: full names of the gRPC services that share this state, beside "", the server as a whole.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()

    async def add_to(self, server: Any) -> None:
        """Register with a grpc.aio.Server that has not been started."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        await self.set_serving(False)

    async def set_serving(self, serving: bool) -> None:
        """Answer SERVING or NOT_SERVING from now on; watchers are told at once."""
        word = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, word)
