"""An authority in a directory, under the names that Istio gives to a plugged-in CA (its Secret `cacerts`).

ca-key.pem and ca-cert.pem are needed; root-cert.pem too when ca-cert.pem is an intermediate; cert-chain.pem when there
is more between the two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp

from cryptography import x509

from xds_server.errors import ConfigurationError, UnusableIdentity
from xds_server.identity.authority import Authority, key_pem, pem
from xds_server.identity.key_store import private_directory, read_private, write_private
from xds_server.identity.svid import Svid, read_certificates, read_key

_KEY, _CERTIFICATE, _ROOTS, _CHAIN = "ca-key.pem", "ca-cert.pem", "root-cert.pem", "cert-chain.pem"


def ensure_authority(directory: Path, make: Callable[[], Authority], now: datetime) -> Authority:
    """The authority in `directory`; what `make` gives is put there first when nothing is.

    Raises:
        ConfigurationError: see `read_authority`; or it cannot be written.
    """
    if not directory.exists():
        with contextlib.suppress(FileExistsError):
            write_authority(directory, make())
    return read_authority(directory, now)


def read_authority(directory: Path, now: datetime) -> Authority:
    """The authority in `directory`.

    Raises:
        ConfigurationError: a file is missing, readable by others, or of no use; says which, and what to do.
    """
    try:
        _look_for(directory / _KEY)
        private_directory(directory)
        key = read_key(read_private(directory / _KEY), str(directory / _KEY))
        (certificate, *more) = _certificates(directory / _CERTIFICATE)
        roots = _certificates(directory / _ROOTS) or ((certificate,) if _is_self_signed(certificate) else ())
        chain = _between(certificate, (*more, *_certificates(directory / _CHAIN)), roots)
        found = Authority(certificate, key, chain, roots)
        _check(found, now)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{error.filename} is missing; an authority needs {_KEY} and {_CERTIFICATE}") from None
    except UnusableIdentity as error:
        raise ConfigurationError(f"the authority in {directory} cannot be used: {error}") from None
    return found


def _look_for(path: Path) -> None:
    """Say that there is no authority before how it must be kept; what else is wrong shows when it is read.

    Raises:
        FileNotFoundError: it is not there.
    """
    with contextlib.suppress(PermissionError, NotADirectoryError):
        path.stat()


def write_authority(directory: Path, authority: Authority) -> None:
    """Put an authority into `directory`, which must not exist yet: all of it or nothing.

    Raises:
        FileExistsError: somebody else was faster.
        ConfigurationError: the disk does not take it.
    """
    private_directory(directory.parent)
    try:
        draft = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        write_private(draft / _KEY, key_pem(authority.key))
        write_private(draft / _CERTIFICATE, pem([authority.certificate]))
        write_private(draft / _ROOTS, pem(authority.roots))
        if authority.chain:
            write_private(draft / _CHAIN, pem(authority.chain))
        if directory.exists():
            raise FileExistsError(directory)
        draft.rename(directory)
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error.strerror}") from None


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a file; () when it is none of the needed ones and not there."""
    try:
        return read_certificates(path.read_bytes(), str(path))
    except FileNotFoundError:
        if path.name == _CERTIFICATE:
            raise
        return ()
    except OSError as error:
        raise UnusableIdentity(f"{path} cannot be read: {error.strerror}") from None


def _between(
    certificate: x509.Certificate, found: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, ...]:
    """What stands between an intermediate and the roots: files may repeat both ends."""
    return tuple(one for one in dict.fromkeys(found) if one != certificate and one not in roots)


def _check(authority: Authority, now: datetime) -> None:
    """Refuse what could not sign, or whose leaves nobody would believe.

    Raises:
        UnusableIdentity: says why.
    """
    if not authority.roots:
        raise UnusableIdentity(f"{_CERTIFICATE} is an intermediate; put its root into {_ROOTS}")
    try:
        constraints = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise UnusableIdentity(f"{_CERTIFICATE} does not say that it may sign certificates") from None
    if not constraints.ca:
        raise UnusableIdentity(f"{_CERTIFICATE} may not sign certificates")
    Svid((authority.certificate, *authority.chain), authority.key, authority.roots).check_chain(now)


def _is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject
