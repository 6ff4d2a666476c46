"""The pipeline over files, without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import istio
from xds_server.errors import ConfigurationError
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.workload import Workload
from xds_server.offline import Offline, checked
from xds_server.pipeline import Generation
from xds_server.xds import type_url

LookedAt = Callable[..., Generation]

SERVICE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: worker}
spec:
  hosts: [worker]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "worker.yaml").write_text(SERVICE)
    return tmp_path


def test_snapshot_is_what_a_server_would_send(policies: Path) -> None:
    hidden = SERVICE.replace("worker", "hidden").replace("spec:", "spec:\n  exportTo: [.]")
    (policies / "hidden.yaml").write_text(hidden)
    seen = {
        namespace: {
            name
            for name in Offline([policies], "default")
            .snapshot_for(Workload("web", namespace))
            .of_type(type_url.CLUSTER)
            if name.startswith("outbound")
        }
        for namespace in ("default", "other")
    }

    assert seen == {"default": {"outbound|80||worker", "outbound|80||hidden"}, "other": {"outbound|80||worker"}}


def test_one_bad_file_leaves_the_others_in_force(policies: Path) -> None:
    (policies / "bad.yaml").write_text(SERVICE.replace("name: worker", "name: bad").replace("hosts:", "host:"))

    generation = Offline([policies], "default").generation

    assert [document.name for document in generation.policies.documents] == ["worker"]
    assert {problem.file for problem in generation.problems} == {"bad.yaml"}


def test_check_says_why_envoy_was_not_asked(policies: Path) -> None:
    assert checked([policies], "default", validation=False).not_validated == "not asked for"


def test_check_asks_the_envoy_there_is(policies: Path) -> None:
    found = checked([policies], "default")

    assert found.not_validated == ""
    assert found.generation.problems == ()


def offline(paths: list[Path], namespace: str = "default", **options: Any) -> Generation:
    """What `render` and `why` look at."""
    return Offline(paths, namespace, **options).generation


def unasked(paths: list[Path], namespace: str = "default", **options: Any) -> Generation:
    """What `check` looks at, without an Envoy."""
    return checked(paths, namespace, validation=False, **options).generation


BOTH = pytest.mark.parametrize("looked_at", [offline, unasked])


@BOTH
def test_documents_that_name_no_namespace_are_in_the_one_that_is_said(looked_at: LookedAt, policies: Path) -> None:
    assert [document.namespace for document in looked_at([policies], "shop").policies.documents] == ["shop"]


@BOTH
def test_root_namespace_is_the_one_that_is_said(looked_at: LookedAt, policies: Path) -> None:
    assert looked_at([policies], root_namespace="infra").mesh.root_namespace == "infra"


@BOTH
def test_secrets_are_looked_at_where_they_are_said_to_be(looked_at: LookedAt, policies: Path, tmp_path: Path) -> None:
    without, found = looked_at([policies]), looked_at([policies], secrets=tmp_path / "none")

    assert without.problems == ()
    assert [problem.code for problem in found.problems] == ["unusable-credential"]


@BOTH
def test_trust_domain_is_the_one_that_is_said(looked_at: LookedAt, policies: Path) -> None:
    mesh = (
        "kind: MeshConfig\napiVersion: mesh.istio.io/v1alpha1\nmetadata: {name: mesh}\nspec: {trustDomain: a.example}\n"
    )
    (policies / "mesh.yaml").write_text(mesh)
    own, other = looked_at([policies], trust_domain=TrustDomain("a.example")), looked_at([policies])

    assert ([one.field for one in own.problems], [one.field for one in other.problems]) == ([], ["spec.trustDomain"])


def test_check_says_what_envoy_refuses(policies: Path) -> None:
    refused = "headers: {request: {set: {x-a: '%NO_SUCH_COMMAND%'}}}"
    http = f"http: [{{route: [{{destination: {{host: worker}}}}], {refused}}}]"
    (policies / "bad.yaml").write_text(istio("VirtualService", f"hosts: [worker], {http}"))

    assert [problem.code for problem in checked([policies], "default").generation.problems] == ["refused-by-envoy"]


def test_an_envoy_that_is_named_and_does_not_work_is_an_error(policies: Path) -> None:
    """Who names one wants to know what that one says: no answer of it is no note beside an exit status of 0."""
    with pytest.raises(ConfigurationError, match=r"^--envoy: /bin/false does not work: .*; name one that works here"):
        checked([policies], "default", envoy=Path("/bin/false"))

    assert checked([policies], "default", validation=False, envoy=Path("/bin/false")).not_validated == "not asked for"
