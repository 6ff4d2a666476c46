"""What real Envoys tell of real requests, and what this server makes of it: traces are trees, and counts are exact."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.envoy.running import free_port, get, until
from tests.envoy.traced import NAMES, W3C, Site, receiver, started, telemetry, tracing, two_ports

NOWHERE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: nowhere}}
spec:
  hosts: [nowhere]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""
EVERYTHING = tracing("otel")


@pytest.fixture(scope="module")
def site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All of it, every request traced and logged."""
    directory, port = tmp_path_factory.mktemp("telemetry"), two_ports()
    with started(envoy_binary, directory, receiver(port), "--telemetry-listen", f"127.0.0.1:{port}") as found:
        found.observe(EVERYTHING)
        yield found


def chain(tree: dict[str, Any]) -> list[tuple[str, str]]:
    """(service, kind) of each span from the top down, each of which led to one other."""
    found = []
    while True:
        found.append((tree["service"].partition(".")[0], tree["kind"]))
        if not tree["children"]:
            return found
        (tree,) = tree["children"]


def test_a_call_through_three_services_is_one_tree(site: Site) -> None:
    """Five spans: what each takes, and what the first two send on."""
    assert {site.call("/tree") for _ in range(5)} == {200}  # as many as Envoy gathers before it tells
    whole = until(
        lambda: [trace for trace in site.traces(*NAMES) if trace["spans"] == 5], what="all five spans of a call are in"
    )
    tree = site.control.debug(f"/debug/traces?id={whole[0]['id']}")

    assert isinstance(tree, dict)
    (top,) = tree["trees"]
    assert chain(top) == [
        ("webhook-handler", "server"), ("webhook-handler", "client"), ("worker", "server"), ("worker", "client"),
        ("second", "server"),
    ]  # fmt: skip
    assert not tree["failed"]
    assert "second.default" in get(site.control.debug_port, f"/traces?id={whole[0]['id']}")


def test_a_call_of_an_application_that_forwards_nothing_is_a_trace_of_its_own(site: Site) -> None:
    """No proxy can know which request a call is made for."""
    site.applications["worker"].forwards = ()
    try:
        assert {site.call("/split") for _ in range(5)} == {200}
        until(lambda: site.traces("webhook-handler", "worker"), what="a trace ends at the worker")
        until(lambda: site.traces("worker", "second"), what="what the worker calls is another trace")
    finally:
        site.applications["worker"].forwards = W3C


def test_a_thousand_requests_of_which_37_fail_are_told_exactly(site: Site) -> None:
    """Two spans and two entries each: of the proxy that sends it, and of the one that takes it."""
    failing = ("/thousand/fail" if number % 27 == 0 and number < 27 * 37 else "/thousand" for number in range(1000))

    assert site.send("second", failing) == {200: 963, 500: 37}

    def told() -> bool:
        traces = site.traces("webhook-handler", "second")
        return len(traces) == 1000 and sum(trace["spans"] for trace in traces) == 2000

    until(told, what="1,000 traces of two spans")
    assert sum(trace["failed"] for trace in site.traces("webhook-handler", "second")) == 37
    until(lambda: len(site.logged("/thousand")) == 2000, what="2,000 entries")
    for sides in ("outbound|", "inbound|"):
        entries = [entry for entry in site.logged("/thousand") if str(entry["cluster"]).startswith(sides)]
        assert (len(entries), sum(entry["status"] == 500 for entry in entries)) == (1000, 37)


def test_the_command_shows_what_went_wrong_in_words_as_it_happens(site: Site) -> None:
    """Nobody listens where `nowhere` is said to be."""
    site.control.write("nowhere.yaml", NOWHERE.format(port=free_port()))
    until(
        lambda: (
            site.envoys["worker"].call("nowhere", "/unknown-yet")
            and any("UF" in entry["flags"] for entry in site.logged("/unknown-yet"))
        ),
        what="the service is known",
    )
    command = [sys.executable, "-m", "xds_server", "logs", "--follow", "--service", "nowhere"]
    following = subprocess.Popen(
        [*command, "--server", f"127.0.0.1:{site.control.debug_port}"], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert following.stdout is not None
        site.envoys["worker"].call("nowhere", "/called")
        head = next(text for text in following.stdout if "/called" in text)

        assert "503" in head
        assert "worker → nowhere" in head
        assert "no connection to the service" in next(following.stdout)
    finally:
        following.terminate()
        following.communicate()


def test_a_filter_lets_only_what_it_says_be_logged(site: Site) -> None:
    """CEL, in Envoy itself."""
    failures = telemetry('accessLogging: [{filter: {expression: "response.code >= 500"}}]', "second", app="second")
    site.observe(EVERYTHING, failures)

    site.send("second", ["/filter", "/filter/fail"])

    until(lambda: len(site.logged("/filter/fail")) == 2, what="both sides log the failure")
    assert len([entry for entry in site.logged("/filter") if entry["path"] == "/filter"]) == 1
    site.observe(EVERYTHING)


def test_spans_come_by_http_too(site: Site) -> None:
    """OTLP in protobuf to /v1/traces."""
    before = len(site.traces(*NAMES))
    site.observe(tracing("otel-http"))
    until(
        lambda: (
            site.call("/http") == 200
            and site.envoys["second"].stats(r"cluster\.outbound\|4318\|\|telemetry;?\.upstream_rq_2xx")
        ),
        what="the collector answers by HTTP",
    )
    until(lambda: len([trace for trace in site.traces(*NAMES) if trace["spans"] == 5]) > before)
    site.observe(EVERYTHING)
