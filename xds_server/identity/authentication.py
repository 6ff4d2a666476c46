"""Who is at the other end of a connection, by what it showed there: a client certificate, or a signed token.

gRPC has verified the certificate's chain already; here is what a TLS library cannot know. A connection outlives its
handshake, so dates and revocations are looked at again for every stream.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from xds_server.errors import UnusableIdentity
from xds_server.identity.authority import BACKDATE
from xds_server.identity.principal import Principal, Proof, control_plane_uri
from xds_server.identity.revocation import Revoked, is_revoked
from xds_server.identity.svid import read_certificates, uri_names
from xds_server.identity.token import verified_token
from xds_server.mesh.identity import TrustDomain


def certificate_proof(pem: bytes, now: datetime) -> Proof:
    """What a client certificate proves, given that its chain was verified.

    Raises:
        UnusableIdentity: it names no node, or is out of its time.
    """
    certificate = read_certificates(pem, "the client certificate")[0]
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        end = certificate.not_valid_after_utc
        raise UnusableIdentity(f"the client certificate is out of its time (it ends on {end:%Y-%m-%d %H:%M:%S} UTC)")
    return Proof(_principal(certificate), certificate.not_valid_before_utc + BACKDATE, certificate.not_valid_after_utc)


def token_proof(authorization: str, root: x509.Certificate, domain: TrustDomain, now: datetime) -> Proof:
    """What the `authorization` header proves.

    Args:
        authorization: "Bearer TOKEN".
        root: of the node authority.
        domain: whose control plane this is.
        now: aware.

    Raises:
        UnusableIdentity: there is no such token, or it is not good here and now.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnusableIdentity("no token was shown; enroll the node with --token")
    key = root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UnusableIdentity("the node authority's key signs no tokens; it must be on P-256")
    return verified_token(token.strip(), key, control_plane_uri(domain), now)


def admitted(proof: Proof, domain: TrustDomain, revoked: Revoked) -> Principal:
    """The principal behind a proof.

    Raises:
        UnusableIdentity: it belongs to another mesh, or was revoked.
    """
    if proof.principal.identity not in domain:
        raise UnusableIdentity(f"{proof.principal.identity.trust_domain!r} is no trust domain of this mesh")
    if is_revoked(proof, revoked):
        raise UnusableIdentity(f"the credentials of {proof.principal.label} are revoked; enroll it again")
    return proof.principal


def _principal(certificate: x509.Certificate) -> Principal:
    uris = uri_names(certificate)
    try:
        (uri,) = uris
        return Principal.parse(uri)
    except ValueError:
        raise UnusableIdentity(
            f"the client certificate names {', '.join(uris) or 'nobody'}, which is no node; use one made by enroll"
        ) from None
