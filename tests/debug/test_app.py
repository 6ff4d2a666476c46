"""The debug endpoints, asked over ASGI as a browser or Prometheus would ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from tests.telemetry.values import entry, span
from xds_server.debug.app import debug_app
from xds_server.debug.metrics import Metrics
from xds_server.debug.pages import ENDPOINTS
from xds_server.debug.sources import Sources, Validation
from xds_server.policy.document import Document, Positions
from xds_server.problem import Origin, Problem, Severity
from xds_server.telemetry.log_buffer import LogBuffer
from xds_server.telemetry.span import Trace
from xds_server.telemetry.traces import KeptTraces, Traces
from xds_server.xds import type_url
from xds_server.xds.proxy_status import ProxyStatus, TypeState, Variant
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

NOT_JSON = ("/metrics", "/traces?service=S&failed=true")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NODE_ID = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"
ORIGIN = Origin("shop.yaml", 3, "DestinationRule", "shop", "reviews")
PROBLEM = Problem("a.yaml", 3, 7, "VirtualService", "shop", "x", "spec", Severity.ERROR, "unknown-field", "no", "yes")
VALIDATION = Validation(envoy="/usr/bin/envoy", reason="", runs={"valid": 3}, quarantined=(PROBLEM,))
SNAPSHOT = Snapshot.of(
    Resource(url, f"{short}-1", f"v-{short}", b"") for url, short in sorted(type_url.SHORT_NAMES.items())
)
STATUS = ProxyStatus(
    node_id=NODE_ID,
    cluster="web.shop",
    namespace="shop",
    peer="ipv4:127.0.0.1:5000",
    variant=Variant.DELTA,
    connected_at=NOON,
    types={
        type_url.CLUSTER: TypeState(
            sent_nonce="2", sent_version="v2", sent_at=NOON, acked_nonce="2", acked_version="v2", acked_at=NOON,
            wildcard=True, pushes=2, acks=2,
        ),
        type_url.ENDPOINT: TypeState(
            sent_nonce="5", sent_version="v5", sent_at=NOON, acked_nonce="4", acked_version="v4", acked_at=NOON,
            last_error="bad port", subscribed=3, pushes=3, acks=2, nacks=1, refused=("c",), origins=(ORIGIN,),
        ),
        type_url.LISTENER: TypeState(sent_nonce="3", sent_at=NOON, acked_nonce="1", pushes=2, acks=1),
        type_url.ROUTE: TypeState(),
    },
    user_agent="envoy 1.40.0",
)  # fmt: skip


@dataclass
class Totals:
    """Counts since the start."""

    opened: int = 3
    ended: Mapping[str, int] = field(default_factory=lambda: {"OK": 2})
    requests: int = 20
    sent_bytes: int = 5000
    pushes: Mapping[str, int] = field(default_factory=lambda: {type_url.CLUSTER: 7})
    acks: Mapping[str, int] = field(default_factory=lambda: {type_url.CLUSTER: 6, "no/such.Type": 1})
    nacks: Mapping[str, int] = field(default_factory=lambda: {type_url.ENDPOINT: 1})


class Spec(BaseModel):
    """A model with a field that its author wrote and one that he did not."""

    model_config = ConfigDict(alias_generator=lambda name: f"{name}InIstio", validate_by_name=True)
    host: str
    timeouts: tuple[timedelta, ...] = ()
    other: str = "left out"


def document(kind: str, name: str) -> Document:
    """A policy document."""
    return Document(
        api_version="networking.istio.io/v1",
        kind=kind,
        namespace="shop",
        name=name,
        spec=Spec(host="reviews", timeouts=(timedelta(seconds=5), timedelta(milliseconds=1500), timedelta(0))),
        origin=ORIGIN,
        positions=Positions(1, 1),
        created=NOON,
        labels={"a": "b"},
    )


def sources(*, generation: int = 4) -> Sources:
    """A server with one proxy that is behind."""
    return Sources(
        version="0.1.0",
        generation=lambda: generation,
        documents=lambda: (document("VirtualService", "x"), document("DestinationRule", "y")),
        problems=lambda: (PROBLEM,),
        proxies=lambda: (STATUS,),
        totals=Totals,
        validation=lambda: VALIDATION,
        traces=Traces(),
        logs=LogBuffer(),
        snapshot_of={NODE_ID: SNAPSHOT}.get,
        resource_json=lambda resource: {"name": resource.name},
    )


def client(of: Sources) -> httpx.AsyncClient:
    """A client of the application, which raises nothing that the application answers."""
    transport = httpx.ASGITransport(debug_app(of, Metrics(of)), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://debug")


async def get(path: str, of: Sources | None = None) -> httpx.Response:
    """The answer to one GET."""
    async with client(of or sources()) as asking:
        return await asking.get(path)


async def test_ready_only_after_the_first_load() -> None:
    before = await get("/ready", sources(generation=0))
    after = await get("/ready")

    assert (before.status_code, before.json()["ready"]) == (503, False)
    assert (after.status_code, after.json()) == (200, {"ready": True, "generation": 4})


async def test_healthy_even_before_the_first_load() -> None:
    assert (await get("/healthz", sources(generation=0))).status_code == 200


async def test_validation_says_which_envoy_and_what_it_keeps_out() -> None:
    found = (await get("/debug/validation")).json()

    assert (found["envoy"], found["reason"], found["runs"]) == ("/usr/bin/envoy", "", {"valid": 3})
    assert [(problem["kind"], problem["name"]) for problem in found["quarantined"]] == [("VirtualService", "x")]


async def test_validation_says_why_there_is_none() -> None:
    found = (await get("/debug/validation", replace(sources(), validation=Validation))).json()

    assert (found["envoy"], found["reason"]) == ("", "not started")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: str(endpoint.path))
async def test_every_endpoint_that_the_page_lists_answers(endpoint: object) -> None:
    """The list and the routes are written twice; this keeps them equal."""
    path = str(getattr(endpoint, "example", "") or getattr(endpoint, "path", "")).replace("NODE_ID", NODE_ID)

    answer = await get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json" or path in NOT_JSON or path.startswith("/debug/logs")


async def test_page_lists_every_endpoint_with_its_purpose() -> None:
    page = await get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert [
        e.path for e in ENDPOINTS if f'href="{e.path}"' not in page.text or str(e.purpose)[:20] not in page.text
    ] == []
    assert "1 stream connected, 1 error to mend" in " ".join(page.text.split())


async def test_list_is_the_page_as_json() -> None:
    assert [entry["path"] for entry in (await get("/debug/list")).json()] == [e.path for e in ENDPOINTS]


async def test_syncz_has_istios_shape() -> None:
    (proxy,) = (await get("/debug/syncz")).json()

    assert proxy["proxy"] == NODE_ID
    assert proxy["proxy_type"] == "sidecar"
    assert (proxy["cluster_sent"], proxy["cluster_acked"]) == ("2", "2")
    assert (proxy["endpoint_sent"], proxy["endpoint_acked"]) == ("5", "4")
    assert (proxy["route_sent"], proxy["route_acked"]) == ("", "")
    assert proxy["resources"][type_url.CLUSTER]["sentTime"] == "2026-01-02T12:00:00+00:00"


async def test_syncz_says_how_each_type_stands() -> None:
    (proxy,) = (await get("/debug/syncz")).json()

    assert {type_url.SHORT_NAMES[url]: state["status"] for url, state in proxy["resources"].items()} == {
        "CDS": "SYNCED",
        "EDS": "ERROR",
        "LDS": "STALE",
        "RDS": "NOT SENT",
    }


async def test_syncz_names_the_error_and_the_policy_behind_it() -> None:
    (proxy,) = (await get("/debug/syncz")).json()

    refused = proxy["resources"][type_url.ENDPOINT]
    assert (refused["lastError"], refused["refused"]) == ("bad port", ["c"])
    assert refused["policies"][0]["file"] == "shop.yaml"


async def test_syncz_keeps_to_a_namespace() -> None:
    assert len((await get("/debug/syncz?namespace=shop")).json()) == 1
    assert (await get("/debug/syncz?namespace=other")).json() == []


async def test_config_dump_has_envoys_form() -> None:
    dump = (await get(f"/debug/config_dump?proxyID={NODE_ID}")).json()

    by_type = {config["@type"].rpartition(".")[2]: config for config in dump["configs"]}
    assert by_type["ClustersConfigDump"]["dynamic_active_clusters"] == [
        {"version_info": "v-CDS", "cluster": {"@type": type_url.CLUSTER, "name": "CDS-1"}}
    ]
    assert by_type["EndpointsConfigDump"]["dynamic_endpoint_configs"][0]["endpoint_config"]["name"] == "EDS-1"
    assert by_type["ListenersConfigDump"]["dynamic_listeners"][0]["name"] == "LDS-1"
    assert by_type["ListenersConfigDump"]["dynamic_listeners"][0]["active_state"]["listener"]["name"] == "LDS-1"
    assert by_type["RoutesConfigDump"]["dynamic_route_configs"][0]["route_config"]["name"] == "RDS-1"
    assert by_type["SecretsConfigDump"]["dynamic_active_secrets"][0]["name"] == "SDS-1"


@pytest.mark.parametrize(
    ("query", "status"), [("", 400), ("?proxyID=", 400), ("?proxyID=web", 404), (f"?proxyID={NODE_ID}x", 404)]
)
async def test_config_dump_takes_exactly_a_connected_node_id(query: str, status: int) -> None:
    answer = await get(f"/debug/config_dump{query}")

    assert answer.status_code == status
    assert "/debug/syncz" in answer.json()["error"]


async def test_configz_gives_kubernetes_objects() -> None:
    objects = (await get("/debug/configz")).json()

    assert [entry["kind"] for entry in objects] == ["VirtualService", "DestinationRule"]
    assert objects[0] == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": "x",
            "namespace": "shop",
            "creationTimestamp": "2026-01-02T12:00:00Z",
            "labels": {"a": "b"},
        },
        "spec": {"hostInIstio": "reviews", "timeoutsInIstio": ["5s", "1.5s", "0s"]},
    }


async def test_configz_keeps_to_a_kind() -> None:
    objects = (await get("/debug/configz?kind=destinationrule")).json()

    assert [entry["metadata"]["name"] for entry in objects] == ["y"]


async def test_problems_are_what_check_says() -> None:
    assert (await get("/debug/problems")).json() == [
        {
            "file": "a.yaml",
            "line": 3,
            "column": 7,
            "kind": "VirtualService",
            "namespace": "shop",
            "name": "x",
            "field": "spec",
            "severity": "error",
            "code": "unknown-field",
            "message": "no",
            "fix": "yes",
        }
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/ready", "/debug/syncz"])
async def test_nothing_can_be_changed(method: str, path: str) -> None:
    async with client(sources()) as asking:
        answer = await asking.request(method, path)

    assert answer.status_code == 405
    assert "error" in answer.json()


async def test_head_answers_like_get_without_a_body() -> None:
    async with client(sources()) as asking:
        answer = await asking.head("/debug/syncz")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_unknown_path_is_json_too() -> None:
    answer = await get("/debug/nothing")

    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


async def test_our_own_defect_shows_no_traceback() -> None:
    def defect() -> tuple[Document, ...]:
        raise RuntimeError("secret inner state")

    healthy = sources()
    broken = Sources(**{name: getattr(healthy, name) for name in Sources.__slots__} | {"documents": defect})
    answer = await get("/debug/configz", broken)

    assert answer.status_code == 500
    assert "secret inner state" not in answer.text
    assert "Traceback" not in answer.text


async def test_what_is_received_is_found_by_its_trace() -> None:
    kept = Traces()
    kept.add([span(1), span(2, 1)])
    of = replace(sources(), traces=kept)
    (listed,) = (await get("/debug/traces", of)).json()
    tree = (await get(f"/debug/traces?id={listed['id']}", of)).json()

    assert (listed["spans"], listed["services"]) == (2, ["web.shop"])
    assert [child["name"] for child in tree["trees"][0]["children"]] == ["call 2"]
    assert "call 2" in (await get(f"/traces?id={listed['id']}", of)).text


@pytest.mark.parametrize(
    ("limit", "listed"), [("", 3), ("2", 2), ("0", 0), ("9" * 5000, 3), ("-1", 3)], ids=["", "2", "0", "huge", "minus"]
)
async def test_as_many_traces_are_listed_as_are_asked_for(limit: str, listed: int) -> None:
    kept = Traces()
    kept.add(span(number, trace=number) for number in (1, 2, 3))

    answer = await get(f"/debug/traces?limit={limit}", replace(sources(), traces=kept))

    assert len(answer.json()) == listed


@pytest.mark.parametrize(
    "path",
    [
        "/debug/traces?limit=20000",
        "/traces",
        "/debug/problems",
        "/debug/syncz",
        f"/debug/config_dump?proxyID={NODE_ID}",
    ],
)
async def test_what_takes_long_is_made_beside_the_event_loop(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams live on that loop."""
    written_in: list[threading.Thread] = []

    def noticing(response: Response, content: object) -> bytes:
        written_in.append(threading.current_thread())
        return b"[]"

    def looking(kept: KeptTraces, most: int, **asked: object) -> list[Trace]:
        written_in.append(threading.current_thread())
        return []

    kept = Traces()
    kept.add([span(1)])
    monkeypatch.setattr(JSONResponse, "render", noticing)
    monkeypatch.setattr(KeptTraces, "latest", looking)
    answer = await get(path, replace(sources(), traces=kept))

    assert answer.status_code == 200
    assert written_in
    assert threading.main_thread() not in written_in


@pytest.mark.parametrize(
    ("query", "found"), [("failed=true&tail=1", ["/3"]), ("service=x", []), ("tail=many", ["/1", "/2", "/3", "/4"])]
)
async def test_of_the_log_what_is_asked_for_is_told(query: str, found: list[str]) -> None:
    buffer = LogBuffer()
    buffer.add(entry(path=f"/{number}", status=503 if number < 4 else 200) for number in range(1, 5))
    answer = await get(f"/debug/logs?{query}", replace(sources(), logs=buffer))

    assert [json.loads(line)["path"] for line in answer.text.splitlines()] == found


@pytest.mark.parametrize("path", ["/traces", "/debug/traces", "/debug/logs"])
async def test_where_nothing_is_received_the_way_to_it_is_said(path: str) -> None:
    answer = await get(path, replace(sources(), traces=None, logs=None))

    assert answer.status_code == 404
    assert "--telemetry-listen" in answer.json()["error"]


async def test_a_trace_that_is_not_kept_is_not_found() -> None:
    assert (await get("/debug/traces?id=x")).status_code == 404
