"""Tracers other than OpenTelemetry's tell real receivers of whole traces, over two hops and an application between."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy.running import until
from tests.envoy.traced import Providers, Site, started, tracing
from tests.envoy.tracer_backends import Backend, Datadog, SkyWalking, Told, Zipkin, python_of_backends

B3 = ("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags")
HEADERS = {
    "zipkin": ("x-request-id", *B3),
    "datadog": (
        *("x-request-id", "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority"),
        *("x-datadog-tags", "x-datadog-origin"),
    ),
    "skywalking": ("x-request-id", "sw8"),
}
"""What an application has to hand on for each, and nothing else (README.md, "Traces and access logs")."""
HOPS = ("webhook-handler", "worker", "worker", "second")
"""Who tells of a call: its sender, who takes it, sends it on, and takes that."""
CALLS = 20


def service(name: str, protocol: str, port: int) -> str:
    """Where spans are taken."""
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: spans, protocol: {protocol}}}]
  endpoints: [{{address: 127.0.0.1, ports: {{spans: {port}}}}}]
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter for receivers."""
    return python_of_backends(tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module")
def zipkin() -> Iterator[Zipkin]:
    """Zipkin."""
    with contextlib.closing(Zipkin()) as found:
        yield found


@pytest.fixture(scope="module")
def site(zipkin: Zipkin, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Providers of every kind; where they are reached is written by who starts them."""
    told = Providers(
        (
            *(f"{{name: {name}, {name}: {{service: {name}, port: 80}}}}" for name in HEADERS),
            "{name: both, zipkin: {service: zipkin, port: 80, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}}",
        ),
        services=service("zipkin", "HTTP", zipkin.port),
    )
    with started(envoy_binary, tmp_path_factory.mktemp("tracers"), told, "--no-validation") as found:
        yield found


def chain(spans: list[Told]) -> list[str]:
    """Whose spans lead from one to the next; those that are in no chain with the first are left out."""
    below = {span.parent_id: span for span in spans}
    known = {span.span_id for span in spans}
    found = [next(span for span in spans if span.parent_id not in known)]
    while following := below.get(found[-1].span_id):
        found.append(following)
    return [span.service for span in found]


def chains(backend: Backend, path: str) -> dict[str, list[str]]:
    """The chain of each trace, by its id, that is about requests whose path begins so."""
    traces: dict[str, list[Told]] = {}
    for span in backend.told():
        if span.path.startswith(path):
            traces.setdefault(span.trace_id, []).append(span)
    return {trace_id: chain(spans) for trace_id, spans in traces.items()}


def assert_whole(site: Site, name: str, backend: Backend, spans_of_a_hop: int = 1) -> None:
    """So many calls are so many traces, each of which goes all the way, and applications are given its headers."""
    site.observe(tracing(name))
    for application in site.applications.values():
        application.forwards = HEADERS[name]
    whole = [f"{hop}.default" for hop in HOPS for _ in range(spans_of_a_hop)]

    def told() -> bool:
        return sum(len(found) for found in chains(backend, f"/{name}/").values()) == CALLS * len(whole)

    assert site.send("worker", [f"/{name}/{number}" for number in range(CALLS)]) == {200: CALLS}
    with contextlib.suppress(AssertionError):  # what is told then says more
        until(told)

    assert list(chains(backend, f"/{name}/").values()) == [whole] * CALLS
    assert len(backend.told()) == CALLS * len(whole)


def test_zipkin_is_told_of_every_call_in_its_documented_form(site: Site, zipkin: Zipkin) -> None:
    assert_whole(site, "zipkin", zipkin)

    assert zipkin.mistakes == []
    given = site.applications["second"].headers("/zipkin/0")
    assert given["x-b3-traceid"] in chains(zipkin, "/zipkin/")
    assert given["x-b3-sampled"] == "1"


@pytest.mark.parametrize(("sampled", "traced"), [("1", True), ("0", False)])
def test_b3_of_the_caller_is_gone_on_with_and_obeyed(site: Site, zipkin: Zipkin, sampled: str, traced: bool) -> None:
    """In its form: applications are given many headers or the one, as they came."""
    site.observe(tracing("zipkin"))
    trace_id, span_id, path = secrets.token_hex(16), secrets.token_hex(8), f"/b3/{sampled}/"
    headers = {"x-b3-traceid": trace_id, "x-b3-spanid": span_id, "x-b3-sampled": sampled}

    site.send("second", [f"{path}many"], headers)
    site.send("second", [f"{path}one"], {"b3": f"{trace_id}-{span_id}-{sampled}"})
    site.send("second", [f"/after{path}"] * 5)  # as many as Envoy gathers before it tells
    until(lambda: len({span.service for span in zipkin.told() if span.path == f"/after{path}"}) == 2)

    told = [span for span in zipkin.told() if span.path.startswith(path)]
    assert [span.trace_id for span in told] == ([trace_id] * 4 if traced else [])
    many = site.applications["second"].headers(f"{path}many")
    assert (many["x-b3-traceid"], many["x-b3-sampled"]) == (trace_id, sampled)
    one = site.applications["second"].headers(f"{path}one")["b3"].split("-")
    assert (one[0], one[2]) == (trace_id, sampled)


def test_zipkin_with_w3c_goes_on_with_a_traceparent_and_writes_both(site: Site, zipkin: Zipkin) -> None:
    """Option USE_B3_WITH_W3C_PROPAGATION."""
    site.observe(tracing("both"))
    trace_id = secrets.token_hex(16)

    site.send("second", ["/both"], {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"})

    given = site.applications["second"].headers("/both")
    assert given["x-b3-traceid"] == given["traceparent"].split("-")[1] == trace_id


def test_datadogs_own_test_agent_takes_every_call(
    site: Site, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It answers 400 to what fails its checks of a trace."""
    with contextlib.closing(Datadog(python, tmp_path_factory.mktemp("datadog"))) as agent:
        site.control.write("datadog.yaml", service("datadog", "HTTP", agent.port))

        assert_whole(site, "datadog", agent)

        given = site.applications["second"].headers("/datadog/0")
        assert given["x-datadog-trace-id"] in chains(agent, "/datadog/")
        assert given["x-datadog-sampling-priority"] == "1"


def test_a_server_of_skywalkings_protocol_takes_every_call(
    site: Site, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each hop has an entry and an exit; the segments refer to each other as sw8 says."""
    with contextlib.closing(SkyWalking(python, tmp_path_factory.mktemp("skywalking"))) as server:
        site.control.write("skywalking.yaml", service("skywalking", "GRPC", server.port))

        assert_whole(site, "skywalking", server, spans_of_a_hop=2)

        assert site.applications["second"].headers("/skywalking/0")["sw8"].startswith("1-")
