"""`docker compose up` for real: containers, iptables, stock Envoys, and an application that knows nothing.

Base images are made on this machine (base_images.sh) where the ones that the files name cannot be pulled.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.collecting import Taken, spans_in_words
from tests.envoy.running import free_port, until
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PARTS = ("docker-compose.yml", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")
FOLDERS = ("policies", "envoy", "xds_server")
ROUTE = """\
  - route:
    - destination: {host: worker-service}
    retries: {attempts: 3, perTryTimeout: 5s}
    timeout: 10s
"""
COLLECTOR_IN_DETAIL = "services: {collector: {environment: {ROTEL_DEBUG_LOG_VERBOSITY: detailed}}}"


class Project:
    """One compose project over a copy of the repository, whose policies a test may edit."""

    def __init__(self, directory: Path, command: list[str]) -> None:
        self.directory = directory
        self.api_port, self.debug_port = free_port(), free_port()
        self._command = command
        for part in PARTS:
            shutil.copy(ROOT / part, directory / part)
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, directory / folder)
        (directory / "docker-compose.override.yml").write_text(COLLECTOR_IN_DETAIL)

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run a compose command; its output."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self.directory,
            env=os.environ | {"API_PORT": str(self.api_port), "DEBUG_PORT": str(self.debug_port)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def webhook(self, query: str = "") -> tuple[int, dict[str, object]]:
        """One request to the api, which calls the webhook-handler, which calls a worker: (status, answer)."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.api_port}/webhook{query}", data=b"{}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, {"error": error.read().decode()}

    def workers(self, calls: int = 60) -> set[object]:
        """Who answered, over some requests; every one of them must have been answered."""
        answers = [self.webhook() for _ in range(calls)]
        assert [answer for answer in answers if answer[0] != 200] == []
        return {answer["worker"] for _, answer in answers}

    def taken(self, query: str) -> dict[str, list[Taken]]:
        """All spans that the collector took, by trace, of webhooks that had this query."""
        log = self.run("logs", "--no-color", "--no-log-prefix", "collector")
        found: dict[str, list[Taken]] = {}
        for span in spans_in_words(log):
            found.setdefault(span.trace_id, []).append(span)
        return {trace_id: spans for trace_id, spans in found.items() if any(query in span.url for span in spans)}

    def debug(self, path: str) -> Any:
        """The JSON at a debug endpoint."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.debug_port}{path}", timeout=PATIENCE) as answer:
            return json.load(answer)

    def scale(self, workers: int) -> None:
        """Have so many workers, and leave everything else alone."""
        self.run("up", "-d", "--no-deps", "--no-recreate", "--scale", f"worker={workers}", "worker")

    def stats(self, service: str, pattern: str) -> str:
        """Statistics of the Envoy beside `service`, asked from inside its network namespace."""
        url = f"http://127.0.0.1:15000/stats?filter={pattern}"
        program = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"
        return self.run("exec", "-T", service, "python3", "-c", program)

    def reaches(self, service: str, url: str) -> bool:
        """Whether a plain HTTP request from inside `service` is answered, whatever the answer."""
        program = f"import urllib.request as u; u.urlopen({url!r}, timeout=5)"
        return "ok" in self.run("exec", "-T", service, "python3", "-c", program + "; print('ok')", check=False)


class Load:
    """Requests without a pause, from several threads.

    Attributes:
        failed: answers other than 200.
        answered: which workers did.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._stop = threading.Event()
        self._counts = [0] * 4
        self._threads = [threading.Thread(target=self._run, args=(at,)) for at in range(4)]
        self.failed: list[object] = []
        self.answered: set[object] = set()

    @property
    def count(self) -> int:
        """Requests so far."""
        return sum(self._counts)

    def _run(self, at: int) -> None:
        while not self._stop.is_set():
            try:
                status, answer = self._project.webhook()
            except (OSError, http.client.HTTPException) as error:
                status, answer = 0, {"error": repr(error)}
            self._counts[at] += 1
            if status == 200:
                self.answered.add(answer["worker"])
            else:
                self.failed.append((status, answer))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _total(stats: str) -> int:
    return sum(int(line.rpartition(": ")[2]) for line in stats.splitlines() if ": " in line)


