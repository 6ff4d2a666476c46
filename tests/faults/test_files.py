"""What editors, deployments and broken disks do to policy files, done to a running server while requests flow."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.envoy.running import Control, until
from tests.faults.fleet import fleet, in_step, node_id
from tests.faults.policies import pool, route, save, service, snapshots
from tests.faults.site import HOST, Site, metric
from tests.patience import PATIENCE
from tests.store.test_watcher import delete_and_create, emacs, nano, rsync, vim
from xds_server.store.directory import Rules
from xds_server.xds.type_url import ENDPOINT

TRUNCATIONS = 1000
FILES = 20


@pytest.fixture
def eager(tmp_path: Path) -> Iterator[Control]:
    """A server that looks at once, without waiting for quiet, and so sees every state of a file that it can."""
    (tmp_path / "policies").mkdir()
    for number in range(FILES):
        both = [f"s{number}", f"t{number}"]
        text = "".join(service(host, [9, 10]) + route(host, host) + pool(host, 7) for host in both)
        save(tmp_path / "policies" / f"{number}.yaml", text)
    control = Control(tmp_path, "--debounce", "0", "--scan-interval", "0.2")
    yield control
    control.close()


async def test_a_thousand_half_written_files_take_nothing_away(eager: Control) -> None:
    """Each is cut at a random place, is seen so, and is then written to its end: no proxy is told anything.

    Where this machine stood still between the two halves for as long as the server waits, the cut counts as an edit.
    """
    nodes = [node_id(number) for number in range(2)]
    paths = sorted(eager.policies.glob("*.yaml"))
    texts = {path: path.read_text() for path in paths}
    choice, slowest = random.Random(4), 0.0  # the same places in every run
    async with fleet(eager.xds_port, 2) as proxies:
        await in_step(proxies, snapshots(eager.policies, nodes))
        before = [dict(proxy.taken) for proxy in proxies]
        for _ in range(TRUNCATIONS):
            path = choice.choice(paths)
            began = time.monotonic()
            await asyncio.to_thread(_write_in_two_parts, path, texts[path], choice.randrange(len(texts[path])), eager)
            slowest = max(slowest, time.monotonic() - began)
        save(eager.policies / "after.yaml", service("after", [11]))
        await in_step(proxies, snapshots(eager.policies, nodes))

    if slowest < Rules().half_written_grace / 2:
        assert [proxy.has_lost for proxy in proxies] == [set(), set()]
        assert [proxy.taken[ENDPOINT] - was[ENDPOINT] for proxy, was in zip(proxies, before, strict=True)] == [1, 1]
    assert eager.problems() == []


def _write_in_two_parts(path: Path, text: str, cut: int, control: Control) -> None:
    with path.open("w") as file:
        file.write(text[:cut])
        file.flush()
        control.problems()  # the server's loop has turned: it may have been told of the first part, and have read it
        file.write(text[cut:])


def real_vim(path: Path, text: str) -> None:
    """The real one, if it is here."""
    if not shutil.which("vim"):
        pytest.skip("no vim here")
    new = path.with_name(".new")
    new.write_text(text)
    script = ["-c", "%d", "-c", f"0read {new}", "-c", "$d", "-c", "wq"]
    subprocess.run(["vim", "-u", "NONE", "-es", *script, path], check=True, timeout=PATIENCE)
    new.unlink()


def real_sed(path: Path, text: str) -> None:
    """The real one: changes the port."""
    port = text.partition("ports: {http: ")[2].partition("}")[0]
    subprocess.run(["sed", "-i", f"s/ports: {{http: [0-9]*}}/ports: {{http: {port}}}/", path], check=True)


def real_git(path: Path, text: str) -> None:
    """A checkout of another commit."""
    git = ["git", "-C", str(path.parent), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.fsync=none"]
    old = path.read_text()
    for command in (["init", "-q"], ["add", path.name], ["commit", "-qm", "old"]):
        subprocess.run([*git, *command], check=True)
    tree = path.parent / ".git" / "next"
    tree.write_text(text)
    blob = subprocess.run([*git, "hash-object", "-w", str(tree)], check=True, capture_output=True, text=True).stdout
    subprocess.run([*git, "update-index", "--cacheinfo", f"100644,{blob.strip()},{path.name}"], check=True)
    subprocess.run([*git, "commit", "-qm", "new"], check=True)
    subprocess.run([*git, "checkout", "-q", "--", path.name], check=True)
    assert old != path.read_text()
    shutil.rmtree(path.parent / ".git")


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A server that waits long enough for quiet that whoever saves a file may be held up in the middle of it."""
    control = Control(tmp_path_factory.mktemp("patient"), "--debounce", "1")
    yield control
    control.close()


def generation(control: Control) -> float:
    return metric(control, "xds_server_generation")


@pytest.mark.parametrize("edit", [vim, nano, rsync, emacs, delete_and_create, real_vim, real_sed, real_git])
async def test_each_way_to_save_a_file_is_one_generation(patient: Control, edit: Callable[[Path, str], None]) -> None:
    """The second edit proves that nothing of the first was still to come."""
    nodes = [node_id(0)]
    path = patient.policies / "edited.yaml"
    save(path, service("edited", [9]))
    async with fleet(patient.xds_port, 1) as proxies:
        await in_step(proxies, snapshots(patient.policies, nodes))
        before = await asyncio.to_thread(generation, patient)

        await asyncio.to_thread(edit, path, service("edited", [10]))
        await in_step(proxies, snapshots(patient.policies, nodes))
        save(path, service("edited", [11]))
        await in_step(proxies, snapshots(patient.policies, nodes))

        assert await asyncio.to_thread(generation, patient) == before + 2
        assert proxies[0].has_lost == set()


