"""The steps that the demo walks through: each changes one thing, watches real traffic, and says what it saw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xds_server.demo.layout import CLUSTER, WORKERS, worker_policies
from xds_server.demo.load import Load, Summary, summary
from xds_server.demo.machine import Machine, fetch
from xds_server.telemetry.response_flags import in_words


@dataclass(frozen=True, slots=True)
class Result:
    """What a step saw, in one line, and whether that is what it should have seen."""

    passed: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What the steps act on."""

    machine: Machine
    load: Load

    def save(self, text: str) -> float:
        """Save worker-service.yaml as an editor would; gives the time it was saved (monotonic seconds)."""
        path = self.machine.directory / "policies" / "worker-service.yaml"
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text)
        draft.replace(path)
        return time.monotonic()

    def apply(self, text: str, limit: float = 60) -> None:
        """Save worker-service.yaml, and wait until every Envoy has taken what it means."""
        before = self._generation()
        deadline = self.save(text) + limit
        while time.monotonic() < deadline and not (self._generation() > before and self._is_synced()):
            time.sleep(0.05)

    def _generation(self) -> int:
        return int(json.loads(self._debug("/ready") or "{}").get("generation", 0))

    def _is_synced(self) -> bool:
        proxies = json.loads(self._debug("/debug/syncz") or "[]")
        states = [kind["status"] for proxy in proxies for kind in proxy["resources"].values()]
        return bool(states) and set(states) == {"SYNCED"}

    def behave(self, worker: str, **wish: float) -> None:
        """Tell the application of one worker how to behave; nothing makes it good again."""
        sidecar = next(w for w in self.machine.demo.workers if w.name == worker)
        fetch(sidecar.app_port, "/behave", body=dict(wish))

    def watch(self, seconds: float) -> Summary:
        """Traffic of the next `seconds`."""
        start = time.monotonic()
        time.sleep(seconds)
        return summary(self.load.since(start))

    def gather(self, count: int, limit: float = 60) -> Summary:
        """Traffic from now on, until so many requests have ended."""
        start = time.monotonic()
        while len(self.load.since(start)) < count and time.monotonic() < start + limit:
            time.sleep(0.1)
        return summary(self.load.since(start))

    def until(self, seen: Callable[[Summary], bool], *, window: float, limit: float = 60) -> Summary:
        """The first window of traffic that `seen` accepts; the last one if none did in `limit` seconds."""
        deadline = time.monotonic() + limit
        while True:
            window_seen = self.watch(window)
            if seen(window_seen) or time.monotonic() > deadline:
                return window_seen

    def stat(self, name: str) -> int:
        """One counter or gauge of webhook-handler's Envoy about worker-service."""
        port = self.machine.demo.webhook_handler.admin_port
        text = fetch(port, f"/stats?filter=worker-service.*{name}$") or ""
        return sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if line.partition(":")[0].endswith(name))

    def traces(self, service: str) -> list[dict[str, Any]]:
        """Traces of late in which `service` has a part, the latest first."""
        found: list[dict[str, Any]] = json.loads(self._debug(f"/debug/traces?service={service}") or "[]")
        return found

    def received(self) -> int:
        """Spans that xds-server was sent since its start."""
        counted = (line.partition(" ") for line in (self._debug("/metrics") or "").splitlines())
        return next((int(float(count)) for name, _, count in counted if name == "xds_server_spans_received_total"), 0)

    def logged(self, service: str) -> list[dict[str, Any]]:
        """Access log entries of calls to `service`."""
        return [json.loads(line) for line in (self._debug(f"/debug/logs?service={service}") or "").splitlines()]

    def _debug(self, path: str) -> str | None:
        return fetch(self.machine.demo.debug_port, path)

    def problems(self) -> list[dict[str, object]]:
        """Errors that the server reports now."""
        found = json.loads(self._debug("/debug/problems") or "[]")
        return [problem for problem in found if problem["severity"] == "error"]


