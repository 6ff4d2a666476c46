"""What a connection proves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.identity.material import NOW, WEB, root, svid
from xds_server.errors import UnusableIdentity
from xds_server.identity.authentication import admitted, certificate_proof, token_proof
from xds_server.identity.authority import Leaf, Use, new_key, pem, sign
from xds_server.identity.principal import Principal, Proof, control_plane_uri
from xds_server.identity.token import sign_token
from xds_server.mesh.identity import SpiffeId, TrustDomain

NODES = root()
NODE = Principal(WEB, "web-1")
DOMAIN = TrustDomain()
DAY = timedelta(days=1)


def certificate(uri: str = str(NODE)) -> bytes:
    return pem([sign(NODES, new_key().public_key(), Leaf(uri, DAY, Use.CLIENT), NOW)])


def token(audience: str = control_plane_uri(DOMAIN)) -> str:
    assert isinstance(NODES.key, ec.EllipticCurvePrivateKey)
    return sign_token(NODES.key, NODE, audience, NOW, DAY)


def test_certificate_proves_its_node_from_when_it_was_issued() -> None:
    assert certificate_proof(certificate(), NOW) == Proof(NODE, NOW, NOW + DAY)


@pytest.mark.parametrize("later", [DAY, timedelta(minutes=-6)])
def test_certificate_is_looked_at_again_for_every_stream(later: timedelta) -> None:
    """The handshake may be days ago."""
    with pytest.raises(UnusableIdentity, match="out of its time"):
        certificate_proof(certificate(), NOW + later)


def test_certificate_of_a_workload_or_of_the_control_plane_opens_nothing() -> None:
    for shown in (pem(svid(NODES).certificates), certificate(control_plane_uri(DOMAIN))):
        with pytest.raises(UnusableIdentity, match="is no node"):
            certificate_proof(shown, NOW)


def test_no_certificate_proves_nothing() -> None:
    with pytest.raises(UnusableIdentity):
        certificate_proof(b"", NOW)


def test_token_proves_its_node() -> None:
    assert token_proof(f"Bearer {token()}", NODES.certificate, DOMAIN, NOW) == Proof(NODE, NOW, NOW + DAY)


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer ", "Bearer x.y.z"])
def test_no_token_proves_nothing(header: str) -> None:
    with pytest.raises(UnusableIdentity):
        token_proof(header, NODES.certificate, DOMAIN, NOW)


def test_token_for_another_control_plane_is_refused() -> None:
    with pytest.raises(UnusableIdentity, match="another control plane"):
        token_proof(f"Bearer {token('elsewhere')}", NODES.certificate, DOMAIN, NOW)


def test_node_of_another_mesh_is_refused_and_of_an_alias_is_not() -> None:
    foreign = Proof(Principal(SpiffeId("old.org", "shop", "web"), "web-1"), NOW, NOW + DAY)

    assert admitted(foreign, TrustDomain("new.org", ("old.org",)), {}) == foreign.principal
    with pytest.raises(UnusableIdentity, match=r"'old\.org' is no trust domain"):
        admitted(foreign, TrustDomain("new.org"), {})


def test_revoked_node_is_told_what_to_do() -> None:
    with pytest.raises(UnusableIdentity, match=r"web-1\.shop are revoked; enroll it again"):
        admitted(Proof(NODE, NOW, NOW + DAY), DOMAIN, {"web-1.shop": NOW})
