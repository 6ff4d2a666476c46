"""What a Gateway may say."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors

HTTP = "port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]"
HTTPS = "port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.com]"


def places(server: str) -> list[str]:
    return [place.removeprefix("servers[0].") for place, _ in errors("Gateway", f"servers: [{{{server}}}]")]


@pytest.mark.parametrize(
    "server",
    [
        HTTP,
        f"{HTTP}, tls: {{httpsRedirect: true}}, bind: 10.0.0.1, name: edge",
        f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a}}",
        f"{HTTPS}, tls: {{mode: SIMPLE, credentialNames: [a, b]}}",
        f"{HTTPS}, tls: {{mode: SIMPLE, serverCertificate: a, privateKey: b}}",
        f"{HTTPS}, tls: {{mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c}}",
        f"{HTTPS}, tls: {{mode: OPTIONAL_MUTUAL, credentialName: a, verifyCertificateHash: [x]}}",
        f"{HTTPS}, tls: {{mode: PASSTHROUGH, credentialName: a, caCertificates: b}}",
        f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a, httpsRedirect: true, privateKey: b, cipherSuites: [c]}}",
        f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL}}",
        'port: {number: 80, name: http, protocol: grpc-web}, hosts: ["*", "shop/*", "./a", "*/*.b.com"]',
    ],
)
def test_server_as_istio_takes_it(server: str) -> None:
    assert places(server) == []


@pytest.mark.parametrize(
    ("server", "place"),
    [
        ("port: {number: 80, name: http, protocol: ''}, hosts: [a]", "port.protocol"),
        ("port: {number: 80, name: '', protocol: HTTP}, hosts: [a]", "port.name"),
        ("port: {number: 80, name: http, protocol: HTTP, targetPort: 1}, hosts: [a]", "port.targetPort"),
        ("port: {number: 80, name: http, protocol: HTTP}, hosts: []", "hosts"),
        ("port: {number: 80, name: http, protocol: HTTP}, hosts: [a/b/c]", "hosts[0]"),
        ("port: {number: 80, name: http, protocol: HTTP}, hosts: ['a b']", "hosts[0]"),
        ("port: {number: 80, name: http, protocol: HTTP}, hosts: ['*a.com']", "hosts[0]"),
        (f"{HTTP}, tls: {{mode: SIMPLE, credentialName: a}}", "tls"),
        (
            f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a, serverCertificate: b, privateKey: c}}",
            "tls.serverCertificate",
        ),
        (f"{HTTPS}, tls: {{mode: SIMPLE, credentialNames: [a, b, c]}}", "tls.credentialNames[2]"),
        (f"{HTTPS}, tls: {{mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: c}}", "tls.caCrl"),
        (
            f"{HTTPS}, tls: {{mode: SIMPLE, serverCertificate: a, privateKey: b, verifyCertificateSpki: [x]}}",
            "tls.verifyCertificateSpki",
        ),
        (f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL, caCertificates: a}}", "tls.caCertificates"),
        (f"{HTTPS}, tls: {{mode: SIMPLE}}", "tls"),
        (f"{HTTPS}, tls: {{mode: SIMPLE, serverCertificate: a}}", "tls"),
        (f"{HTTPS}, tls: {{mode: MUTUAL, serverCertificate: a, privateKey: b}}", "tls"),
        (f"{HTTPS}, tls: {{mode: SIMPLE, tlsCertificates: [{{serverCertificate: a}}]}}", "tls.tlsCertificates[0]"),
    ],
)
def test_server_that_could_not_work_is_an_error(server: str, place: str) -> None:
    assert places(server) == [place]


def test_port_of_tls_says_what_is_done_with_it() -> None:
    assert places(HTTPS) == ["servers[0]"]


def test_port_names_tell_servers_apart() -> None:
    (found,) = errors("Gateway", f"servers: [{{{HTTP}}}, {{{HTTP}}}]")

    assert found[0] == "servers[1].port.name"
