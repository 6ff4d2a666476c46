"""Many peers that subscribe to clusters and acknowledge whatever comes: a process of its own beside a server.

    python -m bench.fleet PORT STREAMS CONNECTIONS [NAMESPACES]

With a number of namespaces they stand in those in turn, team-0 and so on, and subscribe to endpoints, listeners and
routes too.

It ends when its standard input does. The peers read nonces out of the bytes themselves, so that their own cost stays
small beside the server's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import grpc

from xds_server._proto import discovery_pb2
from xds_server.xds import type_url

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


EVERYTHING = (type_url.CLUSTER, type_url.ENDPOINT, type_url.LISTENER, type_url.ROUTE)
"""What a sidecar is sent but secrets."""


async def peer(channel: grpc.aio.Channel, number: int, namespace: str, types: Sequence[str]) -> None:
    """One stream: subscribe to everything of some types, then take each response whole."""
    call: Any = channel.stream_stream(METHOD)()
    for url in types:
        first = discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=["*"])
        first.node.id = f"sidecar~10.200.{number >> 8}.{number & 255}~proxy-{number}.{namespace}~local"
        await call.write(first.SerializeToString())
    while (data := await call.read()) is not grpc.aio.EOF:
        response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        await call.write(answer.SerializeToString())


async def fleet(port: int, streams: int, connections: int, namespaces: int = 0) -> None:
    """`streams` peers over `connections` connections, until standard input ends."""
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) for _ in range(connections)]
    types = EVERYTHING if namespaces else EVERYTHING[:1]
    where = [f"team-{number % namespaces}" if namespaces else "default" for number in range(streams)]
    peers = [
        asyncio.create_task(peer(channels[number % connections], number, where[number], types))
        for number in range(streams)
    ]
    await asyncio.to_thread(sys.stdin.read)
    for task in peers:
        task.cancel()
    await asyncio.gather(*peers, return_exceptions=True)
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(fleet(*map(int, sys.argv[1:5])))
