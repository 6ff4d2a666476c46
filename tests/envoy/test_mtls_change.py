"""Mutual TLS is switched on and off in one edit while requests go on, and none of them fails."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, Envoy, envoy, until
from tests.envoy.test_mtls import Served, plain_say, sidecar

CALLERS = 2
CHANGES = ("STRICT", "DISABLE", "STRICT", "DISABLE")


def asked(mode: str) -> str:
    """One edit of one file."""
    return (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: default}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
    )


@dataclass
class Load:
    """Requests by several Envoys, each as soon as the one before is answered."""

    callers: list[Envoy]
    host: str
    statuses: Counter[int] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends."""
        threads = [threading.Thread(target=self._call, args=(one,)) for one in self.callers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def more(self) -> None:
        """Wait until fifty more are answered."""
        enough = self.statuses.total() + 50
        until(lambda: self.statuses.total() >= enough, what="requests go on")

    def _call(self, caller: Envoy) -> None:
        while not self._over.is_set():
            self.statuses[caller.call(self.host).status] += 1


@dataclass(frozen=True)
class Site:
    """The running mesh; `port` is where callers without a sidecar reach the server."""

    control: Control
    load: Load
    server: Envoy
    web: Backend
    port: int

    def change(self, *, strict: bool) -> None:
        """Write the other mode, and wait until callers without a sidecar and those with one meet it."""
        self.control.write("mode.yaml", asked("STRICT" if strict else "DISABLE"))
        until(lambda: plain_say("http", self.port) == ("" if strict else "web"), what="the server does as it is told")
        until(lambda: self._speaks_mesh_tls() == strict, what="callers follow")

    def _speaks_mesh_tls(self) -> bool:
        """Whether the last request came by it."""
        return "x-forwarded-client-cert" in self.web.behaviour.requests[-1][2]


def serves(caller: Envoy) -> bool:
    """Whether a request of this caller is answered."""
    return caller.call("web").status == 200


@pytest.fixture
def site(envoy_binary: Path, tmp_path: Path) -> Iterator[Site]:
    """One server and its callers, mutual TLS switched off."""
    with contextlib.ExitStack() as parts:
        web = Backend("web")
        parts.callback(web.close)
        # As long as it takes: a change that has waited long enough comes into force for whoever has not followed too.
        control = Control(tmp_path, "--state-dir", str(tmp_path / "state"), "--mtls-change-time", "600")
        parts.callback(control.close)
        served = Served("web", "http", "", web.port, "127.0.4.1")
        control.write("web.yaml", served.policies() + sidecar("server", "shop", served))
        control.write("mode.yaml", asked("DISABLE"))
        server = envoy(
            control, envoy_binary, tmp_path, "server", namespace="shop", account="server", labels={"app": "server"}
        )
        parts.callback(server.close)
        callers = []
        for number in range(CALLERS):
            callers.append(envoy(control, envoy_binary, tmp_path, f"caller-{number}", namespace="shop"))
            parts.callback(callers[-1].close)
        for caller in callers:
            caller.wait()
            until(functools.partial(serves, caller), what="the server is called")
        yield Site(control, Load(callers, "web"), server, web, served.port)


def test_no_request_fails_while_mutual_tls_is_switched_on_and_off(site: Site, figure: Callable[[str], None]) -> None:
    """DISABLE to STRICT in one edit and back, twice: callers and server hear of it at different times."""
    assert plain_say("http", site.port) == "web"
    with site.load.running():
        site.load.more()
        for mode in CHANGES:
            site.change(strict=mode == "STRICT")
            site.load.more()

    statuses = site.load.statuses
    failed = statuses.total() - statuses[200]
    figure(f"mutual TLS switched {len(CHANGES)} times: {failed} of {statuses.total()} requests failed")
    assert statuses == Counter({200: statuses.total()})
