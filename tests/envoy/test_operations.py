"""What is shipped for Prometheus and Grafana asks for metrics that a running server has, and alerts have a runbook."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.envoy.running import Backend, Control, envoy, get, until
from tests.envoy.test_mtls import grpc_say
from tests.envoy.test_traffic import service
from tests.envoy.traced import two_ports

SHIPPED = Path(__file__).parents[2] / "envoy"
_OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus adds to what it scrapes, with its labels."""
_WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "bool", "offset", "group_left", "group_right"}

Metrics = dict[str, set[str]]
"""Label names by name of a sample."""


@pytest.fixture(scope="module")
def metrics(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """Those of a server that has every part of it on, after some traffic."""
    directory, receiver = tmp_path_factory.mktemp("operations"), two_ports()
    with contextlib.ExitStack() as parts:
        backend, gone = Backend("shop"), Backend("gone")
        parts.callback(backend.close)
        gone.close()
        control = Control(
            *(directory, "--no-validation", "--state-dir", str(directory / "state")),
            *("--telemetry-listen", f"127.0.0.1:{receiver}", "--otlp-endpoint", f"http://127.0.0.1:{receiver}"),
        )
        parts.callback(control.close)
        control.write("services.yaml", service("shop", [backend]) + service("gone", [gone]))
        caller = envoy(control, envoy_binary, directory, "web", metrics_interval=1)
        parts.callback(caller.close)
        caller.wait()
        until(lambda: caller.call("shop").status == 200, what="a call is through")
        assert grpc_say(f"127.0.0.1:{caller.proxy_port}", "gone:80") == "StatusCode.UNAVAILABLE"
        # Not everything is told at once. What is missing for good has tests of its own below.
        with contextlib.suppress(AssertionError):
            until(lambda: not lacking(_samples(get(control.debug_port, "/metrics"))), seconds=30)
        yield _samples(get(control.debug_port, "/metrics"))


def _samples(text: str) -> Metrics:
    """Names of families without samples are among them: what never happened has none."""
    found: Metrics = dict(_OF_PROMETHEUS)
    for family in text_string_to_metric_families(text):
        found.setdefault(f"{family.name}_total" if family.type == "counter" else family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    groups = yaml.safe_load((SHIPPED / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """Every query of the alerts and of the dashboard."""
    dashboard = json.loads((SHIPPED / "grafana-dashboard.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    asked = [re.fullmatch(r"label_values\((\w+), (\w+)\)", query) for query in variables]
    return [*(rule["expr"] for rule in rules()), *panels, *(f"sum by ({m[2]}) ({m[1]})" for m in asked if m)]


def asked(query: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a query names."""
    grouped = {
        label for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query) for label in re.findall(r"\w+", group)
    }
    selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", " ".join(re.findall(r"\{([^}]*)\}", query))))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on)\s*\([^)]*\)", " ", query)
    words = re.findall(r"(?<![\w.])([a-zA-Z_]\w*)(?!\w)(?!\s*\()", bare)
    return set(words) - _WORDS, grouped | selected


def lacking(metrics: Metrics) -> set[str]:
    """Queries that ask for what no sample has, in names or in labels."""
    found = set()
    for query in queries():
        named, labels = asked(query)
        if not named <= metrics.keys() or not labels <= set().union(*(metrics[name] for name in named)):
            found.add(query)
    return found


@pytest.mark.parametrize("query", queries())
def test_query_names_what_there_is(metrics: Metrics, query: str) -> None:
    """With its labels, of which at least one metric of the query has each."""
    named, labels = asked(query)

    assert named, query
    assert named <= metrics.keys()
    assert labels <= set().union(*(metrics[name] for name in named))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_alert_has_a_runbook_that_says_where_to_look_and_what_to_do(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    sections = re.split(r"^## ", (SHIPPED / page).read_text(), flags=re.MULTILINE)[1:]
    by_anchor = {section.partition("\n")[0].lower(): section for section in sections}

    assert anchor == rule["alert"].lower()
    assert "**Look:**" in by_anchor[anchor]
    assert "**Do:**" in by_anchor[anchor]


def test_runbook_has_no_section_without_an_alert() -> None:
    sections = re.findall(r"^## (\w+)$", (SHIPPED / "runbook.md").read_text(), flags=re.MULTILINE)

    assert sorted(sections) == sorted(rule["alert"] for rule in rules())


def test_table_has_every_metric_and_no_other(metrics: Metrics) -> None:
    rows = set(
        re.findall(r"^\| `((?:mesh|xds_server)_\w+)` \|", (SHIPPED / "metrics.md").read_text(), flags=re.MULTILINE)
    )
    parts = {f"{name}_{part}" for name in rows for part in ("bucket", "count", "sum", "created")}
    ours = {name for name in metrics if name.startswith(("mesh_", "xds_server_"))}

    assert ours - parts == rows


def test_prometheus_reads_the_alerts_and_scrapes_the_debug_port() -> None:
    found = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())

    assert [(SHIPPED / name).is_file() for name in found["rule_files"]] == [True]
    assert found["scrape_configs"][0]["static_configs"][0]["targets"] == ["localhost:15014"]
