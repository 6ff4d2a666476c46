"""Istio's rules for a WorkloadGroup, each in the words its author reads."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind
from xds_server.policy.workload_group import WorkloadGroupSpec


def test_every_part_is_read() -> None:
    document, problems = of_kind(
        "WorkloadGroup",
        """
        metadata: {labels: {app: web}, annotations: {note: x}}
        template:
          ports: {http: 8080}
          labels: {app: web}
          network: east
          locality: eu/eu-1/a
          weight: 2
          serviceAccount: web
        probe:
          initialDelaySeconds: 1
          timeoutSeconds: 2
          periodSeconds: 3
          successThreshold: 4
          failureThreshold: 5
          httpGet: {path: /ready, port: 8080, host: web, scheme: HTTP, httpHeaders: [{name: X-Probe, value: a}]}
        """,
    )

    assert problems == ()
    assert document is not None
    assert isinstance(document.spec, WorkloadGroupSpec)
    assert document.spec.template.weight == 2
    assert document.spec.probe is not None
    assert document.spec.probe.http_get is not None
    assert document.spec.probe.http_get.http_headers[0].name == "X-Probe"


def test_template_needs_no_address_but_must_be_there() -> None:
    assert not errors("WorkloadGroup", "template: {}")
    assert errors("WorkloadGroup", "metadata: {}") == [("template", "is required")]


@pytest.mark.parametrize(
    ("probe", "field", "message"),
    [
        ("{periodSeconds: 1}", "probe", "does not say how to probe"),
        ("{tcpSocket: {port: 80}, grpc: {port: 80}}", "probe.grpc", "only one of tcpSocket, grpc may be set"),
        ("{tcpSocket: {port: 65536}}", "probe.tcpSocket.port", "must be 65535 or less, not 65536"),
        ("{httpGet: {port: 80, scheme: FTP}}", "probe.httpGet.scheme", '"FTP" is not a scheme'),
        (
            '{httpGet: {port: 80, httpHeaders: [{name: "**"}]}}',
            "probe.httpGet.httpHeaders[0].name",
            '"**" is not a header name',
        ),
        (
            "{exec: {command: [ls]}}",
            "probe.exec",
            "a command can be run beside the application only, which no Envoy does",
        ),
        ("{tcpSocket: {port: 80}, timeoutSeconds: -1}", "probe.timeoutSeconds", "must be 0 or more, not -1"),
    ],
)
def test_probe_that_nobody_could_carry_out_is_refused(probe: str, field: str, message: str) -> None:
    assert errors("WorkloadGroup", f"template: {{}}\nprobe: {probe}") == [(field, message)]
