"""How calls of gRPC end is what proxies tell of them, though HTTP calls all of them 200."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.envoy.running import Control, Envoy, envoy, free_port, get, until
from tests.patience import PATIENCE

SERVED = "shop-grpc"
OK, INVALID_ARGUMENT, UNAVAILABLE = "0", "3", "14"
SIDES = ("source", "destination")
NODE = "127.0.4.3"
"""Where the serving sidecar listens."""
STATUSES = {
    b"OK": grpc.StatusCode.OK,
    b"INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    b"DOWN": grpc.StatusCode.UNAVAILABLE,
}


class GrpcApp:
    """A gRPC server whose one method ends with the status that it is asked for, "SLOW" too late for anybody.

    Attributes:
        calls: how many it got that were not slow.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Ends", {"As": handler})])
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _answer(self, wanted: bytes, context: Any) -> bytes:
        if wanted == b"SLOW":
            time.sleep(PATIENCE / 60)
            return wanted
        self.calls += 1
        if STATUSES[wanted] is not grpc.StatusCode.OK:
            context.abort(STATUSES[wanted], "as it was asked")
        return wanted

    def close(self) -> None:
        """Stop at once."""
        self._server.stop(None)


def call(caller: Envoy, host: str, wanted: bytes, times: int, **headers: str) -> set[str]:
    """How so many calls by way of a proxy end."""
    ends = set()
    address, options = f"127.0.0.1:{caller.proxy_port}", [("grpc.default_authority", f"{host}:80")]
    with grpc.insecure_channel(address, options=options) as channel:
        method = channel.unary_unary("/test.Ends/As")
        for _ in range(times):
            try:
                method(wanted, timeout=PATIENCE, metadata=tuple(headers.items()))
                ends.add(OK)
            except grpc.RpcError as error:
                ends.add(str(error.code().value[0]))
    return ends


POLICIES = f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {SERVED}}}
spec:
  hosts: [{SERVED}]
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: api}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: api-1}}
spec: {{address: {NODE}, ports: {{grpc: PORT}}, labels: {{app: api}}, serviceAccount: api}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {SERVED}}}
spec: {{host: {SERVED}, subsets: [{{name: none, labels: {{version: none}}}}]}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: api}}
spec:
  workloadSelector: {{labels: {{app: api}}}}
  ingress:
  - port: {{number: PORT, name: grpc, protocol: GRPC}}
    bind: {NODE}
    defaultEndpoint: 127.0.0.1:APP
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {SERVED}}}
spec:
  hosts: [{SERVED}]
  http:
  - match: [{{headers: {{route: {{exact: again}}}}}}]
    route: [{{destination: {{host: {SERVED}}}}}]
    retries: {{attempts: 2, retryOn: unavailable}}
  - match: [{{headers: {{route: {{exact: none}}}}}}]
    route: [{{destination: {{host: {SERVED}, subset: none}}}}]
    retries: {{attempts: 0}}
  - match: [{{headers: {{route: {{exact: hasty}}}}}}]
    route: [{{destination: {{host: {SERVED}}}}}]
    retries: {{attempts: 0}}
    timeout: 0.1s
  - match: [{{headers: {{route: {{exact: aborted}}}}}}]
    route: [{{destination: {{host: {SERVED}}}}}]
    fault: {{abort: {{grpcStatus: UNAVAILABLE, percentage: {{value: 100}}}}}}
  - route: [{{destination: {{host: {SERVED}}}}}]
    retries: {{attempts: 0}}
"""


@dataclass(frozen=True)
class Told:
    """What one side tells: on the page, and in the metrics by gRPC's status."""

    requests: int
    errors: int
    ends: dict[str, float]

    def __sub__(self, before: Told) -> Told:
        more = {code: count - before.ends.get(code, 0) for code, count in self.ends.items()}
        changed = {code: count for code, count in more.items() if count}
        return Told(self.requests - before.requests, self.errors - before.errors, changed)


@dataclass
class Site:
    """A calling and a serving sidecar that speak mesh TLS, under one server; reports come every second."""

    control: Control
    caller: Envoy
    server: Envoy
    app: GrpcApp
    sent: int = 0
    """Calls so far that nothing aborted."""
    aborted: int = 0

    def call(self, wanted: bytes, times: int = 1, **headers: str) -> set[str]:
        """How so many calls end, through both sidecars."""
        self.sent += times
        return call(self.caller, SERVED, wanted, times, **headers)

    def total(self, reporter: str, what: str) -> int:
        """What one side tells of those calls, as the page has it; of any subset."""
        found = self.control.debug("/debug/traffic?format=json")
        assert isinstance(found, list)
        return sum(row[what] for row in found if (row["reporter"], row["destination"]) == (reporter, SERVED))

    def ends(self, reporter: str) -> dict[str, float]:
        """Calls by gRPC's status, in the metrics."""
        found: dict[str, float] = {}
        for line in get(self.control.debug_port, "/metrics").splitlines():
            if line.startswith("mesh_grpc_responses_total{") and f'reporter="{reporter}"' in line:
                assert f'destination_service="{SERVED}"' in line
                labels, value = line.rsplit(" ", 1)
                code = labels.partition('grpc_response_status="')[2].partition('"')[0]
                found[code] = found.get(code, 0) + float(value)
        return found

    def told(self, requests: int, served: int) -> dict[str, Told]:
        """What each side tells, once they tell of so many requests: all of them, and those that came through."""
        wanted = dict(zip(SIDES, (requests, served), strict=True))

        def is_told() -> bool:
            ended = {side: sum(self.ends(side).values()) for side in SIDES}
            aborted = {"source": self.aborted, "destination": 0}
            return all(self.total(side, "requests") == ended[side] - aborted[side] == wanted[side] for side in SIDES)

        until(is_told, what=f"{wanted} are told, both by HTTP and by gRPC")
        return {side: self._told(side) for side in SIDES}

    def _told(self, side: str) -> Told:
        ends = {code: count for code, count in self.ends(side).items() if count}
        return Told(self.total(side, "requests"), self.total(side, "errors"), ends)


