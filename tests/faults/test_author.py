"""What an author of policies, or whoever can write into their directory, must not be able to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.envoy.running import until
from tests.faults.policies import service
from tests.faults.site import Site

SECRET = "sesame"  # noqa: S105  # a word to look for


def _link(target: str) -> Callable[[Path, Path], object]:
    return lambda root, outside: (root / "escape.yaml").symlink_to(target.format(outside=outside, root=root))


def _link_chain(root: Path, outside: Path) -> None:
    (root / ".one").symlink_to(outside)
    (root / ".two").symlink_to(".one")
    (root / "escape.yaml").symlink_to(".two/secret.yaml")


def _directory_in_a_directory(root: Path, outside: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "escape").symlink_to(outside)


def _link_to_a_name_that_begins_like_the_root(root: Path, outside: Path) -> None:
    beside = root.with_name(root.name + "-beside")
    beside.mkdir(exist_ok=True)
    (beside / "secret.yaml").write_text((outside / "secret.yaml").read_text())
    (root / "escape.yaml").symlink_to(beside / "secret.yaml")


def _config_map_of_elsewhere(root: Path, outside: Path) -> None:
    (root / "..data").symlink_to(outside)
    (root / "escape.yaml").symlink_to("..data/secret.yaml")


def _include(text: str) -> Callable[[Path, Path], object]:
    return lambda root, outside: (root / "escape.yaml").write_text(text.replace("{outside}", str(outside)))


ESCAPES: dict[str, Callable[[Path, Path], object]] = {
    "absolute link": _link("{outside}/secret.yaml"),
    "relative link": _link("../../outside/secret.yaml"),
    "link with detours": _link("./../policies/../../outside/./secret.yaml"),
    "link past the top": _link("/../../../../../..{outside}/secret.yaml"),
    "link through /proc": _link("/proc/self/root{outside}/secret.yaml"),
    "link to the directory": lambda root, outside: (root / "escape").symlink_to(outside),
    "link to the parent": lambda root, _: (root / "escape").symlink_to(".."),
    "link to the file system": lambda root, _: (root / "escape").symlink_to("/"),
    "link to itself": _link("escape.yaml"),
    "link to a device": _link("/dev/zero"),
    "link to a terminal": _link("/dev/stdin"),
    "chain of links": _link_chain,
    "link below a directory": _directory_in_a_directory,
    "name that begins like the root": _link_to_a_name_that_begins_like_the_root,
    "config map of elsewhere": _config_map_of_elsewhere,
    "pipe": lambda root, _: os.mkfifo(root / "escape.yaml"),
    "yaml include": _include("!include {outside}/secret.yaml\n"),
    "yaml path tag": _include("!!python/object/apply:pathlib.Path ['{outside}/secret.yaml']\n"),
    "template": _include(service("{{ lookup('file', '{outside}/secret.yaml') }}", [9])),
    "file as a host": _include(service("file://{outside}/secret.yaml", [9])),
    "file as an endpoint": _include(service("escape", [9]).replace("127.0.0.1", "unix://{outside}/../secret.sock/..")),
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_is_read_from_outside_the_root(site: Site, escape: str) -> None:
    """Neither in force nor told of; and what is written beside it is taken."""
    outside = site.directory / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret.yaml").write_text(service(SECRET, [9]))

    ESCAPES[escape](site.control.policies, outside)
    site.apply("beside", service("beside", [site.traffic.backend("beside")]))
    site.await_service("beside")

    assert SECRET not in json.dumps(site.control.debug("/debug/configz"))
    until(site.control.problems, what="the author is told")


def test_a_regular_expression_that_explodes_elsewhere_is_answered(site: Site) -> None:
    """(a+)+$ takes Python's own matcher ten seconds for 28 letters. It is Envoy's RE2 that runs it, in linear time."""
    host = "regex"
    match = "match: [{uri: {regex: '/(a+)+$'}}], "
    site.apply(host, service(host, [site.traffic.backend(host)]) + f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  http: [{{{match}route: [{{destination: {{host: {host}}}}}]}}]
""")  # fmt: skip
    site.await_service(host, status=404)

    for one in site.envoys:
        assert one.call(host, "/" + "a" * 5000).status == 200
        assert one.call(host, "/" + "a" * 5000 + "!").status == 404


@pytest.mark.parametrize(
    "pattern", ["(a{1000}){1000}", "(", "a" * 100_000, "(?=x)"], ids=["big", "open", "long", "perl"]
)
def test_a_regular_expression_that_envoy_would_refuse_is_told_and_not_sent(site: Site, pattern: str) -> None:
    host = "refused"
    before = site.metric("xds_server_nacks_total")
    site.apply(host, f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  http: [{{match: [{{uri: {{regex: '{pattern}'}}}}], route: [{{destination: {{host: base-1}}}}]}}]
""")  # fmt: skip
    until(lambda: [problem for problem in site.control.problems() if problem["file"] == f"{host}.yaml"])
    site.apply("beside", service("beside", [site.traffic.backend("beside")]))
    site.await_service("beside")

    assert site.metric("xds_server_nacks_total") == before
