"""What a real Prometheus makes of real traffic, by the dashboard and the alerts that are shipped: what was sent."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.envoy.prometheus_server import SHIPPED, Prometheus, program
from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, get, until
from tests.envoy.test_grpc_signals import GrpcApp, call
from tests.envoy.test_traffic import Held, routes, rule, service

REQUESTS = {"shop": 1000, "slow": 3, "flaky": 4, "narrow": 5, "gone": 40, "sick": 1, "late": 1, "calls": 8}
FAILED = {"shop": 37, "slow": 3, "flaky": 4, "narrow": 3, "gone": 40, "sick": 1, "late": 0, "calls": 0}
UNAVAILABLE = 2
"""Of those to `calls`, which are of gRPC, how many fail by their status."""
BAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad}
spec: {hosts: [bad], htp: []}
"""


@dataclass
class Site:
    """A caller and what it calls; reports and scrapes come every second.

    Attributes:
        held: active and pending requests of `narrow` while some were.
        slowest: seconds that the slowest request to a service took, as its caller sees it.
        at: when Prometheus had all of it. What panels and alerts say is asked for that time.
    """

    control: Control
    caller: Envoy
    prometheus: Prometheus
    backends: dict[str, Backend]
    held: dict[str, float] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    at: float = 0.0

    def send(self) -> None:
        """REQUESTS, of which FAILED fail."""
        self._hold()
        for number in range(REQUESTS["shop"]):
            self.backends["shop"].behaviour.status = 500 if number < FAILED["shop"] else 200
            self._call("shop")
        for host in ("flaky", "sick"):
            self.backends[host].behaviour.status = 500
        self.backends["slow"].behaviour.delay, self.backends["late"].behaviour.delay = 10, 1.2
        for host in ("slow", "flaky", "gone", "sick", "late"):
            for _ in range(REQUESTS[host]):
                self._call(host)
        began = time.monotonic()
        call(self.caller, "calls", b"OK", REQUESTS["calls"] - UNAVAILABLE)
        call(self.caller, "calls", b"DOWN", UNAVAILABLE)
        self.slowest["calls"] = time.monotonic() - began

    def _call(self, host: str) -> None:
        self.slowest[host] = max(self.slowest.get(host, 0), self.caller.call(host).seconds)

    def _hold(self) -> None:
        """Five requests to a service that takes one and lets one wait, each when the one before is in its place."""
        with Held(self.caller, "narrow", self.backends["narrow"]) as held:
            held.another()
            until(lambda: self.backends["narrow"].count, what="one is active")
            held.another()
            until(lambda: any(self.caller.stats("narrow.*rq_pending_active").values()), what="another waits")
            for _ in range(3):
                self._call("narrow")
            until(self._is_held, what="Prometheus sees what is active and what waits")

    def _is_held(self) -> bool:
        for name in ("active", "pending"):
            found = self.prometheus.query(f'mesh_{name}_requests{{destination_service="narrow"}}')
            self.held[name] = found[0][1] if found else 0
        return min(self.held.values()) > 0

    def shown(self, title: str) -> dict[str, float]:
        """What a panel shows, by legend; its minute is an hour, so that the traffic may take what time it will."""
        return self._answers(target | {"expr": target["expr"].replace("[1m]", "[1h]")} for target in panels()[title])

    def counted(self, title: str) -> dict[str, float]:
        """The same with each rate taken for the total that it is of: exact, where a rate is extrapolated."""
        return self._answers(
            target | {"expr": target["expr"].replace("rate(", "last_over_time(")} for target in panels()[title]
        )

    def _answers(self, targets: Iterable[dict[str, Any]]) -> dict[str, float]:
        return {
            _legend(target["legendFormat"], labels): value
            for target in targets
            for labels, value in self.prometheus.query(target["expr"].replace("$service", ".*"), self.at)
        }


def _legend(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), text).strip()


def panels() -> dict[str, list[dict[str, Any]]]:
    """The queries of the dashboard by the title of their panel."""
    dashboard = json.loads((SHIPPED / "grafana-dashboard.json").read_text())
    return {panel["title"]: panel["targets"] for panel in dashboard["panels"]}