@pytest.fixture(scope="module")
def site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both sidecars, once the first call is through."""
    directory = tmp_path_factory.mktemp("grpc-signals")
    with contextlib.ExitStack() as parts:
        app, port = GrpcApp(), free_port()
        parts.callback(app.close)
        control = Control(
            directory, "--no-validation", "--scrape-interval", "0", "--state-dir", str(directory / "state")
        )
        parts.callback(control.close)
        control.write("api.yaml", POLICIES.replace("PORT", str(port)).replace("APP", str(app.port)))
        server = envoy(
            control, envoy_binary, directory, "api-1", account="api", labels={"app": "api"}, metrics_interval=1
        )
        parts.callback(server.close)
        caller = envoy(
            control, envoy_binary, directory, "web-1", account="web", labels={"app": "web"}, metrics_interval=1
        )
        parts.callback(caller.close)
        server.wait()
        caller.wait()
        made = Site(control, caller, server, app)
        until(
            lambda: SERVED in get(caller.admin_port, "/config_dump?resource=dynamic_route_configs"),
            what="the route is there",
        )
        until(lambda: "xds_server_traffic_reporters 2\n" in get(control.debug_port, "/metrics"), what="both report")
        until(lambda: made.call(b"OK") == {OK}, what="a call is through")
        yield made


def test_each_call_that_failed_is_counted_once_by_either_side(site: Site) -> None:
    """100 calls more, of which the server is at fault for 37; that a caller asked what is invalid is no error."""
    before = site.told(site.sent, site.app.calls)

    assert site.call(b"OK", 62) == {OK}
    assert site.call(b"DOWN", 37) == {UNAVAILABLE}
    assert site.call(b"INVALID") == {INVALID_ARGUMENT}
    after = site.told(site.sent, site.app.calls)

    for side in SIDES:
        assert after[side] - before[side] == Told(100, 37, {OK: 62, UNAVAILABLE: 37, INVALID_ARGUMENT: 1})
    assert site.total("source", "grpc_errors") == site.total("source", "errors")


def test_call_that_was_tried_again_is_counted_once_where_it_was_made(site: Site) -> None:
    before = site.told(site.sent, site.app.calls)

    assert site.call(b"DOWN", 5, route="again") == {UNAVAILABLE}
    after = site.told(site.sent, site.app.calls)

    assert after["source"] - before["source"] == Told(5, 5, {UNAVAILABLE: 5})
    assert after["destination"] - before["destination"] == Told(15, 15, {UNAVAILABLE: 15})


def test_call_that_the_proxy_answers_itself_is_one_error_though_it_is_5xx_too(site: Site) -> None:
    before = site.told(site.sent, site.app.calls)

    assert site.call(b"OK", 4, route="none") == {UNAVAILABLE}
    after = site.told(site.sent, site.app.calls)

    assert after["source"] - before["source"] == Told(4, 4, {UNAVAILABLE: 4})
    assert after["destination"] == before["destination"]


def test_call_that_ran_into_a_timeout_is_one_error_though_it_is_5xx_too(site: Site) -> None:
    """The caller's proxy gives it up, and what the other side would have told is not told."""
    before = site.told(site.sent, site.app.calls)

    (status,) = site.call(b"SLOW", 2, route="hasty")
    after = site.told(site.sent, site.app.calls)

    assert after["source"] - before["source"] == Told(2, 2, {status: 2})


def test_injected_abort_is_a_status_of_grpc_and_no_request(site: Site) -> None:
    """As HTTP has it, nobody was asked; the filter for gRPC stands before the one that aborts, as in Istio."""
    before = site.told(site.sent, site.app.calls)

    assert site.call(b"OK", 3, route="aborted") == {UNAVAILABLE}
    site.aborted, site.sent = site.aborted + 3, site.sent - 3
    after = site.told(site.sent, site.app.calls)

    assert (after["source"] - before["source"]).requests == 0
    assert (after["source"] - before["source"]).ends == {UNAVAILABLE: 3}
    assert after["destination"] == before["destination"]
