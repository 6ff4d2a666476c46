"""What a traffic rule says of itself."""

from __future__ import annotations

import pytest

from xds_server.mesh.traffic import ClientTls, PortPolicies, Subset, TlsMode, TrafficPolicy, TrafficRule


@pytest.mark.parametrize(
    ("tls", "names"),
    [
        (ClientTls(TlsMode.SIMPLE, credential_name="c"), {"c-cacert"}),
        (ClientTls(TlsMode.SIMPLE, credential_name="c", insecure_skip_verify=True), set()),
        (ClientTls(TlsMode.MUTUAL, credential_name="c"), {"c", "c-cacert"}),
        (ClientTls(TlsMode.MUTUAL, credential_name="c", insecure_skip_verify=True), {"c"}),
        (ClientTls(TlsMode.ISTIO_MUTUAL, credential_name="c"), set()),
        (ClientTls(TlsMode.SIMPLE, ca_certificates="/c"), set()),
    ],
)
def test_credential_is_whom_to_believe_and_what_to_show(tls: ClientTls, names: set[str]) -> None:
    assert tls.credentials == names


def test_rule_needs_the_credentials_of_all_its_policies() -> None:
    one, two, three = (
        TrafficPolicy(tls=ClientTls(TlsMode.SIMPLE, credential_name=name)) for name in ("one", "two", "three")
    )
    rule = TrafficRule(PortPolicies(one, ((80, two),)), (Subset("v1", (), PortPolicies(three)),))

    assert rule.credentials == {"one-cacert", "two-cacert", "three-cacert"}