def policies(backends: Mapping[str, Backend], calls: GrpcApp) -> str:
    """A service for each, and one that nobody is behind."""
    texts = [service(name, [backend]) for name, backend in backends.items()]
    gone = service("gone", [backends["shop"]]).replace(f"http: {backends['shop'].port}", f"http: {free_port()}")
    grpc = service("calls", [backends["shop"]]).replace(f"http: {backends['shop'].port}", f"http: {calls.port}")
    once = [
        routes(host, f"[{{route: [{{destination: {{host: {host}}}}}], retries: {{attempts: 0}}, timeout: {timeout}}}]")
        + "---\n"
        for host, timeout in (("slow", "0.1s"), ("gone", "60s"), ("sick", "60s"), ("shop", "60s"), ("calls", "60s"))
    ]
    return "".join([
        *texts, gone, grpc.replace("protocol: HTTP", "protocol: GRPC"), *once,
        routes("flaky", "[{route: [{destination: {host: flaky}}], retries: {attempts: 2, retryOn: 5xx}}]") + "---\n",
        rule("narrow", "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}"),
        rule("sick", "{outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 300s, maxEjectionPercent: 100}}"),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All of it, after the traffic, when Prometheus has all of it."""
    program("prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    with contextlib.ExitStack() as parts:
        backends = {
            name: parts.enter_context(contextlib.closing(Backend(name))) for name in REQUESTS.keys() - {"gone", "calls"}
        }
        calls = parts.enter_context(contextlib.closing(GrpcApp()))
        control = Control(
            directory, "--no-validation", "--scrape-interval", "3", "--state-dir", str(directory / "state")
        )
        parts.callback(control.close)
        prometheus = parts.enter_context(contextlib.closing(Prometheus(directory, control.debug_port)))
        control.write("mesh.yaml", policies(backends, calls))
        caller = parts.enter_context(
            contextlib.closing(envoy(control, envoy_binary, directory, "web", metrics_interval=1))
        )
        caller.wait()
        for host in REQUESTS:
            until(lambda: f'"{host}"' in get(caller.admin_port, "/config_dump?include_eds"), what=f"{host} is known")  # noqa: B023
        until(lambda: "xds_server_traffic_reporters 1" in get(control.debug_port, "/metrics"), what="it reports")
        acknowledged = "xds_server_edit_to_ack_seconds_count"
        (_, before), *_ = until(lambda: prometheus.query(acknowledged), what="Prometheus asks the server")
        control.write("later.yaml", service("later", [backends["shop"]]))
        until(lambda: prometheus.query(acknowledged)[0][1] > before, what="an edit is acknowledged")
        found = Site(control, caller, prometheus, backends)
        found.send()
        totals = {
            "sum(mesh_requests_total)": sum(REQUESTS.values()),
            "sum(mesh_grpc_responses_total)": REQUESTS["calls"],
        }
        for total, count in totals.items():
            until(
                lambda: prometheus.query(total) and prometheus.query(total)[0][1] == count,  # noqa: B023
                what="Prometheus has every request",
            )
        until(lambda: not found.prometheus.query("sum(mesh_active_requests) > 0"), what="and that all have ended")
        found.at = time.time()
        yield found


def each(**some: float) -> dict[str, float]:
    """By service, 0 where nothing is said of it."""
    return {host: some.get(host, 0) for host in REQUESTS}


def test_promtool_takes_what_is_shipped() -> None:
    for check, name in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        done = subprocess.run([program("promtool"), "check", check, SHIPPED / name], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_promtool_has_nothing_against_the_metrics_but_a_name(site: Site) -> None:
    """That is Istio's: istio_request_duration_milliseconds."""
    text = get(site.control.debug_port, "/metrics")
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False, text=True
    )

    assert (done.stdout + done.stderr).splitlines() == [
        'mesh_request_duration_milliseconds use base unit "seconds" instead of "milliseconds"'
    ]


def test_requests_and_failures_are_what_was_sent(site: Site) -> None:
    """1,000 of which 37 failed are 1,000 and 37."""
    assert site.counted("Requests") == {f"web to {host}": count for host, count in REQUESTS.items()}
    assert site.counted("Errors") == {
        **{f"web to {host}": FAILED[host] / count for host, count in REQUESTS.items()},
        "gRPC web to calls": UNAVAILABLE / REQUESTS["calls"],
    }


def test_rates_have_what_new_services_were_asked_first(site: Site) -> None:
    """Nobody called any of them before: the first requests are in the rate, and errors are the same part of it."""
    an_hour = {legend: rate * 3600 for legend, rate in site.shown("Requests").items()}

    assert 1000 <= an_hour["web to shop"] <= 1500  # Prometheus carries a rate on to now, from a few seconds of samples
    assert site.shown("Errors") == pytest.approx(
        {
            **{f"web to {host}": FAILED[host] / REQUESTS[host] for host in REQUESTS},
            "gRPC web to calls": UNAVAILABLE / REQUESTS["calls"],
        }
    )


def test_every_other_signal_is_what_happened(site: Site) -> None:
    def by(**signals: dict[str, float]) -> dict[str, float]:
        return {f"{signal} {host}": count for signal, counts in signals.items() for host, count in counts.items()}

    assert site.counted("Retries and timeouts") == by(retries=each(flaky=8), timeouts=each(slow=3))
    assert site.counted("Limits hit, connections failed") == by(
        requests=each(narrow=3), connections=each(narrow=1), retries=each(), failed=each(gone=40)
    )
    assert site.counted("Ejected endpoints") == {**by(now=each(sick=1)), **by(**{"per second": each(sick=1)})}
    assert site.held == {"active": 1, "pending": 1}
    assert site.counted("Active and pending requests") == by(active=each(), pending=each())
    assert site.counted("Connections that are TLS") == each()
    assert site.shown("Open connections")["shop"] == 1
    assert min(site.counted("Bytes")[f"{way} shop"] for way in ("to", "from")) > 1000 * 100


def test_latencies_are_those_of_the_services(site: Site) -> None:
    found = site.shown("Latency")

    assert 0 < found["p50 shop"] <= found["p95 shop"] <= found["p99 shop"] < 1000
    assert found["p50 late"] > 1000


def test_panels_of_the_server_show_how_it_is(site: Site) -> None:
    assert site.shown("Connected proxies") == {"streams": 1, "refused": 0, "unanswered": 0}
    sent = site.counted("Responses")
    assert sent["CDS sent"] >= 2
    assert {sent[f"{kind} refused"] for kind in ("CDS", "EDS", "LDS", "RDS", "SDS")} == {0}
    assert all(0 < seconds < 60 for seconds in site.shown("From a saved file to the last ACK").values())
    assert site.shown("Problems") == {"error": 0, "warning": 0, "note": 0, "quarantined": 0}
    assert site.shown("The server itself")["pairs of services"] == len(REQUESTS)
    assert 10 < site.shown("The server itself")["MB"] < 2000


def test_no_panel_is_untested() -> None:
    text = Path(__file__).read_text()

    assert [title for title in panels() if f'("{title}")' not in text] == []


def test_services_to_choose_from_are_those_that_were_called(site: Site) -> None:
    found = site.prometheus.api("label/destination_service/values", **{"match[]": "mesh_requests_total"})

    assert found == sorted(REQUESTS)


def test_alerts_find_what_is_wrong_and_nothing_else(site: Site) -> None:
    """As soon as their time has gone by; the last two when a policy is bad, and when the server is gone."""
    rules = [rule for group in site.prometheus.api("rules")["groups"] for rule in group["rules"]]
    about = {r["name"]: {_about(labels) for labels, _ in site.prometheus.query(r["query"], site.at)} for r in rules}
    slow = about.pop("ServiceSlow")
    may_be_slow = {"late", "narrow"} | {host for host, seconds in site.slowest.items() if seconds > 1}

    assert {name: found for name, found in about.items() if found} == {
        "ServiceErrors": {"calls", "flaky", "gone", "narrow", "sick", "slow"},
        "LimitsHit": {"narrow"},
        "EndpointsEjected": {"sick"},
        "ConnectionsFail": {"gone"},
        "ChangesNotValidated": {""},
    }
    assert {"late"} <= slow <= may_be_slow
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    measured = {rule["name"]: re.sub(r" (==|>) [\d.e+]+$", "", rule["query"]) for rule in rules}
    assert [name for name, query in measured.items() if not site.prometheus.query(query, site.at)] == []

    queries = {rule["name"]: rule["query"] for rule in rules}
    site.control.write("bad.yaml", BAD)
    until(lambda: site.prometheus.query(queries["PolicyProblems"]), what="a bad policy is found")
    site.control.kill()
    until(lambda: site.prometheus.query(queries["XdsServerDown"]), what="the server is found to be gone")
    site.control.start()


def _about(labels: Mapping[str, str]) -> str:
    return labels.get("destination_service", "")
