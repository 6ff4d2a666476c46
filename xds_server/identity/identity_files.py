"""Workload certificates that somebody else makes: any CA, or SPIRE's helper, which writes and renews the same files.

    DIRECTORY/workload/NAMESPACE/NAME/              chosen first
    DIRECTORY/identity/NAMESPACE/SERVICE-ACCOUNT/   otherwise
    DIRECTORY/ca.crt                                believed by every workload, for meshes with several authorities

In each stand a certificate chain, its key and the roots, as tls.crt, tls.key and ca.crt (Kubernetes, cert-manager) or
svid.pem, svid_key.pem and svid_bundle.pem (SPIRE's helper). A workload with files of its own never falls back to the
mesh's authority: whoever put them there said who the workload is to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from xds_server.errors import ConfigurationError, UnusableIdentity
from xds_server.identity.authority import PrivateKey
from xds_server.identity.key_store import read_private
from xds_server.identity.svid import Svid, read_certificates, read_key
from xds_server.mesh.identity import SpiffeId, TrustDomain

_NAMES = (("tls.crt", "tls.key", "ca.crt"), ("svid.pem", "svid_key.pem", "svid_bundle.pem"))

Stamps = Mapping[Path, tuple[int, int, int]]
"""By file, what changes when it does: inode, size and time of its last change in ns."""


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """The directory, read anew at each question.

    Attributes:
        domain: certificates must be of it, under any of its names; asked anew each time.
    """

    directory: Path
    domain: Callable[[], TrustDomain]

    def place(self, name: str, identity: SpiffeId) -> Path | None:
        """Where a workload's files are; None when nobody put any there."""
        by_name = self.directory / "workload" / identity.namespace / name
        by_identity = self.directory / "identity" / identity.namespace / identity.service_account
        return next((place for place in (by_name, by_identity) if place.is_dir()), None)

    def read(self, place: Path, now: datetime) -> Svid:
        """What stands at a place.

        Raises:
            UnusableIdentity: something is missing, half-written, loose, expired, or of another trust domain.
        """
        for certificate, key, roots in _NAMES:
            if (place / certificate).exists():
                found = Svid(
                    self._certificates(place / certificate), _key(place / key), self._certificates(place / roots)
                )
                found.check(now)
                self._check_domain(found)
                return found
        raise UnusableIdentity(f"{place} holds neither tls.crt nor svid.pem")

    def shared_roots(self) -> tuple[x509.Certificate, ...]:
        """Whom every workload believes beside its own authority.

        Raises:
            UnusableIdentity: the file is there and cannot be read.
        """
        path = self.directory / "ca.crt"
        return self._certificates(path) if path.exists() else ()

    def stamps(self) -> Stamps:
        """Stamps of all files here."""
        return dict(_stamps(self.directory))

    def _certificates(self, path: Path) -> tuple[x509.Certificate, ...]:
        try:
            return read_certificates(path.read_bytes(), str(path))
        except OSError as error:
            raise UnusableIdentity(f"{path} cannot be read: {error.strerror}") from None

    def _check_domain(self, found: Svid) -> None:
        domain = found.uri.removeprefix("spiffe://").partition("/")[0]
        if domain not in tuple(self.domain()):
            raise UnusableIdentity(f"the certificate names {found.uri}, which is of no trust domain of this mesh")


def _key(path: Path) -> PrivateKey:
    try:
        return read_key(read_private(path), str(path))
    except FileNotFoundError:
        raise UnusableIdentity(f"{path} is missing") from None
    except ConfigurationError as error:
        raise UnusableIdentity(str(error)) from None


def _stamps(directory: Path) -> Iterator[tuple[Path, tuple[int, int, int]]]:
    for path in directory.rglob("*"):
        try:
            found = path.stat()
        except OSError:
            continue  # went while we looked; its directory's stamp tells
        yield path, (found.st_ino, found.st_size, found.st_mtime_ns)
