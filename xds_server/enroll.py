"""`xds-server enroll`: a directory with everything that one Envoy needs to prove who it is, made beside the authority.

    bootstrap.yaml   start Envoy with it
    ca.pem           whom it believes to be the control plane
    sds.yaml         its certificate and key, or its token; Envoy takes up what is renamed over it, with no restart
    tls.crt tls.key  the same for other tools; with --token the file `token` instead

The authority's key is read from the state directory and goes nowhere. Nothing is told to the server: it believes what
this authority signed. Enrolling a node again renews it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from xds_server.bootstrap import CA_FILE, SECRETS_FILE, XDS_SECRET, NodeOptions, SecureXds, bootstrap
from xds_server.errors import ConfigurationError
from xds_server.identity.authority import Leaf, Use, key_pem, new_key, pem, sign
from xds_server.identity.key_store import private_directory, write_private
from xds_server.identity.principal import CONTROL_PLANE_DNS, Principal, control_plane_uri
from xds_server.identity.revocation import Revoked
from xds_server.identity.token import sign_token
from xds_server.mesh.identity import TrustDomain
from xds_server.plain_yaml import plain_yaml
from xds_server.security import ENROLLED, State

_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """How to enrol.

    Attributes:
        directory: where to write; made with mode 0700.
        seen_as: the same directory as Envoy sees it, which may be inside a container.
        lifetime: of the certificate or token.
        token: a token instead of a client certificate.
        owner: (user id, group id) that Envoy runs as; None leaves the files to whoever runs this.
    """

    directory: Path
    seen_as: str
    lifetime: timedelta
    token: bool = False
    owner: tuple[int, int] | None = None


def enroll(state: State, domain: TrustDomain, options: NodeOptions, how: Enrolment, now: datetime) -> Principal:
    """Write a node's directory; gives back who it now is.

    Raises:
        ConfigurationError: the node's name cannot be one, or the directory cannot be written.
    """
    try:
        principal = Principal(domain.identity(options.namespace, options.service_account), options.name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if "" in principal.name.split("."):
        raise ConfigurationError(
            f"{principal.name!r} is no name for a node: it begins or ends with a dot, or has two in a row"
        )
    if options.node_id:
        raise ConfigurationError("an enrolled node's id is made of its name and namespace; leave --node-id out")
    issued = _after_revocation(principal, state.revoked, now)
    secure = SecureXds(how.seen_as, control_plane_uri(domain), CONTROL_PLANE_DNS, how.token)
    files = _token(state, domain, principal, how, issued) if how.token else _certificate(state, principal, how, issued)
    files[CA_FILE] = pem(state.nodes.roots)
    files["bootstrap.yaml"] = plain_yaml(bootstrap(replace(options, secure=secure))).encode()
    _write(how, files)
    _note(state.directory, principal.label, now + how.lifetime)
    return principal


def enrolled(state_dir: Path) -> frozenset[str]:
    """NAME.NAMESPACE of every node that was enrolled from this state directory; those of its copies are not known."""
    try:
        return frozenset(path.name for path in (state_dir / ENROLLED).iterdir() if not path.name.startswith("."))
    except OSError:
        return frozenset()


def _note(state_dir: Path, label: str, until: datetime) -> None:
    """Remember whom `revoke` may mean. Where that cannot be written, the node is enrolled all the same."""
    found, directory = state_dir.stat(), state_dir / ENROLLED
    if directory.is_symlink():
        return
    with contextlib.suppress(OSError, ConfigurationError):
        private_directory(directory)
        # Its owner runs `revoke`, and the server; this may be root, who follows no link of theirs.
        os.chown(directory, found.st_uid, found.st_gid, follow_symlinks=False)
        write_private(directory / label, until.isoformat().encode(), owner=(found.st_uid, found.st_gid))


def _certificate(state: State, principal: Principal, how: Enrolment, now: datetime) -> dict[str, bytes]:
    key = new_key()
    certificate = sign(state.nodes, key.public_key(), Leaf(str(principal), how.lifetime, Use.CLIENT), now)
    chain, private = pem((certificate, *state.nodes.presented)), key_pem(key)
    # Both in one file: it is replaced at once, so that Envoy never reads a new key with an old certificate.
    secret = {
        "tls_certificate": {
            "certificate_chain": {"inline_string": chain.decode()},
            "private_key": {"inline_string": private.decode()},
        }
    }
    return {"tls.crt": chain, "tls.key": private, SECRETS_FILE: _secrets_file(secret)}


def _token(state: State, domain: TrustDomain, principal: Principal, how: Enrolment, now: datetime) -> dict[str, bytes]:
    key = state.nodes.key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError("the node authority's key signs no tokens; it must be on P-256")
    token = sign_token(key, principal, control_plane_uri(domain), now, how.lifetime)
    secret = {"generic_secret": {"secret": {"inline_string": f"Bearer {token}"}}}
    return {"token": token.encode(), SECRETS_FILE: _secrets_file(secret)}


def _secrets_file(secret: Mapping[str, object]) -> bytes:
    return plain_yaml({"resources": [{"@type": _SECRET, "name": XDS_SECRET, **secret}]}).encode()


def _after_revocation(principal: Principal, revoked: Revoked, now: datetime) -> datetime:
    """The moment to issue at: certificates know whole seconds, and must be from after the node was last revoked."""
    moment = revoked.get(principal.label)
    whole = now.replace(microsecond=0)
    if moment is None or moment < whole:
        return whole
    if moment > now + timedelta(minutes=1):
        raise ConfigurationError(
            f"{principal.label} is revoked until {moment}; remove its file from the state directory"
        )
    return moment.replace(microsecond=0) + timedelta(seconds=1)


def _write(how: Enrolment, files: dict[str, bytes]) -> None:
    """Write them, what Envoy watches last."""
    directory = private_directory(how.directory, "--output")
    try:
        for name in sorted(files, key=lambda name: (name == SECRETS_FILE, name)):
            write_private(directory / name, files[name], owner=how.owner)
        if how.owner is not None:
            os.chown(directory, *how.owner)
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error.strerror}") from None
