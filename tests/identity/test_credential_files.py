"""The secrets directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.envoy.test_gateway import pair
from xds_server.identity.credential_files import read_credentials


def put(directory: Path, **files: bytes) -> None:
    """Write files of the credential `shop`; "_" in a name stands for a dot."""
    folder = directory / "shop"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content)
        path.chmod(0o600)


def test_pair_and_authorities_are_read(tmp_path: Path) -> None:
    certificate, key = pair()
    put(tmp_path, tls_crt=certificate, tls_key=key, ca_crt=certificate)

    found = read_credentials(tmp_path)

    assert found.names == {"shop", "shop-cacert"}
    assert found.by_name["shop"].private_key == key
    assert not found.problems


def test_names_of_generic_secrets_do_too(tmp_path: Path) -> None:
    certificate, key = pair()
    put(tmp_path, cert=certificate, key=key, cacert=certificate)

    assert read_credentials(tmp_path).names == {"shop", "shop-cacert"}


def test_nothing_changed_is_the_same_object(tmp_path: Path) -> None:
    certificate, key = pair()
    put(tmp_path, tls_crt=certificate, tls_key=key)
    before = read_credentials(tmp_path)

    assert read_credentials(tmp_path, before) is before


def test_key_of_another_certificate_keeps_the_last_good_pair(tmp_path: Path) -> None:
    certificate, key = pair()
    put(tmp_path, tls_crt=certificate, tls_key=key)
    before = read_credentials(tmp_path)
    put(tmp_path, tls_key=pair()[1])

    found = read_credentials(tmp_path, before)

    assert found.by_name == before.by_name
    assert "last good form" in found.problems[0].message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds neither"),
        ({"tls_crt": b"x"}, "go together"),
        ({"tls_crt": b"x", "tls_key": b"x"}, "no certificates"),
        ({"ca_crt": b"x"}, "ca.crt holds no certificates"),
    ],
)
def test_what_cannot_be_used_is_said_to_be(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    put(tmp_path, **files)

    found = read_credentials(tmp_path)

    assert not found.names
    assert message in found.problems[0].message


def test_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    certificate, key = pair()
    put(tmp_path, tls_crt=certificate, tls_key=key)
    (tmp_path / "shop" / "tls.key").chmod(0o644)

    found = read_credentials(tmp_path)

    assert not found.names
    assert "chmod" in found.problems[0].message


def test_directory_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert read_credentials(tmp_path / "gone").problems
