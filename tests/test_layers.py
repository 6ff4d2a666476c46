"""Who may import whom: the architecture's table, checked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "xds_server"
LEAVES = {"errors", "problem", "memo", "ip_address"}
VOCABULARY = {"policy", "mesh", "xds"}

OURS: dict[str, set[str]] = {
    "errors": set(),
    "problem": set(),
    "memo": set(),
    "ip_address": set(),
    "policy": LEAVES,
    "mesh": LEAVES,
    "xds": LEAVES,
    "compiler": LEAVES | {"policy", "mesh"},
    "translate": LEAVES | {"mesh", "xds.resource", "xds.type_url"},
    "fields": LEAVES | {"policy"},
    "explain": LEAVES | {"xds", "mesh.request_header"},
    "pipeline": LEAVES | VOCABULARY | {"compiler", "translate"},
    "validation": LEAVES | {"xds", "translate"},
    "quarantine": LEAVES | {"policy"},
    "blame": LEAVES | VOCABULARY | {"quarantine"},
    "staging": LEAVES | VOCABULARY | {"pipeline"},
    "trial": LEAVES | VOCABULARY | {"quarantine", "blame", "translate.unit", "validation.validator"},
    "admission": LEAVES
    | VOCABULARY
    | {"pipeline", "staging", "quarantine", "blame", "trial", "translate", "validation"},
    "telemetry": LEAVES | {"mesh.host"},
    "store": LEAVES | VOCABULARY,
    "identity": LEAVES | VOCABULARY,
    "registry": LEAVES | VOCABULARY,
    "server": LEAVES | VOCABULARY | {"_proto", "telemetry"},
    "signals": LEAVES | {"mesh.workload", "telemetry.grpc_status", "translate.names"},
    "debug": LEAVES | VOCABULARY | {"signals", "telemetry"},
}
"""Our own modules that each layer may import, besides itself. The shell (app, cli, settings, log, __main__) may all."""

THEIRS: dict[str, set[str]] = {
    "errors": set(),
    "problem": set(),
    "memo": set(),
    "ip_address": set(),
    "policy": {"pydantic", "pydantic_core", "re2"},
    "mesh": set(),
    "xds": set(),
    "compiler": {"pydantic"},
    "translate": {"envoy_data_plane", "betterproto2"},
    "fields": {"pydantic"},
    "explain": {"envoy_data_plane", "betterproto2", "re2"},
    "pipeline": set(),
    "validation": {"structlog"},
    "quarantine": set(),
    "blame": set(),
    "trial": set(),
    "staging": set(),
    "admission": {"structlog"},
    "telemetry": set(),
    "store": {"structlog", "watchdog", "yaml", "pydantic"},
    "identity": {"structlog", "cryptography"},
    "registry": {"structlog", "pydantic"},
    "server": {"structlog", "grpc", "google", "grpc_health", "grpc_reflection"},
    "signals": set(),
    "debug": {"structlog", "starlette", "uvicorn", "jinja2", "prometheus_client"},
}
"""Third-party packages that each layer may import."""

STANDARD_LIBRARY_BANNED = {
    "xds": {"asyncio", "socket", "threading", "time"},
    "mesh": {"asyncio", "socket", "time", "os"},
    "signals": {"asyncio", "socket", "threading", "time", "os"},
}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "_proto" not in path.parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of each import, `from a import b` as "a.b" within our own package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            ours = node.module.startswith("xds_server")
            found += [(node.lineno, f"{node.module}.{a.name}" if ours else node.module) for a in node.names]
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_layer_imports_only_what_stands_below_it(module: Path) -> None:
    """The compiler's part in Python: a wrong arrow fails here with file and line."""
    layer = module.parts[0].removesuffix(".py")
    if layer not in OURS:
        return
    import sys

    for line, name in imports(PACKAGE / module):
        top, _, rest = name.partition(".")
        if top == "xds_server":
            allowed = OURS[layer] | {layer}
            ok = not rest or any(rest == a or rest.startswith(a + ".") for a in allowed)
            assert ok, f"{module}:{line}: {layer} may not import {name}"
        elif top in sys.stdlib_module_names:
            assert top not in STANDARD_LIBRARY_BANNED.get(layer, ()), f"{module}:{line}: {layer} may not import {name}"
        else:
            assert top in THEIRS[layer], f"{module}:{line}: {layer} may not import {name}"
