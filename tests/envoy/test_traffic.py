"""What policies promise, counted in real requests that a real Envoy sent to real backends."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tests.chance import likely
from tests.envoy.running import Backend, Envoy, Running, free_port, get, until


def service(host: str, backends: Sequence[Backend], *, extra: Sequence[str] = ()) -> str:
    """A ServiceEntry on port 80 with an inline endpoint for each backend; `extra` gives more fields for each."""
    lines = [
        f"  - {{address: 127.0.0.1, ports: {{http: {backend.port}}}{', ' + more if more else ''}}}"
        for backend, more in zip(backends, extra or [""] * len(backends), strict=True)
    ]
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
{chr(10).join(lines)}
---
"""


def rule(host: str, policy: str, subsets: str = "") -> str:
    """A DestinationRule with this trafficPolicy (YAML flow)."""
    more = f"\n  subsets: {subsets}" if subsets else ""
    return f"""\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}}}
spec:
  host: {host}
  trafficPolicy: {policy}{more}
---
"""


def routes(host: str, http: str) -> str:
    """A VirtualService with this http list (YAML flow)."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  http: {http}
"""


class Held:
    """Requests that a backend answers when the block ends, and not before.

    Attributes:
        statuses: of their answers, once the block has ended.
    """

    def __init__(self, caller: Envoy, host: str, backend: Backend) -> None:
        self.statuses: list[int] = []
        self._caller, self._host, self._backend = caller, host, backend
        self._threads: list[threading.Thread] = []
        self._release = threading.Event()

    def another(self) -> None:
        """Send one more."""
        self._threads.append(threading.Thread(target=self._call))
        self._threads[-1].start()

    def _call(self) -> None:
        self.statuses.append(self._caller.call(self._host).status)

    def __enter__(self) -> Held:
        self._backend.behaviour.hold = self._release
        return self

    def __exit__(self, *_: object) -> None:
        self._backend.behaviour.hold = None
        self._release.set()
        for thread in self._threads:
            thread.join()


def test_round_robin_gives_every_endpoint_the_same(mesh: Running) -> None:
    """90 requests over three endpoints are 30 each."""
    host, backends = "round-robin", [mesh.backend(f"rr{n}") for n in range(3)]
    mesh.apply(host, service(host, backends) + rule(host, "{loadBalancer: {simple: ROUND_ROBIN}}"), host=host)

    assert mesh.caller.calls(90, host) == {"rr0": 30, "rr1": 30, "rr2": 30}


def test_least_request_avoids_the_busy_endpoint(mesh: Running) -> None:
    """Envoy compares two endpoints picked at random: the one that is busy gets a quarter of the rest, not a half."""
    host, backends = "least-request", [mesh.backend("busy"), mesh.backend("idle")]
    mesh.apply(host, service(host, backends) + rule(host, "{loadBalancer: {simple: LEAST_CONN}}"), host=host)
    enough = backends[0].count + 10
    with Held(mesh.caller, host, backends[0]) as held:

        def busy() -> bool:
            held.another()
            return backends[0].count >= enough

        until(busy, what="requests are under way at the busy endpoint")
        backends[0].behaviour.hold = None

        answers = mesh.caller.calls(600, host)

    assert answers["busy"] in likely(600, 0.25)


def test_weights_split_traffic(mesh: Running) -> None:
    """A route of 80 to 20 over two subsets gives about that, and an edited file another share, with no restart."""
    host, backends = "weighted", [mesh.backend("v1"), mesh.backend("v2")]
    entry = service(host, backends, extra=["labels: {version: v1}", "labels: {version: v2}"])
    subsets = rule(host, "{}", "[{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]").replace(
        "  trafficPolicy: {}\n", ""
    )

    def split(one: int, two: int) -> str:
        return entry + subsets + routes(host, f"""
  - route:
    - {{destination: {{host: {host}, subset: v1}}, weight: {one}}}
    - {{destination: {{host: {host}, subset: v2}}, weight: {two}}}""")  # fmt: skip

    mesh.apply(host, split(80, 20), host=host)
    shared = mesh.caller.calls(500, host)
    mesh.apply(host, split(0, 100))
    until(lambda: mesh.caller.calls(10, host) == {"v2": 10}, what="the edited weights are in force")

    assert shared["v2"] in likely(500, 0.2)


