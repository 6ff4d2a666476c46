"""TLS that a sidecar ends for its application, where no mesh TLS is asked for."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, envoy, free_port, until
from tests.envoy.test_gateway import ask, pair, trusting

POLICIES = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: web}}
spec:
  workloadSelector: {{labels: {{app: web}}}}
  ingress:
  - port: {{number: {port}, name: https, protocol: HTTPS}}
    defaultEndpoint: 127.0.0.1:{app}
    tls: {{mode: SIMPLE, serverCertificate: {files}/tls.crt, privateKey: {files}/tls.key}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  portLevelMtls: {{{port}: {{mode: {mode}}}}}
"""


def test_sidecar_ends_tls_where_mesh_tls_is_off_and_nowhere_else(envoy_binary: Path, tmp_path: Path) -> None:
    """Plain requests are not let in then; under PERMISSIVE the author is told that it is not obeyed."""
    certificate, key = pair()
    (tmp_path / "tls.crt").write_bytes(certificate)
    (tmp_path / "tls.key").write_bytes(key)
    backend, control, port = Backend("web"), Control(tmp_path), free_port()
    written = {
        mode: POLICIES.format(port=port, app=backend.port, files=tmp_path, mode=mode)
        for mode in ("DISABLE", "PERMISSIVE")
    }
    control.write("web.yaml", written["DISABLE"])
    sidecar = envoy(control, envoy_binary, tmp_path, "web", labels={"app": "web"}).wait()
    try:
        until(lambda: ask(port, context=trusting(certificate)) == (200, "web"), what="TLS is ended")
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(port)

        control.write("web.yaml", written["PERMISSIVE"])
        until(lambda: ask(port) == (200, "web"), what="plain requests come in")
        assert "covered-tls" in {problem["code"] for problem in control.problems()}
    finally:
        sidecar.close()
        control.close()
        backend.close()
