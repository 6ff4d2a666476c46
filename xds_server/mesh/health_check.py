"""How callers find out which endpoints of a service are well: a WorkloadGroup's probe, its defaults decided."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta


class Probe(enum.StrEnum):
    """What a check does."""

    HTTP = "HTTP"
    TCP = "TCP"
    GRPC = "GRPC"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One check, made by every caller of every endpoint that has a port for it.

    Attributes:
        host, path, headers: of an HTTP check; `host` "" is the service's.
        grpc_service: whose health is asked for; "" is the whole server's.
        successes, failures: how many in a row change an endpoint's state.
    """

    probe: Probe
    host: str = ""
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    grpc_service: str = ""
    timeout: timedelta = timedelta(seconds=1)
    interval: timedelta = timedelta(seconds=10)
    successes: int = 1
    failures: int = 3
