"""Many proxies that all report, or answer, the same: a process of its own beside a server.

    python -m bench.metrics_fleet sink PORT PAYLOAD PROXIES INTERVAL     each sends PAYLOAD every INTERVAL seconds
    python -m bench.metrics_fleet admin 0 PAYLOAD PROXIES INTERVAL       answers every request with PAYLOAD

PAYLOAD is a file with a JSON list of messages in hexadecimal. It prints the port on which it answers, 0 for none, and
ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import grpc

from xds_server._proto import metrics_pb2
from xds_server.server.metrics_sink import METHOD

SINK, ADMIN = "sink", "admin"


async def report(port: int, number: int, messages: list[bytes], delay: float, interval: float) -> None:
    """One proxy, with a connection of its own."""
    await asyncio.sleep(delay)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
    call: Any = channel.stream_unary(METHOD)()
    first = metrics_pb2.StreamMetricsMessage()
    first.identifier.node.id = f"sidecar~10.0.{number >> 8}.{number & 255}~proxy-{number}.default~local"
    await call.write(first.SerializeToString())
    while True:
        for message in messages:
            await call.write(message)
        await asyncio.sleep(interval)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
    """One connection to an admin page, until its other end is closed."""
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    writer.close()


async def run(kind: str, port: int, messages: list[bytes], proxies: int, interval: float) -> None:
    """Until standard input ends."""
    tasks = []
    if kind == SINK:
        print(0, flush=True)
        tasks = [
            asyncio.create_task(report(port, number, messages, interval * number / proxies, interval))
            for number in range(proxies)
        ]
    else:
        server = await asyncio.start_server(lambda r, w: answer(r, w, messages[0]), "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    found = [bytes.fromhex(text) for text in json.loads(Path(sys.argv[3]).read_text())]
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), found, int(sys.argv[4]), float(sys.argv[5])))