@pytest.fixture(scope="module")
def project(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The whole of docker-compose.yml, up."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker engine here; install docker.io and start it")
    plugin = _works("docker", "compose", "version")
    if not plugin and shutil.which("docker-compose") is None:
        pytest.skip("no compose here; install docker-compose")
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("base images are made by root with debootstrap; install it with: apt-get install debootstrap")
    subprocess.run(["sh", Path(__file__).with_name("base_images.sh"), envoy_binary], check=True, capture_output=True)
    project = Project(tmp_path_factory.mktemp("compose"), ["docker", "compose"] if plugin else ["docker-compose"])
    try:
        project.run("up", "-d", "--build")
        until(lambda: project.webhook()[0] == 200, what="a webhook is answered through the mesh")
        yield project
    finally:
        (project.directory / "compose.log").write_text(project.run("logs", "--no-color", check=False))
        project.run("down", "--volumes", "--timeout", "1", check=False)


def test_authorities_are_on_no_network_but_the_servers() -> None:
    """Their volume is mounted by the server, and by one-shot containers without a network; by no Envoy."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    holders = {name for name, one in services.items() if any(v.startswith("state:") for v in one.get("volumes", ()))}
    alone = {name for name, one in services.items() if one.get("network_mode") == "none"}

    assert holders - alone == {"xds-server"}
    assert len(holders) > 1


def test_every_webhook_is_one_tree_of_spans_from_the_ingress_to_the_worker(project: Project) -> None:
    """Seven: the ingress has one for what it takes and one for what it sends on, as each caller's sidecar has.

    All seven are at the collector, and went on from there to the server's page.
    """
    services = [f"{name}.default" for name in ("ingress", "api", "webhook-handler", "worker")]
    assert [project.webhook("?of=thirty")[0] for _ in range(30)] == [200] * 30

    def whole() -> dict[str, list[Taken]]:
        found = project.taken("of=thirty")
        return found if len(found) == 30 and all(len(spans) == 7 for spans in found.values()) else {}

    taken = until(whole, what="30 webhooks are 30 traces of seven spans at the collector")
    for spans in taken.values():
        known = {span.span_id for span in spans}
        assert [span.parent_id in known for span in spans].count(False) == 1

    def on_the_page() -> set[str]:
        traces = project.debug("/debug/traces?limit=5000&service=worker.default")
        return {one["id"] for one in traces if one["services"] == services and one["spans"] == 7}

    until(lambda: taken.keys() <= on_the_page(), what="they are on the server's page")
    assert {len(project.debug(f"/debug/traces?id={trace_id}")["trees"]) for trace_id in taken} == {1}
    assert "→" in project.run("exec", "-T", "xds-server", "xds-server", "logs", "--service", "worker-service")


def test_no_webhook_fails_while_the_collector_is_stopped(project: Project) -> None:
    """Its name is gone from the network's DNS then. When it is back, so are whole traces."""
    project.run("stop", "--timeout", "1", "collector")
    statuses = {project.webhook()[0] for _ in range(40)}
    project.run("start", "collector")

    def is_whole() -> bool:
        statuses.add(project.webhook("?of=back")[0])
        return any(len(spans) == 7 for spans in project.taken("of=back").values())

    until(is_whole, what="a webhook is a whole tree at the collector again")
    assert statuses == {200}


def test_application_reaches_three_workers_through_its_envoy(project: Project) -> None:
    """They have registered themselves, and Envoy counted the requests that the application thought it sent itself."""
    until(lambda: len(project.workers(30)) == 3, what="three workers answer")

    assert "upstream_rq_2xx" in project.stats("webhook-handler", "worker-service.*upstream_rq_2xx")
    assert "upstream_rq_2xx" in project.stats("api", "webhook-handler.*upstream_rq_2xx")


@pytest.mark.parametrize(
    ("service", "end"),
    [
        ("api", r"listener.0.0.0.0_15006.ssl.handshake"),
        ("api", r"cluster.outbound.*webhook-handler.*ssl.handshake"),
        ("webhook-handler", r"listener.0.0.0.0_15006.ssl.handshake"),
        ("webhook-handler", r"cluster.outbound.*worker-service.*ssl.handshake"),
        ("worker", r"listener.0.0.0.0_15006.ssl.handshake"),
    ],
)
def test_calls_between_services_are_mutual_tls(project: Project, service: str, end: str) -> None:
    """Both Envoys of a call count its handshakes. The first worker stands for all: each call goes to any of them."""
    project.workers(20)

    assert _total(project.stats(service, end)) > 0


