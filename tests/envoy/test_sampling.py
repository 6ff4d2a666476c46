"""Which requests real Envoys trace: the share that a policy says, unless whoever calls has decided already."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.chance import likely
from tests.envoy.traced import W3C, Providers, Site, receiver, sampled, started, telemetry, tracing, two_ports

DIRECT = """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: second}
spec:
  hosts: [second]
  http:
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 204}
  - route: [{destination: {host: second}}]
"""
"""Calls of /direct are answered by the caller's own Envoy: many of them take little time."""


@pytest.fixture(scope="module")
def site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Nothing is traced until a test says so."""
    directory, port = tmp_path_factory.mktemp("sampling"), two_ports()
    known = receiver(port)
    told = Providers(known.entries, known.logs, known.services + DIRECT)
    with started(envoy_binary, directory, told, "--no-validation", "--telemetry-listen", f"127.0.0.1:{port}") as found:
        yield found


def test_one_percent_of_3000_requests_is_traced(site: Site) -> None:
    """Istio's default, as a policy that names a provider and no share has it too."""
    site.observe(tracing("otel", "customTags: {}"))
    before = len(site.known())

    assert site.send("second", ["/direct"] * 3000) == {204: 3000}
    site.told_of_all()

    traced = len(site.known()) - before
    assert traced in likely(3000, 0.01), f"{traced} of 3,000"


def test_half_of_the_requests_is_traced_on_their_whole_way(site: Site) -> None:
    """The proxy that a request meets first decides, and the next one does as it did."""
    site.observe(tracing("otel", "randomSamplingPercentage: 50"))
    before = len(site.known())

    assert site.send("second", ["/half"] * 200) == {200: 200}
    site.told_of_all()

    new = len(site.known()) - before
    assert new in likely(200, 0.5), f"{new} of 200"
    whole = [trace for trace in site.traces("webhook-handler", "second") if trace["spans"] == 2]
    assert len(whole) == new


@pytest.mark.parametrize(("share", "traced"), [(0, 0), (100, 50)])
def test_none_or_all_are_traced_of_which_nobody_has_decided(site: Site, share: int, traced: int) -> None:
    site.observe(tracing("otel", f"randomSamplingPercentage: {share}"))
    before = len(site.known())

    site.send("second", ["/undecided"] * 50)
    site.told_of_all()

    assert len(site.known()) - before == traced


@pytest.mark.parametrize("share", [0, 100])
def test_request_that_its_caller_does_not_trace_is_not_traced(site: Site, share: int) -> None:
    """A traceparent without the flag of sampling, whatever share there is; the application gets it so."""
    site.observe(tracing("otel", f"randomSamplingPercentage: {share}"))
    trace_id, path = secrets.token_hex(16), f"/undone/{share}"

    site.send("second", [path], sampled(trace_id, "00"))
    site.told_of_all()

    assert trace_id not in {trace["id"] for trace in site.known()}
    assert context(site, path) == (trace_id, "00")


@pytest.mark.parametrize(("share", "spans", "flag"), [(0, 0, "00"), (100, 2, "01")])
def test_request_that_its_caller_traces_is_traced_by_the_share_here(
    site: Site, share: int, spans: int, flag: str
) -> None:
    """Envoy asks the request's identifier and the traceparent, and traces what neither is against."""
    site.observe(tracing("otel", f"randomSamplingPercentage: {share}"))
    trace_id, path = secrets.token_hex(16), f"/done/{share}"

    site.send("second", [path], sampled(trace_id))
    site.told_of_all()

    assert sum(trace["spans"] for trace in site.known() if trace["id"] == trace_id) == spans
    assert context(site, path) == (trace_id, flag)


def context(site: Site, path: str) -> tuple[str, str]:
    """(trace, flags) of the traceparent with which the one request for this path came to the application."""
    _, trace_id, _, flags = site.applications["second"].headers(path)["traceparent"].split("-")
    return trace_id, flags


def test_request_id_of_the_caller_is_kept_and_says_that_it_is_traced(site: Site) -> None:
    """Envoy writes its decision into the identifier's 14th character: 9 is by chance."""
    site.observe(tracing("otel"))

    site.send("second", ["/id"], {"x-request-id": "2f6b8a1c-0f3e-4d5a-8b7c-1a2b3c4d5e6f"})
    site.told_of_all()

    assert site.applications["second"].headers("/id")["x-request-id"] == "2f6b8a1c-0f3e-9d5a-8b7c-1a2b3c4d5e6f"


