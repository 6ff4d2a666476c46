"""Many peers that subscribe to clusters and acknowledge whatever comes: a process of its own beside a server.

    python -m bench.fleet PORT STREAMS CONNECTIONS

It ends when its standard input does. The peers read nonces out of the bytes themselves, so that their own cost stays
small beside the server's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from xds_server._proto import discovery_pb2
from xds_server.xds import type_url

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


async def peer(channel: grpc.aio.Channel, number: int) -> None:
    """One stream: subscribe to every cluster, then take each response whole."""
    call: Any = channel.stream_stream(METHOD)()
    first = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url.CLUSTER)
    first.node.id = f"sidecar~10.0.{number >> 8}.{number & 255}~proxy-{number}.default~local"
    await call.write(first.SerializeToString())
    while (data := await call.read()) is not grpc.aio.EOF:
        nonce = discovery_pb2.DeltaDiscoveryResponse.FromString(data).nonce
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url.CLUSTER, response_nonce=nonce)
        await call.write(answer.SerializeToString())


async def fleet(port: int, streams: int, connections: int) -> None:
    """`streams` peers over `connections` connections, until standard input ends."""
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) for _ in range(connections)]
    peers = [asyncio.create_task(peer(channels[number % connections], number)) for number in range(streams)]
    await asyncio.to_thread(sys.stdin.read)
    for task in peers:
        task.cancel()
    await asyncio.gather(*peers, return_exceptions=True)
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(fleet(*map(int, sys.argv[1:4])))
