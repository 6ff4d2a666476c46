"""The secrets directory: `DIR/NAME/{tls.crt,tls.key,ca.crt,ca.crl}`, as Kubernetes mounts its secrets.

A credential that cannot be used keeps its last good form: while an editor or a renewal writes two files one after the
other, they do not belong together for a moment.
"""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from xds_server.mesh.credential import Credential, CredentialSet
from xds_server.problem import Problem, Severity

_CERTIFICATE, _KEY, _ROOTS, _REVOKED = ("tls.crt", "cert"), ("tls.key", "key"), ("ca.crt", "cacert"), ("ca.crl", "crl")
"""File names, Kubernetes' first, then those of Istio's generic secrets."""
_OTHERS_MAY_READ = stat.S_IROTH | stat.S_IWOTH
_LARGEST = 2**20


class _Unusable(ValueError):
    """Says why, in words that hold no secret."""


def read_credentials(directory: Path, before: CredentialSet | None = None) -> CredentialSet:
    """The credentials of a directory; `before` itself when nothing in it changed."""
    last = before or CredentialSet()
    found: dict[str, Credential] = {}
    problems: list[Problem] = []
    for folder in _folders(directory, problems):
        try:
            found[folder.name] = _credential(folder)
        except _Unusable as error:
            kept = last.by_name.get(folder.name)
            if kept is not None:
                found[folder.name] = kept
            problems.append(_problem(folder, f"{error}; {'its last good form' if kept else 'nothing'} is in force"))
    if before is not None and found == before.by_name and tuple(problems) == before.problems:
        return before
    return CredentialSet(found, tuple(problems))


def _folders(directory: Path, problems: list[Problem]) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        problems.append(_problem(directory, f"cannot be read: {error.strerror}"))
        return []


def _credential(folder: Path) -> Credential:
    certificate, key, roots, revoked = (_content(folder, names) for names in (_CERTIFICATE, _KEY, _ROOTS, _REVOKED))
    if not certificate and not key and not roots:
        raise _Unusable("holds neither tls.crt and tls.key nor ca.crt")
    if bool(certificate) != bool(key):
        raise _Unusable("tls.crt and tls.key go together, and one of them is missing")
    if certificate:
        _check_private(folder)
        _check_pair(certificate, key)
    if roots:
        _certificates(roots, "ca.crt")
    return Credential(certificate, key, roots, revoked)


def _content(folder: Path, names: tuple[str, ...]) -> bytes:
    for name in names:
        path = folder / name
        try:
            if path.is_file():
                content = path.read_bytes()
                if len(content) > _LARGEST:
                    raise _Unusable(f"{name} is larger than a certificate can be")
                return content
        except OSError as error:
            raise _Unusable(f"{name} cannot be read: {error.strerror}") from None
    return b""


def _check_private(folder: Path) -> None:
    for path in (folder / name for name in _KEY):
        if path.is_file() and path.stat().st_mode & _OTHERS_MAY_READ:
            raise _Unusable(f"{path.name} can be read by everybody on this machine: chmod o= it")


def _check_pair(certificate: bytes, key: bytes) -> None:
    """Envoy would refuse a pair that is none, and with it whatever else is sent at the same time."""
    first = _certificates(certificate, "tls.crt")[0]
    try:
        public = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError):
        raise _Unusable("tls.key is no unencrypted private key in PEM") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != first.public_key().public_bytes(*form):
        raise _Unusable("tls.key is not the key of tls.crt")


def _certificates(content: bytes, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _Unusable(f"{name} holds no certificates in PEM") from None


def _problem(path: Path, message: str) -> Problem:
    return Problem(str(path), 0, 0, "", "", "", "", Severity.ERROR, "unusable-credential", message)