def test_own_region_is_preferred_and_the_next_takes_over(mesh: Running) -> None:
    """The caller stands in region west: all goes there while it lives, and to east once west is ejected."""
    host, backends = "regional", [mesh.backend("west"), mesh.backend("east")]
    entry = service(host, backends, extra=["locality: west/a", "locality: east/b"])
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 600s, maxEjectionPercent: 100}}"
    )
    mesh.apply(host, entry + rule(host, policy) + routes(host, f"[{{route: [{{destination: {{host: {host}}}}}], "
                                                               "retries: {attempts: 0}}]"), host=host)  # fmt: skip
    near = mesh.caller.calls(30, host)
    backends[0].behaviour.status = 500

    assert near == {"west": 30}
    until(lambda: mesh.caller.calls(30, host) == {"east": 30}, what="east takes over, in each of Envoy's threads")


def test_connection_pool_limit_breaks_the_circuit(mesh: Running) -> None:
    """One connection and one pending request allowed: of ten at once, eight are answered 503 by Envoy itself.

    The first two are in their places before the others come: a request that waits for its connection is pending too.
    """
    host, backend = "limited", mesh.backend("limited")
    policy = "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}"
    mesh.apply(host, service(host, [backend]) + rule(host, policy) + routes(
        host, f"[{{route: [{{destination: {{host: {host}}}}}], retries: {{attempts: 0}}}}]"), host=host)  # fmt: skip
    until(lambda: mesh.caller.stats(f"cluster.outbound.80..{host}.*cx_open")
          or mesh.caller.stats(f"{host}.*circuit_breakers"), what="the cluster has counters")  # fmt: skip
    enough = backend.count + 1
    with Held(mesh.caller, host, backend) as held:
        held.another()
        until(lambda: backend.count == enough, what="a request is under way")
        held.another()
        until(lambda: any(mesh.caller.stats(f"{host}.*rq_pending_active").values()), what="another waits for it")

        refused = [mesh.caller.call(host).status for _ in range(8)]

    assert refused == [503] * 8
    assert held.statuses == [200, 200]
    assert sum(mesh.caller.stats(f"{host}.*upstream_rq_pending_overflow").values()) == 8


def test_failing_endpoint_is_ejected(mesh: Running) -> None:
    """Three 500s in a row and the endpoint gets nothing more."""
    host, backends = "ejecting", [mesh.backend("sound"), mesh.backend("broken")]
    policy = ("{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, interval: 1s, "
              "baseEjectionTime: 600s, maxEjectionPercent: 50}}")  # fmt: skip
    mesh.apply(host, service(host, backends) + rule(host, policy) + routes(
        host, f"[{{route: [{{destination: {{host: {host}}}}}], retries: {{attempts: 0}}}}]"), host=host)  # fmt: skip
    backends[1].behaviour.status = 500

    assert sorted(mesh.caller.call(host).status for _ in range(6)) == [200] * 3 + [500] * 3
    # Envoy counts in a worker thread and ejects in the main one.
    until(lambda: any(mesh.caller.stats(f"{host}.*ejections_active").values()), what="the endpoint is ejected")
    assert mesh.caller.calls(20, host) == {"sound": 20}


def test_retry_hides_a_failing_endpoint(mesh: Running) -> None:
    """One endpoint of two always answers 500; with retries on 5xx no caller ever sees one."""
    host, backends = "retrying", [mesh.backend("good"), mesh.backend("bad")]
    mesh.apply(host, service(host, backends) + rule(host, "{loadBalancer: {simple: ROUND_ROBIN}}") + routes(
        host, f"[{{route: [{{destination: {{host: {host}}}}}], retries: {{attempts: 3, retryOn: 5xx}}}}]"
    ), host=host)  # fmt: skip
    backends[1].behaviour.status = 500
    before = backends[1].count

    assert mesh.caller.calls(30, host) == {"good": 30}
    assert backends[1].count - before >= 10


def test_retry_attempts_are_counted_by_the_backend(mesh: Running) -> None:
    """Attempts: 3 means that a request which always fails is sent four times."""
    host, backend = "thrice", mesh.backend("thrice")
    mesh.apply(host, service(host, [backend]) + routes(
        host, f"[{{route: [{{destination: {{host: {host}}}}}], retries: {{attempts: 3, retryOn: 5xx}}}}]"
    ), host=host)  # fmt: skip
    backend.behaviour.status = 500
    before = backend.count

    answer = mesh.caller.call(host)

    assert (answer.status, backend.count - before) == (500, 4)


def test_timeout_ends_a_slow_request(mesh: Running) -> None:
    """A backend that does not answer meets a timeout of half a second: 504."""
    host, backend = "slow", mesh.backend("slow")
    mesh.apply(host, service(host, [backend]) + routes(
        host, f"[{{route: [{{destination: {{host: {host}}}}}], timeout: 0.5s}}]"), host=host)  # fmt: skip
    backend.behaviour.hold = release = threading.Event()

    answer = mesh.caller.call(host)
    release.set()

    assert answer.status == 504


