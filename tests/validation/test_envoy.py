"""What runs of Envoy come to: with the real binary, and with programs that behave as a broken one would."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from tests.envoy.running import until
from xds_server.translate.encode import any_of, encode
from xds_server.validation.envoy import (
    Outcome,
    Verdict,
    cleaned,
    find_envoy,
    recognised,
    remove_left_behind,
    validate,
    verdict,
)

LOG_LINE = "[2026-01-02 12:00:00.000][7][critical][main] [source/server/config_validation/server.cc:76] "
ADS = core_v3.ConfigSource(ads=core_v3.AggregatedConfigSource(), resource_api_version=core_v3.ApiVersion.V3)


def bootstrap(**cluster: object) -> bytes:
    """A bootstrap with one cluster."""
    message = cluster_v3.Cluster(name="c", **cluster)  # type: ignore[arg-type] # a Cluster's own
    resources = bootstrap_v3.BootstrapStaticResources(clusters=[message])
    node = core_v3.Node(id="validate", cluster="validate")
    return encode(bootstrap_v3.Bootstrap(node=node, static_resources=resources))


def program(directory: Path, script: str) -> Path:
    """An executable that takes Envoy's place."""
    path = directory / "envoy"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


def is_empty(directory: Path) -> bool:
    return not list(directory.iterdir())


def runs(process_id: str) -> bool:
    return Path(f"/proc/{process_id}").exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, empty at first."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


async def test_what_envoy_loads_is_valid(envoy_binary: Path) -> None:
    assert await validate(envoy_binary, bootstrap()) == Verdict(Outcome.VALID)


async def test_what_envoy_refuses_is_invalid_with_its_reason(envoy_binary: Path) -> None:
    found = await validate(envoy_binary, bootstrap(type=cluster_v3.ClusterDiscoveryType.LOGICAL_DNS))

    assert found.outcome is Outcome.INVALID
    assert "LOGICAL_DNS clusters must have a single" in found.reason


async def test_a_crash_says_nothing(envoy_binary: Path) -> None:
    """Envoy 1.40 dies in validate mode of a cluster whose certificate comes by ADS, which it would serve well."""
    secret = tls_v3.SdsSecretConfig(name="default", sds_config=ADS)
    context = tls_v3.UpstreamTlsContext(
        common_tls_context=tls_v3.CommonTlsContext(tls_certificate_sds_secret_configs=[secret])
    )
    socket = core_v3.TransportSocket(name="envoy.transport_sockets.tls", typed_config=any_of(context))

    assert (await validate(envoy_binary, bootstrap(transport_socket=socket))).outcome is Outcome.CRASHED


async def test_a_program_that_is_no_envoy_fails(tmp_path: Path) -> None:
    assert await validate(program(tmp_path, "echo usage >&2; exit 2"), b"") == Verdict(
        Outcome.FAILED, "exit status 2: usage"
    )


async def test_an_envoy_is_known_by_how_it_says_its_version(envoy_binary: Path) -> None:
    assert await recognised(envoy_binary) == Verdict(Outcome.VALID)


@pytest.mark.parametrize("binary", ["/bin/true", "/bin/false", "/none"])
async def test_what_says_no_version_of_envoys_is_none(binary: str) -> None:
    assert (await recognised(Path(binary))).outcome is Outcome.FAILED


async def test_a_binary_that_is_not_there_fails(tmp_path: Path) -> None:
    assert (await validate(tmp_path / "envoy", b"")).outcome is Outcome.FAILED


async def test_an_envoy_that_hangs_is_ended(tmp_path: Path, temporary: Path) -> None:
    found = await validate(program(tmp_path, "exec sleep 600"), b"", time_limit=0.2)

    assert found == Verdict(Outcome.FAILED, "no answer within 0.2 s")
    assert is_empty(temporary)


async def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))

    assert (await validate(program(tmp_path, "exit 0"), b"")).outcome is Outcome.FAILED


async def test_only_we_can_read_the_bootstrap_and_it_does_not_stay(tmp_path: Path, temporary: Path) -> None:
    seen = tmp_path / "seen"
    await validate(program(tmp_path, f'for last; do :; done; stat -c "%a" "$last" >{seen}; cat "$last" >>{seen}'), b"x")

    assert seen.read_text() == "600\nx"
    assert is_empty(temporary)


async def test_envoy_runs_at_low_priority(tmp_path: Path) -> None:
    """It must not take time from the streams."""
    seen = tmp_path / "seen"
    script = f"for i in 1 2 3 4 5 6 7 8 9; do cut -d' ' -f19 /proc/$$/stat >{seen}; sleep 0.02; done"
    await validate(program(tmp_path, script), b"")

    assert int(seen.read_text()) == 10


async def test_cancelled_it_leaves_no_process_and_no_file(tmp_path: Path, temporary: Path) -> None:
    started = tmp_path / "started"
    task = asyncio.create_task(validate(program(tmp_path, f"echo $$ >{started}; exec sleep 600"), b""))
    process_id = (await asyncio.to_thread(until, started.read_text, what="it runs")).strip()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not runs(process_id)
    assert is_empty(temporary)


def test_what_a_killed_server_left_behind_is_removed_once_it_is_old(temporary: Path) -> None:
    """A run of another server may be using what is new."""
    old, new, other = (temporary / name for name in ("xds-server-a.pb", "xds-server-b.pb", "other.pb"))
    for path, age in ((old, 101), (new, 99), (other, 1000)):
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))

    remove_left_behind(1000.0)

    assert {path.name for path in temporary.iterdir()} == {new.name, other.name}


@pytest.mark.parametrize(
    ("status", "said", "found"),
    [
        (0, "", Verdict(Outcome.VALID)),
        (
            1,
            f"{LOG_LINE}error initializing configuration '/tmp/x.pb': Not supported field in StreamInfo: BOGUS\n",
            Verdict(Outcome.INVALID, "Not supported field in StreamInfo: BOGUS"),
        ),
        (1, "cannot load libraries", Verdict(Outcome.FAILED, "exit status 1: cannot load libraries")),
        (1, "", Verdict(Outcome.FAILED, "exit status 1: it says nothing")),
        (-11, "error initializing configuration '/tmp/x.pb': ha", Verdict(Outcome.CRASHED, "ended by signal 11")),
    ],
    ids=["valid", "invalid", "failed", "failed in silence", "crashed"],
)
def test_only_a_refusal_in_so_many_words_is_invalid(status: int, said: str, found: Verdict) -> None:
    assert verdict(status, said) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("missing ]: [\n", "missing ]: ["),
        ("two\n  lines\n", "two lines"),
        ("in /tmp/xds-server-abc.pb there is no c", "in the configuration there is no c"),
        (
            'name: "c"\n: Proto constraint validation failed (StaticResourcesValidationError.Clusters[4]: embedded '
            "message failed validation | caused by ClusterValidationError.ConnectTimeout: value must be > 0s)",
            "Cluster.ConnectTimeout: value must be > 0s",
        ),
        ("x" * 301, "x" * 300 + "…"),
    ],
)
def test_a_reason_is_one_line_for_a_person(text: str, reason: str) -> None:
    assert cleaned(text) == reason


def test_the_named_binary_comes_first(tmp_path: Path) -> None:
    assert find_envoy(tmp_path / "mine") == tmp_path / "mine"


def test_the_wheel_comes_before_the_path(envoy_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(program(tmp_path, "exit 0").parent))

    assert find_envoy() == envoy_binary
    assert envoy_binary.stat().st_mode & stat.S_IXUSR
