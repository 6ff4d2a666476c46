"""Who a proxy is to others: Istio's canonical service and revision."""

from __future__ import annotations

import pytest

from xds_server.mesh.workload import Workload
from xds_server.signals.edge import Teller, reporter


@pytest.mark.parametrize(
    ("labels", "service", "version"),
    [
        ({}, "web-1", ""),
        ({"app": "web", "version": "v1"}, "web", "v1"),
        ({"app": "web", "app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "2.1"}, "shop", "2.1"),
        ({"app": "web", "service.istio.io/canonical-name": "front", "version": ""}, "front", ""),
    ],
)
def test_service_and_version_are_those_of_the_first_label_that_says(
    labels: dict[str, str], service: str, version: str
) -> None:
    found = reporter(
        Workload("web-1", "shop", labels=tuple(sorted(labels.items()))), {80: "a", 70: "b"}, Teller("shop")
    )

    assert (found.service, found.namespace, found.version) == (service, "shop", version)
    assert found.hosts == ((70, "b"), (80, "a"))
