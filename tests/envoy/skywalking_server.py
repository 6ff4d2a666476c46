"""A server of SkyWalking's own service definitions, run with `tracer_backends`' interpreter: PORT OUTPUT.

It writes each segment that it is sent to OUTPUT, as a line of JSON with every field there is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson
from skywalking.protocol.common.Command_pb2 import Commands
from skywalking.protocol.language_agent import Tracing_pb2_grpc


class Segments(Tracing_pb2_grpc.TraceSegmentReportServiceServicer):  # type: ignore[misc] # it ships no types
    """Takes segments on streams."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def collect(self, request_iterator: Iterator[Any], _context: object) -> Any:
        """Until the client ends the stream."""
        for segment in request_iterator:
            text = MessageToJson(segment, indent=None, always_print_fields_with_no_presence=True)
            with self._output.open("a") as file:
                file.write(f"{text}\n")
        return Commands()


def main() -> None:
    """Serve until the process is ended."""
    port, output = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(10))
    Tracing_pb2_grpc.add_TraceSegmentReportServiceServicer_to_server(Segments(Path(output)), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