def round_robin(stage: Stage) -> Result:
    """Every worker takes its turn."""
    stage.until(lambda s: len(s.by_worker) == len(WORKERS), window=0.5)
    seen = stage.watch(2)
    counts = [seen.by_worker[worker] for worker in WORKERS]
    # Of the requests under way at either end, one for each client, it is chance which worker was theirs.
    even = min(counts) > 0 and max(counts) - min(counts) <= max(2 * stage.load.clients, sum(counts) // 50)
    return Result(even and not seen.failed, f"{_shares(seen)}; {seen.failed} failed")


def weights(stage: Stage) -> Result:
    """A saved file moves traffic: nine parts to v1 (worker-1 and worker-2), one to v2 (worker-3)."""
    before = time.monotonic()
    stage.apply(worker_policies(weights=(90, 10)))
    took = time.monotonic() - before
    seen = stage.gather(1000)
    share = seen.by_worker[WORKERS[2]] / max(seen.total, 1)
    passed = 0.04 < share < 0.17 and not seen.failed
    return Result(
        passed, f"worker-3 took {share:.0%} of {seen.total}, {took:.1f} s after the save; {seen.failed} failed"
    )


def ejection(stage: Stage) -> Result:
    """A worker that answers 500 is left out after three of them."""
    stage.save(worker_policies())
    stage.until(lambda s: s.by_worker[WORKERS[2]] > s.total * 0.25, window=0.5)
    ejected_before = stage.stat("ejections_enforced_total")
    start = time.monotonic()
    stage.behave("worker-2", status=500)

    def is_left_out(window: Summary) -> bool:
        has_been = stage.stat("ejections_enforced_total") > ejected_before
        return has_been and window.total > 0 and not window.by_worker["worker-2"]

    left_out = is_left_out(stage.until(is_left_out, window=0.5))
    seen = summary(stage.load.since(start))
    ejected = stage.stat("ejections_enforced_total") - ejected_before
    passed = left_out and seen.failed >= 1
    return Result(
        passed, f"{seen.failed} failed before worker-2 was ejected ({ejected} ejection), {seen.total} requests"
    )


def retries(stage: Stage) -> Result:
    """With three retries in the file the failing worker is nobody's trouble any more."""
    stage.apply(worker_policies(retries='{attempts: 3, retryOn: "5xx,connect-failure,refused-stream"}'))
    stage.until(lambda s: s.total > 0 and not s.failed, window=0.5)
    before = stage.stat("upstream_rq_retry")
    start = time.monotonic()
    stage.until(lambda _: stage.stat("upstream_rq_retry") > before, window=0.5)
    seen = summary(stage.load.since(start))
    hidden = stage.stat("upstream_rq_retry") - before
    stage.behave("worker-2")
    return Result(
        hidden > 0 and not seen.failed, f"{hidden} retries hid every failure: {seen.failed} of {seen.total} failed"
    )


def timeout(stage: Stage) -> Result:
    """A worker that takes ten seconds meets a timeout of one."""
    stage.apply(worker_policies(timeout="1s"))
    stage.until(lambda s: len(s.by_worker) == len(WORKERS) and not s.failed, window=0.5)
    start = time.monotonic()
    stage.behave("worker-3", delay=10)
    stage.until(lambda s: bool(s.by_status[504]), window=1.5)
    seen = summary(stage.load.since(start))
    stage.behave("worker-3")
    late = seen.by_status[504]
    return Result(
        late > 0 and seen.slowest < 10, f"{late} answered 504; the slowest of {seen.total} took {seen.slowest:.2f} s"
    )


def told(stage: Stage) -> Result:
    """Every request is one tree of spans, and the access log says in words what became of those that were late."""
    start, trace, late = time.monotonic(), None, 0
    while (trace is None or not late) and time.monotonic() < start + 60:
        time.sleep(0.5)
        trace = next((each for each in stage.traces("worker.default") if len(each["services"]) > 1), None)
        late = sum("UT" in entry["flags"] for entry in stage.logged("worker-service"))
    if trace is None or not late:
        return Result(False, f"{'a' if trace else 'no'} trace, {late} entries with flag UT")
    services = " → ".join(name.removesuffix(".default") for name in trace["services"])
    all_came, collected = by_collector(stage)
    seen = f"{services}: {trace['spans']} spans, {trace['milliseconds']:.1f} ms"
    return Result(all_came, f"{seen} · {collected} · the log says {late} times: {in_words('UT')}")


def by_collector(stage: Stage, limit: float = 60) -> tuple[bool, str]:
    """Whether what the collector took is what xds-server has, and that in words; more comes in all the while."""
    tally = stage.machine.collected
    if tally is None:
        return True, "no collector in between"
    taken, came, deadline = tally.spans, -1, time.monotonic() + limit
    while not 0 < taken <= came <= tally.spans and time.monotonic() < deadline:
        time.sleep(0.1)
        came = stage.received()
    if 0 < taken <= came <= tally.spans:
        return True, f"the collector took {taken} spans and passed on all"
    return False, f"the collector took {tally.spans} spans, {came} came"


def bad_edit(stage: Stage) -> Result:
    """A broken file is refused with its message, and traffic does not notice."""
    good = worker_policies()
    stage.save(good)
    stage.until(lambda s: len(s.by_worker) == len(WORKERS) and not s.failed, window=0.5)
    start = time.monotonic()
    stage.save(good.replace("simple: ROUND_ROBIN", "simpel: ROUND_ROBIN"))
    found: list[dict[str, object]] = []
    while not found and time.monotonic() < start + 60:
        time.sleep(0.05)
        found = stage.problems()
    seen = stage.watch(1.5)
    stage.save(good)
    message = "{file}:{line}:{column} {field}: {message}".format(**found[0]) if found else "no problem was reported"
    return Result(bool(found) and not seen.failed, f"{message} · {seen.failed} of {seen.total} failed meanwhile")


STEPS: tuple[tuple[str, Callable[[Stage], Result]], ...] = (
    ("Round robin over three workers", round_robin),
    ("Edit a file: weights 90 to 10", weights),
    ("worker-2 answers 500 and is ejected", ejection),
    ("Edit a file: retries hide it", retries),
    ("worker-3 is slow and meets the timeout", timeout),
    ("Nothing is instrumented, all is told", told),
    ("A bad edit is refused, traffic goes on", bad_edit),
)


def _shares(seen: Summary) -> str:
    return ", ".join(f"{worker} {seen.by_worker[worker]}" for worker in WORKERS)


def hosts(stage: Stage) -> dict[str, tuple[int, int, bool]]:
    """By worker, as webhook-handler's Envoy counts them: requests, errors, and whether it is ejected now."""
    admin = stage.machine.demo.webhook_handler.admin_port
    clusters = json.loads(fetch(admin, "/clusters?format=json") or "{}").get("cluster_statuses", [])
    by_port = {worker.inbound_port: worker.name for worker in stage.machine.demo.workers}
    found = {}
    for host in next((c.get("host_statuses", []) for c in clusters if c["name"] == CLUSTER), []):
        counts = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"]}
        name = by_port.get(host["address"]["socket_address"]["port_value"], "?")
        ejected = bool(host.get("health_status", {}).get("failed_outlier_check"))
        found[name] = (counts.get("rq_total", 0), counts.get("rq_error", 0), ejected)
    return found
