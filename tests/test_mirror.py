"""Each module has a test file of its name at its place, or stands here with the file that tests it."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "xds_server"

TESTED_THROUGH = {
    "compiler/extension_provider.py": "compiler/test_telemetry.py",
    "fields/telemetry.py": "fields/test_table.py",
    "policy/proxy_config.py": "policy/test_extension_provider.py",
    "policy/trace_tag.py": "policy/test_telemetry.py",
    "translate/collector.py": "translate/test_tracing.py",
    "__main__.py": "test_cli.py",
    "compiler/premises.py": "compiler/test_compile.py",
    "debug/config_dump.py": "debug/test_app.py",
    "debug/configz.py": "debug/test_app.py",
    "debug/pages.py": "debug/test_app.py",
    "debug/sources.py": "debug/test_app.py",
    "debug/syncz.py": "debug/test_app.py",
    "demo/story.py": "demo/test_main.py",
    "enroll.py": "test_cli_identity.py",
    "errors.py": "server/test_ads.py",
    "explain/held.py": "explain/test_way.py",
    "explain/traffic.py": "explain/test_header.py",
    "fields/destination_rule.py": "fields/test_table.py",
    "fields/gateway.py": "fields/test_table.py",
    "fields/mesh_config.py": "fields/test_table.py",
    "fields/security.py": "fields/test_table.py",
    "fields/services.py": "fields/test_table.py",
    "fields/virtual_service.py": "fields/test_table.py",
    "mesh/health_check.py": "compiler/test_probe.py",
    "mesh/metrics.py": "compiler/test_metrics.py",
    "mesh/request_header.py": "explain/test_request_headers.py",
    "mesh/sidecar.py": "compiler/test_sidecar.py",
    "server/peer.py": "server/test_ads.py",
    "signals/quantity.py": "signals/test_ledger.py",
    "translate/sensitive.py": "translate/test_to_json.py",
    "xds/messages.py": "server/test_wire.py",
    "xds/proxy_status.py": "server/test_status.py",
    "xds/resource.py": "server/test_wire.py",
}
"""Module: test file. Values without behaviour, and parts that make sense only as what they are a part of."""


def modules() -> list[str]:
    """Every module that is written by hand and holds more than a package's docstring."""
    found = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return sorted(str(path) for path in found if path.parts[0] != "_proto")


def own_test(module: str) -> Path:
    """Where the tests of a module belong."""
    path = TESTS / module
    return path.with_name(f"test_{path.name}")


def test_modules_are_tested_where_one_looks() -> None:
    """In a file of their own, or in that which the table names."""
    alone = {module for module in modules() if not own_test(module).is_file()}

    assert alone - TESTED_THROUGH.keys() == set(), "without tests"
    assert TESTED_THROUGH.keys() - alone == set(), "in the table for nothing"


@pytest.mark.parametrize("test", sorted(set(TESTED_THROUGH.values())))
def test_table_names_tests_there_are(test: str) -> None:
    assert (TESTS / test).is_file()