def test_a_config_map_that_is_swapped_is_one_generation(site: Site) -> None:
    """Kubernetes replaces all its files at once by renaming one link."""
    mounted = site.control.policies / "mounted"
    for generation in (1, 2):
        (mounted / f"..{generation}").mkdir(parents=True)
        backend = site.traffic.backend(f"mount {generation}")
        for name in "abc":
            (mounted / f"..{generation}" / f"{name}.yaml").write_text(service(f"mounted-{name}", [backend]))
    (mounted / "..data").symlink_to("..1")
    for name in "abc":
        (mounted / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    for name in "abc":
        site.await_service(f"mounted-{name}")
    before = site.generation

    (mounted / "..data_tmp").symlink_to("..2")
    (mounted / "..data_tmp").rename(mounted / "..data")
    for name in "abc":
        until(lambda name=name: {one.call(f"mounted-{name}").body for one in site.envoys} == {"mount 2"})  # type: ignore[misc]  # a loop variable
    site.apply("mark", service("mark", [site.traffic.backend("mark")]))
    site.await_service("mark")

    assert site.generation == before + 2
    assert site.control.problems() == []


def bad(name: str) -> dict[str, bytes]:
    """Files that cannot be taken; those of which one can tell what they are about are about the service `name`."""
    head = f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}"
    return {
        "cut.yaml": head.encode(),
        "bomb.yaml": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 9)) for n in range(97, 110)),
        "deep.yaml": b"[" * 20_000,
        "twice.yaml": f"{head}}}\nkind: VirtualService\n".encode(),
        "binary.yaml": bytes(range(256)) * 40,
        "latin.yaml": f"{head}, labels: {{a: caf\xe9}}}}\n".encode("latin-1"),
        "flat.yaml": b"a: [" + b"1," * 1_000_000,
        "many.yaml": b"---\nkind: x\n" * 100_000,
        "huge.yaml": b"a: " + b"x" * (5 << 20),
        "keys.yaml": f"{head}}}\nspec:\n{''.join(f'  key{n}: 1{chr(10)}' for n in range(100_000))}".encode(),
        "tag.yaml": b"!!python/object/apply:os.system ['true']\n",
        "types.yaml": service(name, [9]).replace(f"hosts: [{name}]", "hosts: 7").encode(),
        "field.yaml": service(name, [9]).replace("resolution:", "resolutoin:").encode(),
    }


def test_bad_files_are_told_one_by_one_and_hold_up_nothing(site: Site) -> None:
    """All at once, with a good edit behind them that comes into force, and no request fails."""
    peak, files = site.process.memory(), bad("other")
    with site.load() as flows:
        for name, content in files.items():
            (site.control.policies / name).write_bytes(content)
        site.apply("good", service("good", [site.traffic.backend("good")]))
        site.await_service("good")
        until(lambda: wrong(site) >= files.keys(), what="each is told")

    assert wrong(site) == files.keys()
    assert [flow.failed for flow in flows] == [{}, {}]
    assert site.process.memory("VmHWM") - peak < 400 << 20


def wrong(site: Site) -> set[str]:
    """Files with errors."""
    return {problem["file"] for problem in site.control.problems() if problem["severity"] == "error"}


def test_a_file_that_goes_bad_keeps_its_last_good_form(site: Site) -> None:
    """Each bad content takes the place of the service that is being called."""
    path = site.control.policies / f"{HOST}.yaml"
    good = path.read_text()
    with site.load() as flows:
        for name, content in bad(HOST).items():
            path.write_bytes(content)
            until(site.control.problems, what=f"{name} is told")
            path.write_text(good)
            until(lambda: site.control.problems() == [], what="the good form is taken")

    assert [flow.failed for flow in flows] == [{}, {}]


def test_a_root_that_is_gone_or_emptied_changes_nothing(site: Site) -> None:
    """Unmounted, then made anew with nothing in it, then put back: requests flow on, and edits are taken after it."""
    root = site.control.policies
    away = root.with_name("away")
    with site.load() as flows:
        root.rename(away)
        until(lambda: _codes(site) == {"root-missing"}, what="the missing root is told")
        root.mkdir()
        until(lambda: _codes(site) == {"mass-delete-held"}, what="the empty root is told")
        root.rmdir()
        away.rename(root)
        until(lambda: _codes(site) == set(), what="the root is back")
        site.apply("edit", service("edit", [site.traffic.backend("edit")]))
        site.await_service("edit")

    assert [flow.failed for flow in flows] == [{}, {}]


def _codes(site: Site) -> set[str]:
    return {problem["code"] for problem in site.control.problems()}


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """The policies are on it, and the server's log: what an editor could write of a file is not believed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        asyncio.run(_on_full_disk(disk))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def _on_full_disk(disk: Path) -> None:
    (disk / "policies").mkdir()
    for name in "ab":
        save(disk / "policies" / f"{name}.yaml", service(name, [9]))
    path, nodes = disk / "policies" / "a.yaml", [node_id(number) for number in range(60)]
    control = await asyncio.to_thread(Control, disk)
    try:
        snapshot = snapshots(control.policies, nodes)
        async with fleet(control.xds_port, 1) as proxies:
            await in_step(proxies, snapshot)
            with pytest.raises(OSError, match="No space left"):
                _write_for_ever(disk / "filler")
            with pytest.raises(OSError, match="No space left"):
                path.write_text(service("a", range(10_000)).replace("  endpoints:", '  endpoints: "'))
            async with fleet(control.xds_port, 60) as others:  # the log has no room for a line about each
                await in_step(others, snapshot)
            assert proxies[0].has_lost == set()
            (disk / "filler").unlink()
            path.write_text(service("a", [10]))
            await in_step(proxies, snapshots(control.policies, nodes))
    finally:
        await asyncio.to_thread(control.close)


def _write_for_ever(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
