"""What credentials are called."""

from __future__ import annotations

import pytest

from xds_server.mesh.credential import Credential, CredentialSet, roots_name

PAIR, ROOTS = Credential(b"c", b"k"), Credential(roots=b"r")


def test_certificates_and_authorities_have_names_of_their_own() -> None:
    found = CredentialSet({"shop": PAIR, "both": Credential(b"c", b"k", b"r"), "clients-cacert": ROOTS})

    assert found.names == {"shop", "both", "both-cacert", "clients-cacert"}
    assert found.roots("both-cacert").roots == b"r"
    assert found.roots("clients-cacert") is ROOTS


@pytest.mark.parametrize("name", ["shop", "shop-cacert"])
def test_name_of_authorities(name: str) -> None:
    assert roots_name(name) == "shop-cacert"


def test_key_is_in_no_repr() -> None:
    secret = Credential(b"c", b"very private")

    assert "private" not in repr(secret) + repr(CredentialSet({"a": secret}))
