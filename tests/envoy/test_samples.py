"""Istio's sample documents on real traffic: each does what its own text promises.

The documents are read where they are. The services that they speak of, which Kubernetes would know, are ServiceEntries
of these tests, and their endpoints are servers that say which version they are.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import istio
from tests.chance import likely
from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, until
from tests.patience import PATIENCE
from xds_server.bootstrap import NodeOptions
from xds_server.mesh.workload import NodeType
from xds_server.settings import Address

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
BOOKINFO = REFERENCE / "samples" / "bookinfo" / "networking"
VERSIONS = {
    "productpage": ("v1",),
    "reviews": ("v1", "v2", "v3"),
    "ratings": ("v1", "v2", "v2-mysql", "v2-mysql-vm"),
    "details": ("v1", "v2"),
}
INTERNAL = "location: MESH_INTERNAL, resolution: STATIC"
CALLS = 500
ROUTER = "127.9.8.7"
"""An address of the machine that no other workload here has."""

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="Istio's sample documents are not here")


@dataclass
class Samples:
    """A server, a calling Envoy, and backends by service and version."""

    directory: Path
    binary: Path
    control: Control
    caller: Envoy
    parts: contextlib.ExitStack
    backends: dict[str, Backend] = field(default_factory=dict)

    def serve(self, host: str, versions: Iterable[str], *, namespace: str = "default", spec: str = "") -> str:
        """The ServiceEntry of `host`, with a running backend that says "host version" for each version."""
        endpoints = []
        for version in versions:
            name = f"{host} {version}"
            if name not in self.backends:
                self.backends[name] = backend = Backend(name)
                self.parts.callback(backend.close)
            port = self.backends[name].port
            endpoints.append(f"{{address: 127.0.0.1, ports: {{http: {port}}}, labels: {{version: {version}}}}}")
        spec = spec or "ports: [{number: 80, name: http, protocol: HTTP}]"
        given = f"hosts: [{host}], {spec}, endpoints: [{', '.join(endpoints)}], {INTERNAL}"
        return istio("ServiceEntry", given, name=host.replace(".", "-"), namespace=namespace)

    def apply(self, *texts: str) -> None:
        """These documents in place of those of the test before; a call to a host of this time tells when."""
        mark = f"mark-{free_port()}"
        answer = f"hosts: [{mark}], http: [{{directResponse: {{status: 204}}}}]"
        self.control.write("sample.yaml", "\n---\n".join([*texts, istio("VirtualService", answer, name=mark)]))
        until(
            lambda: self.caller.call(mark).status == 204,
            what=f"the sample is in force: {self.control.problems()}",
        )


@pytest.fixture(scope="module")
def samples(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    directory = tmp_path_factory.mktemp("samples")
    with contextlib.ExitStack() as parts:
        control = Control(directory, "--allow-mass-delete")
        parts.callback(control.close)
        labels = {"app": "productpage", "version": "v1"}
        caller = envoy(control, envoy_binary, directory, "productpage", labels=labels)
        parts.callback(caller.close)
        found = Samples(directory, envoy_binary, control, caller.wait(), parts)
        control.write("bookinfo.yaml", "".join(found.serve(host, versions) for host, versions in VERSIONS.items()))
        yield found


def bookinfo(name: str) -> str:
    return (BOOKINFO / f"{name}.yaml").read_text()


def subsets() -> str:
    return bookinfo("destination-rule-all")


def weights(text: str) -> dict[str, int]:
    """Parts per hundred by subset, as the only route of the only document says."""
    (document,) = [each for each in yaml.safe_load_all(text) if each]
    spec: dict[str, Any] = document["spec"]
    (rule,) = spec.get("http") or spec["tcp"]
    return {route["destination"]["subset"]: route["weight"] for route in rule["route"]}


def is_shared(counted: Mapping[str, int], promised: Mapping[str, int], prefix: str) -> bool:
    """Whether each version has as many calls as its part makes likely, and nobody else has any."""
    calls, wanted = sum(counted.values()), {f"{prefix}{version}": part / 100 for version, part in promised.items()}
    near = (counted.get(name, 0) in likely(calls, part) for name, part in wanted.items())
    return all(near) and counted.keys() <= wanted.keys()


@pytest.mark.parametrize("sample", ["reviews-90-10", "reviews-80-20", "reviews-50-v3", "reviews-v2-v3"])
def test_reviews_are_shared_as_their_weights_say(samples: Samples, sample: str, figure: Callable[[str], None]) -> None:
    text = bookinfo(f"virtual-service-{sample}")
    samples.apply(subsets(), text)

    counted = samples.caller.calls(CALLS, "reviews")

    figure(f"{sample}: {dict(counted)} of {CALLS}")
    assert is_shared(counted, weights(text), "reviews ")


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("all-v1", {"productpage": "v1", "reviews": "v1", "ratings": "v1", "details": "v1"}),
        ("reviews-v3", {"reviews": "v3"}),
        ("details-v2", {"details": "v2"}),
        ("ratings-mysql-vm", {"reviews": "v3", "ratings": "v2-mysql-vm"}),
    ],
)
def test_version_that_a_sample_names_has_all_calls(samples: Samples, sample: str, expected: dict[str, str]) -> None:
    samples.apply(subsets(), bookinfo(f"virtual-service-{sample}"))

    for host, version in expected.items():
        assert samples.caller.calls(20, host) == {f"{host} {version}": 20}


@pytest.mark.parametrize(("sample", "others"), [("reviews-test-v2", "v1"), ("reviews-jason-v2-v3", "v3")])
def test_jason_alone_sees_the_version_under_test(samples: Samples, sample: str, others: str) -> None:
    samples.apply(subsets(), bookinfo(f"virtual-service-{sample}"))

    assert samples.caller.calls(20, "reviews", headers={"end-user": "jason"}) == {"reviews v2": 20}
    assert samples.caller.calls(20, "reviews", headers={"end-user": "jasons"}) == {f"reviews {others}": 20}
    assert samples.caller.calls(20, "reviews") == {f"reviews {others}": 20}


def test_ratings_are_late_for_jason_alone(samples: Samples) -> None:
    samples.apply(subsets(), bookinfo("virtual-service-ratings-test-delay"))

    late, others = samples.caller.call("ratings", headers={"end-user": "jason"}), samples.caller.call("ratings")

    assert (late.body, others.body) == ("ratings v1", "ratings v1")
    # Of seven: Envoy counts from when it last looked at the clock, which is some milliseconds before the request.
    assert late.seconds > 6.5 > others.seconds


def test_ratings_fail_for_jason_alone(samples: Samples) -> None:
    samples.apply(subsets(), bookinfo("virtual-service-ratings-test-abort"))
    asked = samples.backends["ratings v1"].count

    assert [samples.caller.call("ratings", headers={"end-user": "jason"}).status for _ in range(5)] == [500] * 5
    assert samples.backends["ratings v1"].count == asked
    assert samples.caller.calls(5, "ratings") == {"ratings v1": 5}


def weighted(samples: Samples) -> str:
    """The document of weights, its two endpoints led to servers of this test."""
    text = (REFERENCE / "config" / "rule-weighted-route.yaml").read_text()
    samples.serve("c-weighted", ("v1", "v2"))
    for address, port, version in (("127.0.0.2", 7072, "v1"), ("127.0.0.3", 7074, "v2")):
        here = f"address: 127.0.0.1\n      ports:\n        http: {samples.backends[f'c-weighted {version}'].port}"
        text = text.replace(f"address: {address}\n      ports:\n        http: {port}", here)
    return text


def test_three_quarters_of_the_calls_go_to_the_first_version(samples: Samples, figure: Callable[[str], None]) -> None:
    samples.apply(weighted(samples))

    counted = samples.caller.calls(CALLS, "c-weighted.extsvc.com")

    figure(f"rule-weighted-route: {dict(counted)} of {CALLS}")
    assert is_shared(counted, {"v1": 75, "v2": 25}, "c-weighted ")


def test_traffic_is_split_by_header_for_callers_of_the_first_version(samples: Samples) -> None:
    """The caller here has the label that the rule asks for."""
    samples.apply(weighted(samples), (REFERENCE / "config" / "rule-content-route.yaml").read_text())

    host = "headers.test.istio.io"
    assert samples.caller.calls(10, host, headers={"version": "v2"}) == {"c-weighted v2": 10}
    assert samples.caller.calls(10, host, headers={"version": "v1"}) == {"c-weighted v1": 10}
    assert samples.caller.calls(10, host) == {"c-weighted v1": 10}


@contextlib.contextmanager
def router(samples: Samples, name: str, gateway: str, namespace: str) -> Iterator[Envoy]:
    """A router that Gateways select by this value of the label `istio`."""
    options = NodeOptions(
        name=name,
        namespace=namespace,
        ip=ROUTER,
        labels={"istio": gateway},
        xds=(Address("127.0.0.1", samples.control.xds_port),),
        admin_port=free_port(),
        node_type=NodeType.ROUTER,
        metrics_interval=0,
    )
    started = Envoy(samples.binary, samples.directory, options)
    try:
        yield started.wait()
    finally:
        started.close()


def way_out(router: str, host: str, namespace: str, ports: dict[int, int]) -> str:
    """The service of an egress router, which listens elsewhere than its callers are told."""
    listed = ", ".join(f"{{number: {n}, name: p{n}, protocol: HTTP, targetPort: {at}}}" for n, at in ports.items())
    selected = "workloadSelector: {labels: {istio: egressgateway}}"
    spec = f"hosts: [{host}], ports: [{listed}], {selected}, {INTERNAL}"
    workload = f"address: {ROUTER}, labels: {{istio: egressgateway}}"
    return istio("ServiceEntry", spec, name="way-out", namespace=namespace) + istio(
        "WorkloadEntry", workload, name=router, namespace=namespace
    )


def test_tcp_connections_are_shared_as_their_weights_say(samples: Samples, figure: Callable[[str], None]) -> None:
    """The sample binds port 31400 of its Gateway, which other documents of the application bring."""
    text = (REFERENCE / "samples" / "tcp-echo" / "tcp-echo-20-v2.yaml").read_text()
    tcp = "ports: [{number: 9000, name: http, protocol: TCP}]"
    versions = "host: tcp-echo, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]"
    server = f"{{port: {{number: 31400, name: tcp, protocol: TCP}}, hosts: ['*'], bind: {ROUTER}}}"
    with router(samples, "ingress", "tcp-ingress", "default"):
        samples.apply(
            text,
            samples.serve("tcp-echo", ("v1", "v2"), spec=tcp),
            istio("DestinationRule", versions, name="tcp-echo"),
            istio("Gateway", f"selector: {{istio: tcp-ingress}}, servers: [{server}]", name="tcp-echo-gateway"),
        )
        until(lambda: said_at(31400), what="the port is open")
        counted = Counter(said_at(31400) for _ in range(CALLS))

    figure(f"tcp-echo-20-v2: {dict(counted)} of {CALLS}")
    assert is_shared(counted, weights(text), "tcp-echo ")


def said_at(port: int) -> str:
    """What a server behind the router says on a connection of its own."""
    with socket.create_connection((ROUTER, port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: client.recv(4096), b""))
    return said.rpartition(b"\r\n\r\n")[2].decode()


def test_calls_leave_by_the_egress_router_and_by_no_other_way(samples: Samples) -> None:
    """Pinned to sidecars and router: when the router is away, calls fail, and the outside is not reached past it."""
    namespace, outside = "testns", "eu.bookinfo.com"
    caller = envoy(samples.control, samples.binary, samples.directory, "inside", namespace=namespace)
    samples.parts.callback(caller.close)
    names = ("egressgateway.yaml", "rule-route-via-egressgateway.yaml")
    documents = [(REFERENCE / "config" / name).read_text() for name in names]
    with router(samples, "egress", "egressgateway", namespace) as way:
        samples.apply(
            *documents,
            way_out("egress", "istio-egressgateway", namespace, {80: free_port(), 443: free_port()}),
            samples.serve(outside, ("far",), namespace=namespace),
        )
        until(lambda: caller.call("egressgateway.bookinfo.com").body == f"{outside} far", what="the way out is open")
        assert sum(way.stats(r"cluster\.outbound.*eu\.bookinfo\.com.*upstream_rq_200").values()) > 0

    until(lambda: caller.call("egressgateway.bookinfo.com").status == 503, what="the way out is closed")
    before = samples.backends[f"{outside} far"].count
    assert Counter(caller.call("egressgateway.bookinfo.com").status for _ in range(10)) == {503: 10}
    assert samples.backends[f"{outside} far"].count == before


def test_all_external_traffic_is_forwarded_through_the_dedicated_router(samples: Samples) -> None:
    """Of the sidecars of a namespace that sees itself alone; a router that is away is never gone around."""
    namespace, service = "exampleegressgw", "istio-egressgateway.istio-system.svc.cluster.local"
    caller = envoy(samples.control, samples.binary, samples.directory, "isolated", namespace=namespace)
    samples.parts.callback(caller.close)
    with router(samples, "dedicated", "egressgateway", "istio-system") as way:
        samples.apply(
            (REFERENCE / "config" / "se-example-gw.yaml").read_text(),
            way_out("dedicated", service, "istio-system", {80: free_port()}),
            samples.serve("httpbin.com", ("far",), namespace=namespace),
        )
        until(lambda: caller.call("httpbin.com").body == "httpbin.com far", what="the way out is open")
        assert sum(way.stats(r"cluster\.outbound.*httpbin\.com.*upstream_rq_200").values()) > 0

    until(lambda: caller.call("httpbin.com").status == 503, what="the way out is closed")
    before = samples.backends["httpbin.com far"].count
    assert Counter(caller.call("httpbin.com").status for _ in range(10)) == {503: 10}
    assert samples.backends["httpbin.com far"].count == before