def test_request_id_decides_nothing_where_a_policy_says_so(site: Site) -> None:
    """Then Envoy traces all that no traceparent is against, whatever share is sampled."""
    site.observe(tracing("otel", "randomSamplingPercentage: 0, useRequestIdForTraceSampling: false"))
    known = {trace["id"] for trace in site.known()}

    untouched = {"x-request-id": "2f6b8a1c-0f3e-4d5a-8b7c-1a2b3c4d5e6f"}

    site.send("second", ["/by-traceparent"] * 20, untouched)
    site.send("second", ["/by-traceparent"] * 20, sampled(secrets.token_hex(16), "00"))
    site.told_of_all()

    assert len(services(site, known)) == 20
    assert untouched.items() <= site.applications["second"].requests("/by-traceparent")[0].items()


@pytest.mark.parametrize(("forwards", "whole"), [(W3C, True), (W3C[:2], False)])
def test_traces_of_a_share_are_whole_where_applications_hand_on_the_request_id(
    site: Site, forwards: tuple[str, ...], whole: bool
) -> None:
    """Without it the next call has a new one, and is traced when that and the traceparent both say so."""
    site.observe(tracing("otel", "randomSamplingPercentage: 50"))
    known = {trace["id"] for trace in site.known()}
    site.applications["webhook-handler"].forwards = forwards

    for _ in range(80):
        assert site.call("/share") == 200
    site.applications["webhook-handler"].forwards = W3C
    site.told_of_all()

    # Cut at the first of three services: one call of four.
    assert all(len(found) == 3 for found in services(site, known)) is whole


def services(site: Site, known: Iterable[str]) -> list[list[str]]:
    """Whose spans each trace has that is not among those known."""
    return [trace["services"] for trace in site.known() if trace["id"] not in known]


@pytest.mark.parametrize(
    ("mode", "tells", "spans"), [("CLIENT", "webhook-handler.default", 2), ("SERVER", "second.default", 3)]
)
def test_one_side_of_a_call_is_traced_by_mode(site: Site, mode: str, tells: str, spans: int) -> None:
    """The other side reports nothing; the first of these two sends the request, the second takes it."""
    rule = f"tracing: [{{match: {{mode: {mode}}}, providers: [{{name: otel}}], randomSamplingPercentage: 100}}]"
    site.observe(telemetry(rule))
    known = {trace["id"] for trace in site.known()}

    site.send("second", ["/mode"] * 20)
    site.told_of_all(spans)

    assert services(site, known) == [[tells]] * 20


def test_one_workload_is_silent_and_hands_on_what_it_is_given(site: Site) -> None:
    """The policy disableSpanReporting of its own: its application is given the caller's span as parent."""
    silent = telemetry("tracing: [{disableSpanReporting: true}]", "silent", app="second")
    site.observe(tracing("otel"), silent)
    known = {trace["id"] for trace in site.known()}

    site.send("second", ["/silent"] * 20)
    site.told_of_all(4)

    assert services(site, known) == [["webhook-handler.default"]] * 20
    trace_id = secrets.token_hex(16)
    site.send("second", ["/through"], sampled(trace_id))
    given = site.applications["second"].headers("/through")["traceparent"].split("-")
    site.told_of_all(4)
    (span,) = site.tree(trace_id)
    assert given == ["00", trace_id, span["id"], "01"]


def test_one_workload_is_traced_by_a_share_of_its_own(site: Site) -> None:
    """It wins over the mesh's, for requests that nobody before it has decided not to trace."""
    site.observe(
        tracing("otel", "randomSamplingPercentage: 0"),
        telemetry("tracing: [{randomSamplingPercentage: 100}]", "own", app="worker"),
    )
    known = {trace["id"] for trace in site.known()}

    for _ in range(20):
        assert site.call("/own", service="worker") == 200
        assert site.call("/own") == 200
    site.told_of_all()

    assert services(site, known) == [["worker.default", "second.default"]] * 20


def test_headers_stay_as_they_are_where_context_is_not_handed_on(site: Site) -> None:
    """By disableContextPropagation: the span is reported, and whoever is called gets the caller's headers."""
    site.observe(tracing("otel", "randomSamplingPercentage: 100, disableContextPropagation: true"))
    sent = sampled(secrets.token_hex(16))

    site.send("second", ["/unsent"])
    site.send("second", ["/sent"], sent)

    assert "traceparent" not in site.applications["second"].headers("/unsent")
    assert sent.items() <= site.applications["second"].headers("/sent").items()
    site.told_of_all()
