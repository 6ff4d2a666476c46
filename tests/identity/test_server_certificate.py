"""The control plane's own certificate."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.identity.material import NOW, root
from xds_server.identity.server_certificate import ServerCertificate
from xds_server.mesh.identity import TrustDomain


def test_names_the_control_plane_and_is_for_servers_only() -> None:
    shown = ServerCertificate(root(), TrustDomain("td"), clock=lambda: NOW, random=lambda: 0.5).current()
    usage = shown.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    assert shown.uri == "spiffe://td/control-plane"
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    shown.check(NOW)


def test_is_the_same_until_half_of_its_life() -> None:
    moments: list[datetime] = [NOW]
    certificate = ServerCertificate(root(), TrustDomain(), clock=lambda: moments[-1], random=lambda: 0.5)
    first = certificate.current()
    moments.append(NOW + timedelta(hours=11))
    assert certificate.current() is first

    moments.append(NOW + timedelta(hours=12))

    assert certificate.current().leaf != first.leaf
    certificate.current().check(moments[-1])
