"""What proxies tell of their traffic is what really happened, whoever is started anew meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, get, until
from tests.envoy.traced import mesh_config, receiver, two_ports

SERVED = "shop-api"
SIDES = ("source", "destination")
NODE = "127.0.4.2"
"""Where the serving sidecar listens."""


@dataclass
class Pair:
    """A calling and a serving sidecar that speak mesh TLS, under one server; reports come every second."""

    control: Control
    caller: Envoy
    server: Envoy
    app: Backend
    port: int
    before: int = 0
    """Requests that the application got before the server began to count."""
    local: int = 0
    """Requests since then that the caller's proxy answered itself."""

    def calls(self, count: int, *, status: int = 200) -> None:
        """So many requests that the application answers with that status."""
        self.app.behaviour.status = status
        for _ in range(count):
            assert self.caller.call(SERVED).status == status
        self.app.behaviour.status = 200

    @property
    def answered(self) -> int:
        """Requests that the application got since the server began to count."""
        return self.app.count - self.before

    def row(self, reporter: str) -> dict[str, Any]:
        """What one side tells of those calls, as the page has it; zeros before it told anything."""
        found = self.control.debug("/debug/traffic?format=json")
        assert isinstance(found, list)
        rows = [row for row in found if row["reporter"] == reporter and row["destination"] == SERVED]
        return rows[0] if rows else {"requests": 0, "errors": 0, "retries": 0, "connect_failures": 0}

    def counts(self, reporter: str) -> tuple[int, int]:
        """(requests, errors) as the page has them."""
        row = self.row(reporter)
        return row["requests"], row["errors"]

    def told(self) -> tuple[int, int]:
        """(requests, errors) at the source, once both sides have told of all that the application answered.

        What never came as far as that, as before the first endpoint was known, only the source tells.
        """
        until(self._is_told, what="both sides told of all that the application answered")
        return self.counts("source")

    def _is_told(self) -> bool:
        source, destination = self.row("source"), self.row("destination")
        tries = source["requests"] + source["retries"]
        served: int = destination["requests"]
        return served == self.answered and bool(tries == self.answered + self.local)

    def reach(self) -> None:
        """Call until the application answers, and count what did not come as far.

        Not before both sides report: what a proxy counts while nobody hears it is lost. Nor before the caller's proxy
        has the route: what it passes on to an unknown host is not counted as the service's.
        """
        until(
            lambda: SERVED in get(self.caller.admin_port, "/config_dump?resource=dynamic_route_configs"),
            what="the route is there",
        )
        until(
            lambda: "xds_server_traffic_reporters 2\n" in get(self.control.debug_port, "/metrics"),
            what="both sides report",
        )
        until(self._reached, what="a call is through")

    def _reached(self) -> bool:
        through = self.caller.call(SERVED).status == 200
        self.local += not through
        return through

    def metric(self, name: str, reporter: str, more: str = "") -> float:
        """One of the metrics of those calls."""
        wanted = (f"{name}{{", f'reporter="{reporter}"', f'destination_service="{SERVED}"', more)
        lines = get(self.control.debug_port, "/metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))


def policies(app: Backend, port: int, retries: int = 0) -> str:
    """The service, its sidecar, mesh TLS between them, and how often callers try again."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {SERVED}}}
spec:
  hosts: [{SERVED}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: api}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: api-1}}
spec:
  {{address: {NODE}, ports: {{http: {port}}}, labels: {{app: api, version: v2}}, serviceAccount: api}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: api}}
spec:
  workloadSelector: {{labels: {{app: api}}}}
  ingress:
  - port: {{number: {port}, name: http, protocol: HTTP}}
    bind: {NODE}
    defaultEndpoint: 127.0.0.1:{app.port}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {SERVED}}}
spec:
  hosts: [{SERVED}]
  http:
  - route: [{{destination: {{host: {SERVED}}}}}]
    retries: {{attempts: {retries}{", retryOn: 5xx" if retries else ""}}}
"""


@pytest.fixture(scope="module")
def pair(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both sidecars, once the first call is through."""
    directory = tmp_path_factory.mktemp("signals")
    with contextlib.ExitStack() as parts:
        app, port = Backend("api"), free_port()
        parts.callback(app.close)
        telemetry = two_ports()
        control = Control(
            *(directory, "--no-validation", "--scrape-interval", "0", "--state-dir", str(directory / "state")),
            *("--telemetry-listen", f"127.0.0.1:{telemetry}"),
        )
        parts.callback(control.close)
        control.write("api.yaml", policies(app, port))
        control.write("telemetry.yaml", mesh_config(receiver(telemetry), "any ") + receiver(telemetry).services)
        labels = {"app": "api", "version": "v2"}
        server = envoy(control, envoy_binary, directory, "api-1", account="api", labels=labels, metrics_interval=1)
        parts.callback(server.close)
        caller = envoy(
            control, envoy_binary, directory, "web-1", account="web", labels={"app": "web"}, metrics_interval=1
        )
        parts.callback(caller.close)
        server.wait()
        caller.wait()
        until(lambda: caller.stats(rf"cluster.outbound.80..{SERVED};.upstream_cx_total"), what="the cluster is there")
        made = Pair(control, caller, server, app, port)
        made.reach()
        yield made


def test_each_request_and_each_failure_is_counted_once_by_either_side(pair: Pair) -> None:
    """1,000 requests of which 37 failed are 1,000 and 37, on the page and in the metrics."""
    pair.told()
    before = {side: pair.counts(side) for side in SIDES}

    pair.calls(963)
    pair.calls(37, status=500)
    pair.told()

    for side in SIDES:
        requests, errors = before[side]
        assert pair.counts(side) == (requests + 1000, errors + 37)
        assert pair.metric("mesh_requests_total", side) == requests + 1000
        assert pair.metric("mesh_requests_total", side, 'response_class="5xx"') == errors + 37
    # Only what somebody answered took a time.
    assert pair.metric("mesh_request_duration_milliseconds_count", "source") == pair.answered
    assert pair.metric("mesh_request_duration_milliseconds_count", "destination") == pair.answered


def test_row_says_who_called_whom_and_how(pair: Pair) -> None:
    """The source knows its own name and the service, the destination its version; both know whether it is TLS."""
    pair.calls(5)
    pair.told()
    source, destination = pair.row("source"), pair.row("destination")

    assert (source["source"], source["version"]) == ("web.default", "")
    assert (destination["source"], destination["version"]) == ("unknown", "v2")
    assert source["tls_share"] == destination["tls_share"] == 1
    assert 0 <= source["p50"] <= source["p95"] <= source["p99"]
    assert source["request_bytes"] > 0
    assert destination["response_bytes"] > 0


def test_log_entry_of_who_is_called_names_who_proved_to_have_called(pair: Pair) -> None:
    """By its certificate of mesh TLS, which statistics do not tell; the caller's own entry has no need of it."""
    pair.caller.call(SERVED, "/logged")

    def entries() -> dict[bool, dict[str, Any]]:
        lines = map(json.loads, get(pair.control.debug_port, "/debug/logs").splitlines())
        found = {entry["cluster"].startswith("inbound|"): entry for entry in lines if entry["path"] == "/logged"}
        return found if len(found) == 2 else {}

    logged = until(entries, what="both sides log the call")
    assert logged[True]["principal"] == "spiffe://cluster.local/ns/default/sa/web"
    assert logged[False]["principal"] == ""


def test_request_that_was_tried_again_is_one_request_and_its_retries(pair: Pair) -> None:
    """The caller tells of one failure where the service tells of three."""
    pair.control.write("api.yaml", policies(pair.app, pair.port, retries=2))
    until(lambda: _tries(pair) == 3, what="retries are in force")
    requests, errors = pair.told()
    retries, served = pair.row("source")["retries"], pair.row("destination")["requests"]

    pair.calls(10, status=500)
    pair.told()

    assert pair.counts("source") == (requests + 10, errors + 10)
    assert pair.row("source")["retries"] == retries + 20
    assert pair.row("destination")["requests"] == served + 30
    pair.control.write("api.yaml", policies(pair.app, pair.port))
    until(lambda: _tries(pair) == 1, what="retries are no longer in force")


def test_request_whose_caller_waits_to_be_asked_for_the_body_is_one_request(pair: Pair) -> None:
    """Envoy asks for it, by a 100 that it counts among its answers. Such as curl wait, before they send much."""
    pair.told()
    before = pair.row("destination")["requests"]

    with socket.create_connection((NODE, pair.port), timeout=10) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        assert caller.recv(1000).startswith(b"HTTP/1.1 100 ")
        caller.sendall(b"hello")
        assert caller.recv(1000).startswith(b"HTTP/1.1 200 ")
    pair.local -= 1  # it came to the application past the caller's proxy
    pair.told()

    assert pair.row("destination")["requests"] == before + 1


TELEMETRY = """\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  metrics: [{{overrides: [{override}]}}]
"""
VERSION = 'destination_version="v2"'


def test_metric_that_is_disabled_is_gone_at_once_and_comes_back_with_everything_that_was_counted(pair: Pair) -> None:
    """Of the workload that the policy selects, and of no other: web's calls are told by the service still."""
    pair.calls(5)
    pair.told()
    before = [pair.metric("mesh_requests_total", side) for side in SIDES]
    timed = "mesh_request_duration_milliseconds_count"
    others = pair.metric(timed, "source")
    off = "{match: {metric: REQUEST_COUNT}, disabled: true}"

    pair.control.write("telemetry.yaml", TELEMETRY.format(name="web", app="web", override=off))
    until(lambda: not pair.metric("mesh_requests_total", "source"), what="the metric is gone")
    pair.calls(20)
    pair.told()
    meanwhile = [pair.metric("mesh_requests_total", side) for side in SIDES]
    until(lambda: pair.metric(timed, "source") >= others + 20, what="other metrics go on")
    (pair.control.policies / "telemetry.yaml").unlink()
    until(lambda: pair.metric("mesh_requests_total", "source"), what="the metric is back")

    assert meanwhile == [0, before[1] + 20]
    assert [pair.metric("mesh_requests_total", side) for side in SIDES] == [total + 20 for total in before]


def test_label_that_is_taken_away_leaves_the_totals_as_they_are(pair: Pair) -> None:
    """And one that is set is there, on the side of the workload alone."""
    pair.calls(5)
    pair.told()
    before = [pair.metric("mesh_requests_total", side) for side in SIDES]
    tags = "destination_version: {operation: REMOVE}, cell: {value: \"xds.node.metadata.LABELS['app']\"}"
    changed = f"{{match: {{metric: REQUEST_COUNT, mode: SERVER}}, tagOverrides: {{{tags}}}}}"

    pair.control.write("telemetry.yaml", TELEMETRY.format(name="api", app="api", override=changed))
    until(lambda: pair.metric("mesh_requests_total", "destination", 'cell="api"'), what="the label is set")
    pair.calls(5)
    pair.told()

    assert pair.metric("mesh_requests_total", "destination", 'cell="api"') == before[1] + 5
    assert pair.metric("mesh_requests_total", "destination", VERSION) == 0
    assert pair.metric("mesh_request_bytes_total", "destination", VERSION) > 0
    assert pair.metric("mesh_requests_total", "source") == before[0] + 5
    assert pair.metric("mesh_requests_total", "source", "cell=") == 0
    (pair.control.policies / "telemetry.yaml").unlink()
    until(lambda: not pair.metric("mesh_requests_total", "destination", "cell="), what="the label is gone")


def test_restarted_proxy_adds_to_what_was_told_before(pair: Pair) -> None:
    """Its own counters begin at 0; totals go on."""
    pair.calls(50)
    requests, _ = pair.told()
    pair.caller.restart()
    until(lambda: pair.caller.stats(rf"cluster.outbound.80..{SERVED};.upstream_cx_total"), what="the cluster is there")
    pair.reach()

    pair.calls(25)

    assert pair.told()[0] >= requests + 26


def test_restarted_server_counts_from_nothing_and_goes_on(pair: Pair) -> None:
    """Totals begin at 0, which Prometheus takes for what it is; what the proxies had counted does not come again."""
    pair.calls(50)
    pair.told()
    pair.control.kill()
    pair.before, pair.local = pair.app.count, 0
    pair.control.start()
    pair.reach()

    pair.calls(25)

    assert pair.told()[0] == 26 + pair.local


def _tries(pair: Pair) -> int:
    before = pair.app.count
    pair.app.behaviour.status = 500
    assert pair.caller.call(SERVED).status == 500
    pair.app.behaviour.status = 200
    return pair.app.count - before
