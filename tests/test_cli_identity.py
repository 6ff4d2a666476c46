"""The commands that work on the state directory, as users run them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.test_cli import run
from xds_server.identity.authentication import certificate_proof, token_proof
from xds_server.identity.authority_files import read_authority
from xds_server.mesh.identity import TrustDomain


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_enroll_writes_what_only_the_node_may_read(state: Path, tmp_path: Path) -> None:
    done = run("enroll", "web.shop", "-o", tmp_path, "--service-account", "shop", "--state-dir", state)
    directory = tmp_path / "web.shop"
    proof = certificate_proof((directory / "tls.crt").read_bytes(), datetime.now(UTC))

    assert done.returncode == 0, done.stderr
    assert str(proof.principal) == "spiffe://cluster.local/ns/shop/sa/shop/node/web"
    assert {path.name for path in directory.iterdir()} == {"bootstrap.yaml", "ca.pem", "sds.yaml", "tls.crt", "tls.key"}
    assert mode(directory) == 0o700
    assert {mode(path) for path in directory.iterdir()} == {0o600}
    assert (state / "node-ca" / "ca-key.pem").read_text() not in "".join(p.read_text() for p in directory.iterdir())


def test_enroll_with_a_token_writes_no_key(state: Path, tmp_path: Path) -> None:
    run("enroll", "web", "-o", tmp_path, "--token", "--days", "2", "--state-dir", state)
    directory = tmp_path / "web.default"
    token = (directory / "token").read_text()
    node_root = read_authority(state / "node-ca", datetime.now(UTC)).certificate
    proof = token_proof(f"Bearer {token}", node_root, TrustDomain(), datetime.now(UTC))

    assert proof.principal.label == "web.default"
    assert timedelta(days=1.9) < proof.expires - datetime.now(UTC) < timedelta(days=2.1)
    assert token in (directory / "sds.yaml").read_text()
    assert "PRIVATE KEY" not in "".join(path.read_text() for path in directory.iterdir())


@pytest.mark.parametrize("token", [(), ("--token",)], ids=str)
def test_real_envoy_takes_the_bootstrap(
    token: tuple[str, ...], state: Path, tmp_path: Path, envoy_binary: Path
) -> None:
    run("enroll", "web", "-o", tmp_path, "--xds-address", "mesh:15010", *token, "--state-dir", state)

    done = subprocess.run(
        [envoy_binary, "--mode", "validate", "-c", tmp_path / "web.default" / "bootstrap.yaml", "-l", "warn"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_enroll_names_files_as_envoy_sees_them(state: Path, tmp_path: Path) -> None:
    run("enroll", "web", "-o", tmp_path, "--seen-as", "/etc/envoy", "--state-dir", state)
    text = (tmp_path / "web.default" / "bootstrap.yaml").read_text()

    assert "/etc/envoy/ca.pem" in text
    assert str(tmp_path) not in text


def test_enroll_gives_the_files_to_whoever_envoy_runs_as(state: Path, tmp_path: Path) -> None:
    owner = f"{os.getuid()}:{os.getgid()}"

    assert run("enroll", "web", "-o", tmp_path, "--owner", owner, "--state-dir", state).returncode == 0
    assert "UID:GID" in run("enroll", "web", "-o", tmp_path, "--owner", "envoy", "--state-dir", state).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "serve --auth certificate"),
        (("--token", "--xds-address", "mesh:15010"), "serve --auth token"),
        (("--xds-address", "mesh:15010"), ""),
    ],
    ids=str,
)
def test_enroll_says_what_a_server_does_not_do_by_itself(
    arguments: tuple[str, ...], told: str, state: Path, tmp_path: Path
) -> None:
    done = run("enroll", "web", "-o", tmp_path, *arguments, "--state-dir", state)

    assert (done.returncode, done.stderr.rpartition("xds-server ")[2].strip()) == (0, told)


@pytest.mark.parametrize("node", ["a/b", "..", "a b", "web.", "", "a..b", ".a.b"])
def test_node_that_cannot_be_named_is_not_enrolled(node: str, state: Path, tmp_path: Path) -> None:
    done = run("enroll", node, "-o", tmp_path, "--state-dir", state)

    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_second_enrolment_renews_the_first(state: Path, tmp_path: Path) -> None:
    def secret() -> str:
        run("enroll", "web", "-o", tmp_path, "--state-dir", state)
        (resource,) = yaml.safe_load((tmp_path / "web.default" / "sds.yaml").read_text())["resources"]
        return str(resource["tls_certificate"]["private_key"]["inline_string"])

    assert secret() != secret()


def test_loose_state_directory_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o755)

    done = run("serve", tmp_path, "--state-dir", tmp_path / "state")

    assert done.returncode == 2
    assert f"chmod 0700 {tmp_path / 'state'}" in done.stderr.replace("\n", "")


def test_revoke_names_the_node(state: Path, tmp_path: Path) -> None:
    run("enroll", "web.shop", "-o", tmp_path, "--state-dir", state)
    done = run("revoke", "web.shop", "--state-dir", state)

    assert (done.returncode, done.stdout, done.stderr) == (0, "web.shop is revoked\n", "")
    assert (state / "revoked" / "web.shop").exists()
    assert run("revoke", "../web", "--state-dir", state).returncode == 2


def test_whoever_was_never_enrolled_is_revoked_with_a_warning(state: Path, tmp_path: Path) -> None:
    """Who misspells a name must not take it for done; but a copy of the directory knows not whom another enrolled."""
    run("enroll", "reviews", "-o", tmp_path, "--state-dir", state)
    done = run("revoke", "reveiws", "nobody.far", "--state-dir", state)

    assert (done.returncode, done.stdout) == (0, "reveiws.default is revoked\nnobody.far is revoked\n")
    assert done.stderr == (
        f"warning: nobody was enrolled as reveiws.default from {state}; did you mean reviews.default?\n"
        f"warning: nobody was enrolled as nobody.far from {state}\n"
    )
    assert (state / "revoked" / "nobody.far").exists()
    assert (mode(state / "enrolled"), mode(state / "enrolled" / "reviews.default")) == (0o700, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_what_root_notes_of_an_enrolment_can_be_read_by_the_owner_of_the_state_directory(tmp_path: Path) -> None:
    """With Docker, enroll runs as root and revoke as the server does."""
    run("enroll", "web", "-o", tmp_path, "--state-dir", tmp_path / "state")
    for path in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
        os.chown(path, 65532, 65532)
    run("enroll", "pay", "-o", tmp_path, "--state-dir", tmp_path / "state")

    assert {path.stat().st_uid for path in (tmp_path / "state").rglob("*")} == {65532}


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_root_notes_no_enrolment_through_a_link(tmp_path: Path) -> None:
    """Whoever owns the state directory may have put it there, to be given a directory of root's."""
    run("enroll", "web", "-o", tmp_path, "--state-dir", tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / "enrolled")
    for path in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
        os.chown(path, 65532, 65532)
    of_root = tmp_path / "of-root"
    of_root.mkdir(0o700)
    (tmp_path / "state" / "enrolled").symlink_to(of_root)

    assert run("enroll", "pay", "-o", tmp_path, "--state-dir", tmp_path / "state").returncode == 0

    assert (of_root.stat().st_uid, list(of_root.iterdir())) == (0, [])


@pytest.mark.parametrize("command", [("revoke", "web"), ("ca", "rotate")], ids=" ".join)
def test_what_no_server_would_see_is_not_done(command: tuple[str, ...], tmp_path: Path) -> None:
    """A node is not revoked because a directory with the wrong name says so."""
    done = run(*command, "--state-dir", tmp_path / "wrong")

    assert done.returncode == 2
    assert "wrong is no server's state directory" in done.stderr
    assert not (tmp_path / "wrong").exists()


def test_a_place_where_nothing_can_be_written_is_named_with_its_option(state: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = run("enroll", "web", "-o", tmp_path / "file", "--state-dir", state)

    assert done.returncode == 2
    assert "choose another with --output" in done.stderr


def test_rotation_begins_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run("enroll", "web", "-o", tmp_path, "--state-dir", state)
    begun = run("ca", "rotate", "--grace", "0", "--state-dir", state)
    again = run("ca", "rotate", "--state-dir", state)

    assert begun.returncode == 0, begun.stderr
    assert json.loads((state / "rotation.json").read_text())["phase"] == "trust-both"
    assert again.returncode == 2
    assert "under way" in again.stderr
