"""A real Prometheus over a real server, where it is installed: by the files that are shipped, once a second."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.envoy.running import free_port, get, until
from tests.patience import PATIENCE

SHIPPED = Path(__file__).parents[2] / "envoy"

Sample = tuple[dict[str, str], float]
"""Labels and value."""


def program(name: str) -> str:
    """Path of one of Prometheus' programs; where there is none the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here; install it with: apt-get install prometheus")
    return found


class Prometheus:
    """Asks the debug port of a server, with the alerts that are shipped."""

    def __init__(self, directory: Path, debug_port: int) -> None:
        shipped = (SHIPPED / "prometheus.yml").read_text()
        config = yaml.safe_load(shipped.replace("localhost:15014", f"127.0.0.1:{debug_port}"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(SHIPPED / name) for name in config["rule_files"]]
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.port = free_port()
        with (directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until(lambda: get(self.port, "/-/ready"), what=f"Prometheus is ready, see {directory}/prometheus.log")

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """What it answers now, or what it would have answered at another time."""
        data = self.api("query", query=expression, **({} if at is None else {"time": str(at)}))
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def api(self, path: str, **asked: str) -> Any:
        """The data at a path of its API."""
        answer = json.loads(get(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(asked)}"))
        assert answer["status"] == "success", answer
        return answer["data"]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
