"""Certificates that somebody else makes, chosen per workload."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.identity.material import NOW, WEB, intermediate, root, svid
from xds_server.errors import UnusableIdentity
from xds_server.identity.authority import key_pem, pem
from xds_server.identity.identity_files import IdentityFiles
from xds_server.identity.svid import Svid
from xds_server.mesh.identity import SpiffeId, TrustDomain

COMPANY = intermediate(root())
DOMAIN = TrustDomain("cluster.local", ("spire.example",))
KUBERNETES = ("tls.crt", "tls.key", "ca.crt")
SPIRE = ("svid.pem", "svid_key.pem", "svid_bundle.pem")


def put(place: Path, document: Svid, names: tuple[str, str, str] = KUBERNETES) -> Path:
    """Write an identity document, as a helper does."""
    place.mkdir(parents=True, exist_ok=True)
    contents = (pem(document.certificates), key_pem(document.key), pem(document.roots))
    for name, content in zip(names, contents, strict=True):
        draft = place / f".{name}"
        draft.write_bytes(content)
        draft.chmod(0o600)
        draft.replace(place / name)
    return place


@pytest.fixture
def files(tmp_path: Path) -> IdentityFiles:
    return IdentityFiles(tmp_path, lambda: DOMAIN)


@pytest.mark.parametrize("names", [KUBERNETES, SPIRE], ids=str)
def test_usual_names_are_read(names: tuple[str, str, str], files: IdentityFiles) -> None:
    document = svid(COMPANY)
    place = put(files.directory / "workload" / "shop" / "web-1", document, names)

    found = files.read(place, NOW)

    assert (found.certificates, found.roots) == (document.certificates, document.roots)


def test_files_of_the_workload_win_over_those_of_its_identity(files: IdentityFiles) -> None:
    by_identity = put(files.directory / "identity" / "shop" / "web", svid(COMPANY))
    by_name = put(files.directory / "workload" / "shop" / "web-1", svid(COMPANY))

    assert files.place("web-1", WEB) == by_name
    assert files.place("web-2", WEB) == by_identity
    assert files.place("web-1", SpiffeId("cluster.local", "bank", "web")) is None


def test_identity_of_an_alias_is_taken_and_a_foreign_one_is_not(files: IdentityFiles) -> None:
    alias = put(files.directory / "a", svid(COMPANY, SpiffeId("spire.example", "shop", "web")))
    foreign = put(files.directory / "b", svid(COMPANY, SpiffeId("other.org", "shop", "web")))

    assert files.read(alias, NOW).uri == "spiffe://spire.example/ns/shop/sa/web"
    with pytest.raises(UnusableIdentity, match="no trust domain of this mesh"):
        files.read(foreign, NOW)


def test_what_may_not_be_used_is_named(files: IdentityFiles) -> None:
    place = put(files.directory / "a", svid(COMPANY))

    with pytest.raises(UnusableIdentity, match="expired"):
        files.read(place, NOW + timedelta(days=2))
    (place / "tls.key").chmod(0o644)
    with pytest.raises(UnusableIdentity, match="chmod 0600"):
        files.read(place, NOW)
    (place / "tls.key").unlink()
    with pytest.raises(UnusableIdentity, match=r"tls\.key is missing"):
        files.read(place, NOW)
    (place / "tls.crt").unlink()
    with pytest.raises(UnusableIdentity, match="neither"):
        files.read(place, NOW)


def test_half_written_pair_is_stopped(files: IdentityFiles) -> None:
    place = put(files.directory / "a", svid(COMPANY))
    (place / "tls.crt").write_bytes(pem(svid(COMPANY).certificates))

    with pytest.raises(UnusableIdentity, match="not that of the certificate"):
        files.read(place, NOW)


def test_stamps_change_with_any_file(files: IdentityFiles) -> None:
    place = put(files.directory / "a", svid(COMPANY))
    before = files.stamps()
    assert files.stamps() == before

    put(place, svid(COMPANY))

    assert files.stamps() != before


def test_shared_roots_are_those_of_ca_crt(files: IdentityFiles) -> None:
    assert files.shared_roots() == ()

    (files.directory / "ca.crt").write_bytes(pem(COMPANY.roots))

    assert files.shared_roots() == COMPANY.roots
