"""A sidecar is given a credential by a rule that selects it, and by no other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy.running import Control, Envoy, envoy, get, until
from tests.envoy.test_mtls import Bank


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """It asks for a certificate."""
    found = Bank(tmp_path / "bank", asks=True)
    yield found
    found.backend.close()


@pytest.fixture
def control(tmp_path: Path, bank: Bank) -> Iterator[Control]:
    """With the bank's certificate as credential `bank`."""
    credential = tmp_path / "secrets" / "bank"
    credential.mkdir(parents=True)
    for file, name in (("tls.key", "KEY"), ("tls.crt", "CERT"), ("ca.crt", "CA")):
        shutil.copy(bank.files[name], credential / file)
        (credential / file).chmod(0o600)
    found = Control(tmp_path, "--secrets", str(tmp_path / "secrets"))
    yield found
    found.close()


def secrets_of(caller: Envoy) -> str:
    """What it was given, by name."""
    return get(caller.admin_port, "/config_dump?resource=dynamic_active_secrets&mask=name")


def test_only_the_selected_workload_calls_with_the_credential(
    control: Control, bank: Bank, envoy_binary: Path, tmp_path: Path
) -> None:
    """Nobody else is given it, and nobody else's call is sent."""
    policies = bank.policies("bank", "mode: MUTUAL, credentialName: bank, sni: bank")
    selecting = policies.replace(
        "spec: {host: bank, ", "spec: {host: bank, workloadSelector: {matchLabels: {app: teller}}, "
    )
    control.write("bank.yaml", policies.replace("metadata: {name: bank}", "metadata: {name: bank-for-all}", 2))
    control.write("teller.yaml", "---\n".join(selecting.split("---\n")[1:]).replace("name: bank}", "name: teller}"))
    teller = envoy(control, envoy_binary, tmp_path, "teller", labels={"app": "teller"}).wait()
    other = envoy(control, envoy_binary, tmp_path, "other", labels={"app": "other"}).wait()

    try:
        until(lambda: teller.call("bank").body == "bank", what="the selected workload's call is answered")
        assert other.call("bank").status == 503
        assert "kubernetes://bank" in secrets_of(teller)
        assert "kubernetes://bank" not in secrets_of(other)
    finally:
        teller.close()
        other.close()
    assert "no-credential-for-sidecars" in {problem["code"] for problem in control.problems()}
