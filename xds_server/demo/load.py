"""Steady traffic, and what came of it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it ended (seconds, monotonic), how long it took, its status (0: no answer), who did it."""

    at: float
    seconds: float
    status: int
    worker: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over some samples. `p50` and `p95` are seconds."""

    total: int
    failed: int
    by_worker: Counter[str]
    by_status: Counter[int]
    p50: float
    p95: float
    slowest: float


def summary(samples: list[Sample]) -> Summary:
    """What `samples` come to; a failure is any status but 2xx."""
    times = sorted(sample.seconds for sample in samples) or [0.0]
    return Summary(
        total=len(samples),
        failed=sum(not 200 <= sample.status < 300 for sample in samples),
        by_worker=Counter(sample.worker for sample in samples if sample.worker),
        by_status=Counter(sample.status for sample in samples),
        p50=times[len(times) // 2],
        p95=times[int(len(times) * 0.95)],
        slowest=times[-1],
    )


class Load:
    """Several clients that call webhook-handler without pause until told to stop; `clients` is how many."""

    def __init__(self, port: int, *, clients: int = 4, pause: float = 0.01) -> None:
        self._port = port
        self.clients = clients
        self._pause = pause
        self._stop = threading.Event()
        self._samples: list[Sample] = []
        self._threads = [threading.Thread(target=self._run, name=f"load-{n}", daemon=True) for n in range(clients)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the requests that are under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=15)

    def since(self, start: float) -> list[Sample]:
        """Requests that began after `start` (monotonic seconds) and have ended."""
        return [sample for sample in list(self._samples) if sample.at - sample.seconds >= start]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._stop.wait(self._pause):
            began = time.monotonic()
            try:
                connection.request("POST", "/webhook", body=b"{}")
                answer = connection.getresponse()
                body, status = answer.read(), answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                body, status = b"", 0
            ended = time.monotonic()
            self._samples.append(Sample(ended, ended - began, status, _worker(body)))
        connection.close()


def _worker(body: bytes) -> str:
    """Who answered; "" when the proxy answered itself."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    return str(answer.get("worker", "")) if isinstance(answer, dict) else ""
