"""The demo: start everything, tell the story with a live table beside it, end with a verdict."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from xds_server.demo.layout import WORKERS, layout, write_policies
from xds_server.demo.load import Load, summary
from xds_server.demo.machine import Machine
from xds_server.demo.span_collector import find_collector
from xds_server.demo.story import STEPS, Result, Stage, hosts
from xds_server.errors import ConfigurationError


def run(directory: Path, envoy: Path, *, hold: bool, console: Console) -> int:
    """Run the demo in `directory`, which is made anew. 0 when every step passed.

    With `hold` it stays up after the story until interrupted, for the user to edit `directory`/policies.

    Raises:
        ConfigurationError: `directory` cannot be made.
    """
    shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--directory {directory} cannot be made: {error.strerror}") from None
    demo, found = layout(), find_collector()
    collector = found if isinstance(found, Path) else None
    write_policies(directory / "policies", demo, collector=collector is not None)
    with Machine(directory, demo, envoy, collector) as machine:
        console.print("Starting xds-server, webhook-handler, three workers and an Envoy beside each …")
        machine.start_server()
        machine.start_collector()
        if collector is None:
            console.print(f"Spans go to xds-server itself; there is no collector here: {found}", markup=False)
        for sidecar in demo.sidecars:
            machine.start_sidecar(sidecar)
        for sidecar in demo.sidecars:
            machine.wait_for_sidecar(sidecar)
        load = Load(demo.webhook_handler.app_port)
        load.start()
        try:
            passed = _tell(Stage(machine, load), console, hold=hold)
        finally:
            load.stop()
    return 0 if passed else 1


def _tell(stage: Stage, console: Console, *, hold: bool) -> bool:
    """Every step in order, a line each as it ends."""
    screen = _Screen(stage)
    results = []
    with Live(get_renderable=screen.render, console=console, refresh_per_second=4, transient=not hold) as live:
        for title, step in STEPS:
            screen.title = title
            result = step(stage)
            results.append(result)
            live.console.print(_line(title, result))
        screen.title = ""
        if hold:
            _hold(stage, live.console)
    passed = sum(result.passed for result in results)
    console.print(f"\n{passed} passed, {len(results) - passed} failed", highlight=False)
    return passed == len(results)


def _hold(stage: Stage, console: Console) -> None:
    """Stay up until interrupted."""
    demo = stage.machine.demo
    console.print(
        f"\nEdit [bold]{stage.machine.directory}/policies/worker-service.yaml[/] and watch the table.\n"
        f"  problems and proxies   http://127.0.0.1:{demo.debug_port}/\n"
        f"  traces of requests     http://127.0.0.1:{demo.debug_port}/traces?service=worker.default\n"
        f"  traces of edits        http://127.0.0.1:{demo.debug_port}/traces?service=xds-server\n"
        f"  the access log         xds-server logs --follow --failed --server 127.0.0.1:{demo.debug_port}\n"
        f"  a webhook              curl -d {{}} http://127.0.0.1:{demo.webhook_handler.app_port}/webhook\n"
        "  make worker-2 fail     curl -d '{\"status\": 500}' "
        f"http://127.0.0.1:{demo.workers[1].app_port}/behave\n"
        "Ctrl-C ends it.",
        soft_wrap=True,  # lines to copy
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Stopping …")


def _line(title: str, result: Result) -> Text:
    mark = ("PASS", "bold green") if result.passed else ("FAIL", "bold red")
    return Text.assemble(mark, "  ", (f"{title:<42}", "bold"), result.seen)


class _Screen:
    """The live table: who does how much of the last three seconds, and how fast."""

    def __init__(self, stage: Stage) -> None:
        self.title = ""
        self._stage = stage

    def render(self) -> RenderableType:
        """The table as it is now."""
        recent = summary(self._stage.load.since(time.monotonic() - 3))
        counted = hosts(self._stage)
        table = Table(title=self.title or None, title_justify="left", title_style="bold", expand=False)
        for heading in ("worker", "last 3 s", "share", "requests", "errors", "ejected"):
            table.add_column(heading, justify="left" if heading == "worker" else "right")
        for worker in WORKERS:
            requests, errors, ejected = counted.get(worker, (0, 0, False))
            share = recent.by_worker[worker] / max(recent.total, 1)
            bar = "█" * round(share * 20)
            table.add_row(
                worker, str(recent.by_worker[worker]), f"{bar} {share:4.0%}", str(requests), str(errors),
                Text("ejected", "bold red") if ejected else "",
            )  # fmt: skip
        retries = self._stage.stat("upstream_rq_retry")
        ejections = self._stage.stat("ejections_enforced_total")
        totals = (
            f"{recent.total / 3:.0f} requests/s   failed {recent.failed}   retries so far {retries}   "
            f"ejections so far {ejections}   p50 {recent.p50 * 1000:.0f} ms   p95 {recent.p95 * 1000:.0f} ms"
        )
        return Group(table, Text(totals))
