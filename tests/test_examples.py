"""The example policies: what compose serves, and what the README shows, is valid and means what it says."""

from __future__ import annotations

from tests.examples import OWNERS_FILES, POLICIES
from xds_server.mesh.traffic import LoadBalancing
from xds_server.mesh.workload import Workload
from xds_server.offline import Offline
from xds_server.problem import Severity
from xds_server.xds import type_url


def test_every_example_is_in_force() -> None:
    """No error in any of them, and nothing that is not applied."""
    problems = Offline([POLICIES], "default").generation.problems

    assert {problem.severity for problem in problems} <= {Severity.WARNING, Severity.NOTE}
    assert "no-effect" not in {problem.code for problem in problems}


def test_old_spellings_are_each_met_with_a_note() -> None:
    """Never an error, and never silence."""
    notes = [p for p in Offline([POLICIES], "default").generation.problems if p.code == "old-spelling"]

    assert {problem.file for problem in notes} == set(OWNERS_FILES)
    assert all(problem.severity is Severity.NOTE and problem.fix for problem in notes)


def test_owners_documents_take_effect_together() -> None:
    """Balancing from one DestinationRule, limits and ejection from the other."""
    offline = Offline([POLICIES], "default")
    policy = offline.generation.mesh.scope("default").backends["worker-service"].traffic.policies.default

    assert policy.load_balancer.policy is LoadBalancing.LEAST_REQUEST
    assert policy.connection_pool.max_connections == 100
    assert policy.outlier_detection is not None
    assert policy.outlier_detection.max_ejection_percent == 50


def test_worker_service_is_a_cluster_under_istios_name() -> None:
    """What people know of `outbound|80||worker-service` carries over."""
    snapshot = Offline([POLICIES], "default").snapshot_for(Workload("web", "default"))

    assert "outbound|80||worker-service" in snapshot.of_type(type_url.CLUSTER)
