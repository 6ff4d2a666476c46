"""Authorities on disk: ours, and a company's under Istio's names."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from tests.identity.material import NOW, intermediate, root, svid
from xds_server.errors import ConfigurationError
from xds_server.identity.authority import Authority, key_pem, new_key, pem
from xds_server.identity.authority_files import ensure_authority, read_authority, write_authority


def plugged_in(directory: Path, authority: Authority, **more: bytes) -> Path:
    """The authority as somebody else would put it there; keywords are further files, "_" for "-"."""
    directory.mkdir(0o700)
    (directory / "ca-key.pem").write_bytes(key_pem(authority.key))
    (directory / "ca-key.pem").chmod(0o600)
    (directory / "ca-cert.pem").write_bytes(pem([authority.certificate]))
    for name, content in more.items():
        (directory / f"{name.replace('_', '-')}.pem").write_bytes(content)
    return directory


def test_what_is_written_is_read_back_whole(tmp_path: Path) -> None:
    made = intermediate(root())
    write_authority(tmp_path / "ca", made)

    found = read_authority(tmp_path / "ca", NOW)

    assert (found.certificate, found.chain, found.roots) == (made.certificate, made.chain, made.roots)
    assert key_pem(found.key) == key_pem(made.key)
    svid(found).check(NOW)


def test_first_start_makes_one_and_the_next_finds_it(tmp_path: Path) -> None:
    first = ensure_authority(tmp_path / "ca", root, NOW)
    again = ensure_authority(tmp_path / "ca", root, NOW)

    assert first.certificate == again.certificate
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ca").iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["ca"], "no draft is left behind"


def test_two_first_starts_agree(tmp_path: Path) -> None:
    def slow() -> Authority:
        ensure_authority(tmp_path / "ca", root, NOW)
        return root()

    assert ensure_authority(tmp_path / "ca", slow, NOW).certificate == read_authority(tmp_path / "ca", NOW).certificate


def test_companys_root_needs_two_files(tmp_path: Path) -> None:
    company = root()

    assert read_authority(plugged_in(tmp_path / "ca", company), NOW).roots == company.roots


def test_companys_intermediate_brings_its_root_and_chain(tmp_path: Path) -> None:
    """Istio's cert-chain.pem repeats both ends."""
    company = intermediate(root())
    chain = pem([company.certificate, *company.roots])

    found = read_authority(plugged_in(tmp_path / "ca", company, root_cert=pem(company.roots), cert_chain=chain), NOW)

    assert (found.chain, found.roots) == ((), company.roots)
    assert found.presented == (company.certificate,)


def test_what_cannot_sign_is_refused_with_a_reason(tmp_path: Path) -> None:
    company, below = root(), intermediate(root())
    leaf = svid(company)
    cases = {
        "put its root into root-cert.pem": plugged_in(tmp_path / "a", below),
        "not that of the certificate": plugged_in(tmp_path / "b", Authority(company.certificate, new_key())),
        "may not sign certificates": plugged_in(
            tmp_path / "c", Authority(leaf.leaf, leaf.key), root_cert=pem(company.roots)
        ),
        "none of the roots": plugged_in(tmp_path / "d", below, root_cert=pem(company.roots)),
        "no PEM certificate": plugged_in(tmp_path / "e", below, root_cert=b"nothing"),
    }

    for why, directory in cases.items():
        with pytest.raises(ConfigurationError, match=why):
            read_authority(directory, NOW)


def test_expired_authority_is_refused(tmp_path: Path) -> None:
    write_authority(tmp_path / "ca", root(lifetime=timedelta(days=1)))

    with pytest.raises(ConfigurationError, match="expired on"):
        read_authority(tmp_path / "ca", NOW + timedelta(days=2))


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir(0o700)

    with pytest.raises(ConfigurationError, match=r"ca-key\.pem is missing"):
        read_authority(tmp_path / "ca", NOW)


def test_that_there_is_none_is_said_before_how_to_keep_it(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    directory.mkdir()
    directory.chmod(0o755)

    with pytest.raises(ConfigurationError, match=r"ca-key\.pem is missing"):
        read_authority(directory, NOW)


def test_loose_key_is_refused(tmp_path: Path) -> None:
    directory = plugged_in(tmp_path / "ca", root())
    (directory / "ca-key.pem").chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 0600"):
        read_authority(directory, NOW)


def test_existing_authority_is_never_written_over(tmp_path: Path) -> None:
    write_authority(tmp_path / "ca", root())

    with pytest.raises(FileExistsError):
        write_authority(tmp_path / "ca", root())
