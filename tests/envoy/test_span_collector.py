"""A collector between real Envoys and this server: requests are told whole to both, whichever of them stops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collecting import Collector, Taken
from tests.envoy.running import free_port, get, until
from tests.envoy.test_telemetry import NOWHERE
from tests.envoy.traced import NAMES, Site, receiver, started, tracing, two_ports

SPANS = 5
"""Of one call: what each of the three services takes, and what the first two send on."""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """It passes on to `onwards`, where the server of `site` is to listen."""
    found = Collector(tmp_path_factory.mktemp("collector"), port=two_ports(), onwards=two_ports())
    yield found
    found.stop()


@pytest.fixture(scope="module")
def site(collector: Collector, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Its server sends its own spans to the collector too."""
    directory, told = tmp_path_factory.mktemp("collected"), receiver(collector.onwards, collector.port)
    takes = "--telemetry-listen", f"127.0.0.1:{collector.onwards}"
    tells = "--otlp-endpoint", f"http://127.0.0.1:{collector.port}"
    with started(envoy_binary, directory, told, *takes, *tells) as found:
        found.observe(tracing("otel"))
        yield found


def is_one_tree(spans: list[Taken]) -> bool:
    """All spans of a call, each led to by another of them but for one."""
    known = {span.span_id for span in spans}
    return len(known) == SPANS and [span.parent_id in known for span in spans].count(False) == 1


def received(site: Site) -> int:
    """Spans that the server was sent."""
    text = get(site.control.debug_port, "/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith("xds_server_spans_received_total ")]
    return int(float(line.split()[1]))


def whole_on_the_page(site: Site) -> set[str]:
    """Traces of which the server has all spans, in one tree."""
    whole = {trace["id"] for trace in site.traces(*NAMES) if trace["spans"] == SPANS}
    return {each for each in whole if len(site.tree(each)) == 1}


def changes(site: Site, collector: Collector, file: str) -> list[dict[str, Any]]:
    """The traces of changes of one file, as the page tells them, once the collector has all of their spans too."""
    listed = site.control.debug("/debug/traces?service=xds-server")
    assert isinstance(listed, list)
    trees = [tree for trace in listed for tree in site.tree(trace["id"]) if file in tree["tags"].get("xds.files", "")]
    taken = {span.span_id for spans in collector.taken().values() for span in spans}
    whole = taken.issuperset(span["id"] for tree in trees for span in (tree, *tree["children"]))
    return trees if whole else []


def test_an_edit_is_one_trace_from_the_saved_file_to_the_answer_of_each_proxy(site: Site, collector: Collector) -> None:
    """Through another's collector, which therefore can read what this server writes."""
    site.control.write("nowhere.yaml", NOWHERE.format(port=free_port()))
    (tree,) = until(lambda: changes(site, collector, "nowhere.yaml"), what="the change is told")

    assert (tree["name"], tree["failed"], tree["tags"]["xds.outcome"]) == ("policy change", False, "settled")
    assert tree["tags"]["xds.errors"] == "0"
    steps = [child["name"] for child in tree["children"]]
    assert steps[:5] == ["debounce", "read", "compile", "translate", "validate"]
    assert "push" in steps
    assert tree["children"][0]["milliseconds"] >= 90, "the debounce, of 100"
    (push,) = [child for child in tree["children"] if child["name"] == "push"]
    answers = {(answer["tags"]["xds.node.id"], answer["tags"]["xds.type"]) for answer in push["children"]}
    nodes = {sidecar.node_id for sidecar in site.envoys.values()}
    assert answers >= {(node, kind) for node in nodes for kind in ("CDS", "RDS")}
    assert {answer["tags"]["xds.outcome"] for answer in push["children"]} == {"taken"}
    latest = max(child["after_milliseconds"] + child["milliseconds"] for child in push["children"])
    assert abs(latest - tree["milliseconds"]) < 0.01


def test_an_edit_that_is_no_good_says_so(site: Site, collector: Collector) -> None:
    """What was in force stays, and proxies are sent nothing."""
    site.control.write("bad.yaml", NOWHERE.format(port=80).replace("hosts:", "hoasts:"))
    (tree,) = until(lambda: changes(site, collector, "bad.yaml"), what="the change is told")

    assert tree["tags"]["xds.errors"] != "0"
    assert tree["tags"]["xds.answers"] == "0"
    assert "push" not in [child["name"] for child in tree["children"]]
    site.control.write("bad.yaml", "")


def test_every_request_is_a_whole_tree_at_the_collector_and_on_the_page(site: Site, collector: Collector) -> None:
    """All are sampled; the server has exactly what the collector took, for no Envoy tells it by itself."""
    assert [site.call(f"/every/{number}") for number in range(200)] == [200] * 200

    def whole() -> dict[str, list[Taken]]:
        found = collector.taken("/every/")
        return found if sum(map(len, found.values())) >= 200 * SPANS else {}

    taken = until(whole, what="the collector took the spans of 200 calls")
    assert (len(taken), [spans for spans in taken.values() if not is_one_tree(spans)]) == (200, [])
    until(
        lambda: received(site) == sum(map(len, collector.taken().values())),
        what="the server was sent as many spans as the collector took",
    )
    until(lambda: taken.keys() <= whole_on_the_page(site), what="they are on the page")


def test_no_request_fails_while_the_collector_is_away(site: Site, collector: Collector) -> None:
    """Nor does a log entry go missing: those go to the server itself. When it is back, traces are whole again."""
    collector.stop()
    away = [site.call(f"/away/{number}/") for number in range(150)]
    collector.start()
    numbers = itertools.count()
    statuses = set(away)

    def is_whole() -> bool:
        path = f"/back/{next(numbers)}/"
        statuses.add(site.call(path))
        until(lambda: len(site.logged(path)) == SPANS)
        return any(is_one_tree(spans) for spans in collector.taken("/back/").values())

    until(is_whole, what="a call is a whole tree at the collector again")

    assert statuses == {200}
    assert {len(site.logged(f"/away/{number}/")) for number in range(150)} == {SPANS}


def test_what_is_told_while_the_server_is_away_is_on_the_page_when_it_is_back(site: Site, collector: Collector) -> None:
    """The collector keeps it, and the Envoys go on with what they have."""
    site.control.kill()
    try:
        assert [site.call(f"/alone/{number}") for number in range(50)] == [200] * 50
        until(lambda: sum(map(len, collector.taken("/alone/").values())) == 50 * SPANS, what="the collector took all")
    finally:
        site.control.start()
    alone = collector.taken("/alone/").keys()

    until(lambda: alone <= whole_on_the_page(site), what="the traces of 50 calls are on the page")