def test_application_is_told_who_called(project: Project) -> None:
    """By the certificate that the caller's Envoy showed, for which the application did nothing."""
    _, answer = project.webhook()

    assert answer["caller"] == "spiffe://cluster.local/ns/default/sa/webhook-handler"


@pytest.mark.parametrize("service", ["api", "webhook-handler", "worker-service"])
def test_stranger_on_the_same_network_is_refused(project: Project, service: str) -> None:
    """The server's container has no Envoy beside it and so nothing to show."""
    assert not project.reaches("xds-server", f"http://{service}:8000/")
    assert project.reaches("xds-server", "http://127.0.0.1:15014/ready")


def test_application_cannot_read_the_key_of_its_sidecar(project: Project) -> None:
    """Not even where both are in one container: the key belongs to Envoy's user alone."""
    modes = project.run("exec", "-T", "worker", "sh", "-c", "stat -c '%a %u' /identity/*.default /identity/*.default/*")
    # By its file: Docker's health check is another Python, for a moment now and then, and root's.
    runs = "test $(cat $p/comm) = python3 && grep -q worker.py $p/cmdline && stat -c %u $p"
    users = project.run("exec", "-T", "worker", "sh", "-c", f"for p in /proc/[0-9]*; do {runs}; done; true")

    assert set(modes.splitlines()) == {"700 1337", "600 1337"}
    assert users.split() == ["65534"]


def test_requests_come_in_by_the_ingress_router(project: Project) -> None:
    """The api has no port of its own to the outside, and what no route is for stays there."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{project.api_port}/elsewhere", timeout=PATIENCE)

    with caught.value as answer:
        assert (answer.code, answer.headers["server"]) == (404, "istio-envoy")


def test_inbound_traffic_is_captured(project: Project) -> None:
    """What reaches the webhook-handler from the api came through the Envoy beside it."""
    project.webhook()

    downstream = project.stats("webhook-handler", "http.inbound.*downstream_rq_2xx")

    assert _total(downstream) > 0


def test_edited_policy_moves_traffic_with_no_restart(project: Project) -> None:
    """A saved file is in force on the next requests, and so is the one that takes it back."""
    path = project.directory / "policies" / "worker-service.yaml"
    before = path.read_text()
    assert ROUTE in before
    path.write_text(before.replace(ROUTE, "  - directResponse: {status: 418}\n"))
    until(lambda: project.webhook()[0] == 418, what="the direct response is in force")
    path.write_text(before)

    until(lambda: project.webhook()[0] == 200, what="the old policy is back")


def test_an_edit_is_a_trace_by_way_of_the_collector(project: Project) -> None:
    """The server tells the collector of its own changes, and the first of them is that it was started."""
    found = until(lambda: project.debug("/debug/traces?service=xds-server"), what="a change is on the page")

    assert {trace["name"] for trace in found} == {"policy change"}
    assert {"debounce", "read", "compile"} <= {
        child["name"] for child in project.debug(f"/debug/traces?id={found[0]['id']}")["trees"][0]["children"]
    }


def test_no_request_fails_as_workers_are_scaled_to_five_and_back_to_one_under_load(project: Project) -> None:
    """Each registers itself when it is ready, and is left by its callers before it ends; three times over."""
    for _ in range(3):
        with Load(project) as load:
            project.scale(5)
            load.answered.clear()
            until(lambda: len(load.answered) == 5, what="five workers answer")
            project.scale(1)
            load.answered.clear()
            until(lambda: load.count >= 1000, what="a thousand requests are answered")

        assert load.failed == []
        assert len(load.answered) == 1


def test_traffic_goes_on_without_the_server(project: Project) -> None:
    """The control plane killed: every request is served; started again: it knows the workers that registered."""
    project.run("kill", "xds-server")

    assert project.workers(40)
    project.run("start", "xds-server")
    until(
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{project.debug_port}/ready", timeout=PATIENCE).status == 200
    )
    assert project.workers(40)
