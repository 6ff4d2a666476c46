"""What faults are done to: a server, an Envoy of each variant under it, and a service that is called all the time."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.envoy.running import Control, Envoy, envoy, get, until
from tests.faults.policies import route, save, service
from tests.faults.traffic import Flow, Traffic
from xds_server.bootstrap import Api
from xds_server.server.held_files import HeldFiles
from xds_server.settings import default_state_dir
from xds_server.xds.type_url import CLUSTER

HOST = "steady"
"""The service that is called all the time."""
BASE = 60
"""Services beside it that nothing happens to."""
_WRITTEN = 3
"""Seconds; between two writings a server rests four times as long as the first of them took."""


@dataclass(frozen=True)
class Process:
    """What the kernel says of a process."""

    pid: int

    @property
    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def threads(self) -> int:
        """Threads of the system."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes; VmRSS is now, VmHWM the peak since the start or since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found, field
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        """Let VmHWM begin again."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Site:
    """A running mesh."""

    control: Control
    envoys: tuple[Envoy, ...]
    traffic: Traffic
    directory: Path

    @property
    def process(self) -> Process:
        """The server's."""
        return Process(self.control.pid)

    @property
    def generation(self) -> int:
        """Accepted changes since the server started."""
        return int(self.metric("xds_server_generation"))

    def metric(self, name: str, **labels: str) -> float:
        """One value of /metrics, summed over the labels that are not given."""
        return metric(self.control, name, **labels)

    @contextlib.contextmanager
    def load(self, *, rate: float = 400, envoys: int | None = None) -> Iterator[tuple[Flow, ...]]:
        """Call HOST by every Envoy, or by the first few, while the block runs."""
        with contextlib.ExitStack() as flows:
            yield tuple(
                flows.enter_context(self.traffic.flow(one.proxy_port, HOST, rate=rate / len(self.envoys)))
                for one in self.envoys[:envoys]
            )

    def apply(self, name: str, text: str) -> None:
        """Save a policy file."""
        save(self.control.policies / f"{name}.yaml", text)

    def clear(self) -> None:
        """Delete everything but the service that is called and those beside it, and wait until that is in force."""
        for path in self.control.policies.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.stem not in {HOST, "base"}:
                path.unlink()
        until(
            lambda: self.metric("xds_server_documents") == BASE + 2 and not self.control.problems(),
            what=f"the policies are as at the start: {self.control.problems()}",
        )

    def await_service(self, host: str, *, status: int = 200) -> None:
        """Wait until every Envoy answers a call to `host` with `status`."""
        for one in self.envoys:
            until(lambda one=one: one.call(host).status == status, what=f"{host} answers {status}")  # type: ignore[misc]  # a loop variable

    def await_in_step(self) -> None:
        """Wait until every Envoy is connected and has taken the last thing it was sent."""
        until(lambda: in_step(self.control, len(self.envoys)), what="all Envoys are in step")


def metric(control: Control, name: str, **labels: str) -> float:
    """See `Site.metric`."""
    values = []
    for line in get(control.debug_port, "/metrics").splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            values.append(float(found[2]))
    return sum(values)


def await_written(one: Envoy, service: str) -> None:
    """Wait until the server has written down that an Envoy that speaks SotW holds the cluster of this service."""
    node_id, files = one.node_id, HeldFiles(default_state_dir() / "held", "")

    def is_written() -> bool:
        kept = files.read(time.time()).get(node_id)
        return kept is not None and f"outbound|80||{service}" in kept.held[CLUSTER]

    until(is_written, what=f"that {node_id} holds {service} is written down")


def await_all_written() -> None:
    """Wait until no server has written down anything for so long that it has nothing more to write."""
    files = default_state_dir() / "held"
    until(
        lambda: time.time() - max((path.stat().st_mtime for path in files.glob("*.held")), default=0) > _WRITTEN,
        what="all is written down",
    )


def in_step(control: Control, count: int) -> bool:
    """Whether `count` streams are connected and each took the last response of every type it asked for."""
    found = control.debug("/debug/syncz")
    assert isinstance(found, list)
    states = [state for proxy in found for state in proxy["resources"].values()]
    # A type that needed no words, because the proxy already held everything, was never sent.
    return (
        len(found) == count
        and all(len(proxy["resources"]) >= 4 for proxy in found)
        and all(state["status"] in {"SYNCED", "NOT SENT"} for state in states)
    )


def all_answered(control: Control) -> bool:
    """Whether no stream owes an answer."""
    found = control.debug("/debug/syncz")
    assert isinstance(found, list)
    return all(state["status"] != "STALE" for proxy in found for state in proxy["resources"].values())


@contextlib.contextmanager
def site(
    binary: Path, directory: Path, traffic: Traffic, *options: str, apis: Sequence[Api] = tuple(Api)
) -> Iterator[Site]:
    """A mesh with an Envoy for each of `apis`, and HOST in force."""
    control = Control(directory, *options)
    with contextlib.ExitStack() as parts:
        parts.callback(control.close)
        envoys = []
        for number, api in enumerate(apis):
            envoys.append(envoy(control, binary, directory, f"caller-{number}", api=api))
            parts.callback(envoys[-1].close)
        for one in envoys:
            one.wait()
        made = Site(control, tuple(envoys), traffic, directory)
        made.apply("base", "".join(service(f"base-{number}", [9]) for number in range(BASE)))
        made.apply(HOST, service(HOST, [traffic.backend(HOST)]) + route(HOST, HOST))
        made.await_service(HOST)
        made.await_in_step()
        yield made
