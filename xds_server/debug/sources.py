"""What the debug endpoints show, as questions: app.py answers them, nothing here knows how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from xds_server.mesh.telemetry import TelemetryPolicies
from xds_server.policy.document import Document
from xds_server.problem import Problem
from xds_server.signals.window import Sight
from xds_server.telemetry.log_buffer import LogBuffer
from xds_server.telemetry.traces import Traces
from xds_server.xds.proxy_status import ProxyStatus
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot


class StreamTotals(Protocol):
    """Counts over all streams since the server started; mappings are by type URL."""

    @property
    def opened(self) -> int:
        """Streams that ever connected."""

    @property
    def ended(self) -> Mapping[str, int]:
        """Streams that ended, by name of the gRPC status; "OK" when the peer left."""

    @property
    def requests(self) -> int:
        """Read; an ACK is one too."""

    @property
    def sent_bytes(self) -> int:
        """Of responses."""

    @property
    def pushes(self) -> Mapping[str, int]:
        """Responses sent."""

    @property
    def acks(self) -> Mapping[str, int]:
        """Responses that the peer took whole."""

    @property
    def nacks(self) -> Mapping[str, int]:
        """Responses that the peer refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Whether changes are shown to a real Envoy before they are sent, and what came of it.

    Attributes:
        envoy: its path; "" when nothing is validated.
        reason: why nothing is; "" when it is.
        runs: of Envoy, by outcome (valid, invalid, crashed, failed).
        quarantined: why documents are kept out though they are valid by themselves, one problem for each.
    """

    envoy: str = ""
    reason: str = "not started"
    runs: Mapping[str, int] = field(default_factory=dict)
    quarantined: Sequence[Problem] = ()


class OwnSpans(Protocol):
    """Counts of the server's own spans since its start."""

    @property
    def exported(self) -> int:
        """That a collector took."""

    @property
    def dropped(self) -> int:
        """That none took in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Every callable is cheap and called on the event loop, but for `resource_json`: that one in a worker thread.

    Attributes:
        generation: number of the generation in force; 0 until the first load is done.
        documents: the policy documents in force.
        problems: what is wrong with, or worth knowing about, the policies.
        proxies: one status per connected stream.
        totals: see StreamTotals.
        validation: see Validation.
        authorities: who signs certificates and who is believed, the rotation under way, what expires when; no keys.
        traffic: who calls whom, as proxies tell it.
        telemetry: what policies show of that as metrics.
        snapshot_of: what the connected proxy with exactly this node id is sent; None when there is no such proxy.
        traces, logs: what proxies told of requests; None where nothing is received.
        own_spans: what became of this server's own; None where they go nowhere.
        resource_json: a resource as proto-JSON, secrets redacted.
    """

    version: str
    generation: Callable[[], int]
    documents: Callable[[], Sequence[Document]]
    problems: Callable[[], Sequence[Problem]]
    proxies: Callable[[], Sequence[ProxyStatus]]
    totals: Callable[[], StreamTotals]
    validation: Callable[[], Validation] = Validation
    authorities: Callable[[], Mapping[str, object]] = dict
    traffic: Callable[[], Sight] = Sight
    telemetry: Callable[[], TelemetryPolicies] = TelemetryPolicies
    traces: Traces | None = None
    logs: LogBuffer | None = None
    own_spans: OwnSpans | None = None
    snapshot_of: Callable[[str], Snapshot | None]
    resource_json: Callable[[Resource], Mapping[str, object]]