def test_no_timeout_is_the_default(mesh: Running) -> None:
    """Envoy's own default would end a request after 15 s; Istio's is none, and the route says so."""
    host, backend = "patient", mesh.backend("patient")
    mesh.apply(host, service(host, [backend]), host=host)
    backend.behaviour.delay = 15.5

    assert mesh.caller.call(host).status == 200


def test_consistent_hash_keeps_a_user_at_one_endpoint(mesh: Running) -> None:
    """Requests that carry the same header value reach the same endpoint, and different values spread."""
    host, backends = "hashed", [mesh.backend(f"hash{n}") for n in range(4)]
    mesh.apply(host, service(host, backends) + rule(
        host, "{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}"), host=host)  # fmt: skip

    by_user = {
        user: {mesh.caller.call(host, headers={"x-user": user}).body for _ in range(3)}
        for user in (str(number) for number in range(64))
    }

    assert all(len(endpoints) == 1 for endpoints in by_user.values())
    assert len(set.union(*by_user.values())) >= 3


@pytest.mark.parametrize("path", ["/a", "/b"])
def test_unknown_destination_passes_through(mesh: Running, path: str) -> None:
    """ALLOW_ANY: a host that no policy names is called where its address says."""
    backend = mesh.backend("outside")

    answer = mesh.caller.call(f"127.0.0.1:{backend.port}", path)

    assert (answer.status, answer.body) == (200, "outside")
    assert backend.behaviour.requests[-1][1] == path


def test_connections_go_where_tcp_rules_send_them(mesh: Running) -> None:
    """By weight, and none to the service itself."""
    one, two = mesh.backend("one"), mesh.backend("two")
    port = free_port()
    entry = service("tcp-routes", [one, two], extra=["labels: {v: a}", "labels: {v: b}"])
    entry = entry.replace("number: 80, name: http, protocol: HTTP", f"number: {port}, name: http, protocol: TCP")
    policy = rule(
        "tcp-routes", "{loadBalancer: {simple: ROUND_ROBIN}}", "[{name: a, labels: {v: a}}, {name: b, labels: {v: b}}]"
    )
    tcp = "[{route: [{destination: {host: tcp-routes, subset: b}}]}]"
    mesh.apply("tcp-routes", entry + policy + routes("tcp-routes", "").replace("http: ", f"tcp: {tcp}"))

    until(lambda: get(port, "/") == "two", what="a connection is routed")

    assert {get(port, "/") for _ in range(10)} == {"two"}


def test_wildcard_host_is_looked_up_by_its_own_name(mesh: Running) -> None:
    """The name of each request, of which nothing was known before."""
    backend = mesh.backend("wild")
    mesh.apply(
        "wild",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: wild}\n"
        "spec: {hosts: ['*.wild.localhost'], resolution: DYNAMIC_DNS, "
        f"ports: [{{number: {backend.port}, name: http, protocol: HTTP}}]}}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: wild}\n"
        "spec: {hosts: ['*.wild.localhost'], http: [{route: [{destination: {host: '*.wild.localhost'}}],"
        " headers: {request: {set: {x-by: policy}}}}]}\n",
    )

    def asked() -> str:
        assert mesh.caller.call(f"a.wild.localhost:{backend.port}").body == "wild"
        return backend.behaviour.requests[-1][2].get("x-by", "")

    assert until(asked, what="a name is looked up for the service, not for an unknown host") == "policy"


def test_paths_are_normalized_and_clusters_called_as_the_mesh_says(mesh: Running) -> None:
    """Two slashes stay two unless MeshConfig merges them; in statistics a cluster is called by the pattern."""
    backend = mesh.backend("paths")
    mesh.apply("paths", service("paths", [backend]), host="paths")

    def asked() -> str:
        mesh.caller.call("paths", "/a//b")
        return backend.behaviour.requests[-1][1]

    assert asked() == "/a//b"
    config = mesh.control.write(
        "mesh.yaml",
        'pathNormalization: {normalization: MERGE_SLASHES}\noutboundClusterStatName: "%SERVICE%_at_%SERVICE_PORT%"\n',
    )
    try:
        until(lambda: asked() == "/a/b", what="slashes are merged")
        until(
            lambda: any(mesh.caller.stats(r"^cluster\.paths_at_80.*upstream_rq_total").values()), what="it is counted"
        )
    finally:
        config.unlink()
    until(lambda: asked() == "/a//b", what="slashes are left alone again")
