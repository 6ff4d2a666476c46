"""SPIFFE names: one text for one identity, and nothing else parses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.mesh.identity import Credentials, SpiffeId, TrustDomain

SEGMENTS = st.text("abcXYZ019._-", min_size=1, max_size=20).filter(lambda text: text not in {".", ".."})
DOMAINS = st.text("abc019._-", min_size=1, max_size=30)
IDENTITIES = st.builds(SpiffeId, DOMAINS, SEGMENTS, SEGMENTS)


@given(IDENTITIES)
def test_identity_is_read_back_as_it_was_written(identity: SpiffeId) -> None:
    assert SpiffeId.parse(str(identity)) == identity


@given(IDENTITIES, IDENTITIES)
def test_different_identities_are_written_differently(one: SpiffeId, other: SpiffeId) -> None:
    assert (str(one) == str(other)) == (one == other)


@given(st.text(max_size=60))
def test_no_other_text_is_an_identity(text: str) -> None:
    try:
        identity = SpiffeId.parse(text)
    except ValueError:
        return

    assert str(identity) == text


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://td/ns/a/sa/b/",
        "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/ns//sa/b",
        "spiffe://td/ns/a/sa/..",
        "spiffe://td:1/ns/a/sa/b",
        "spiffe://TD/ns/a/sa/b",
        "spiffe://td/ns/a/sa/b?x",
        "spiffe://td/ns/a%2f/sa/b",
        "spiffe://td/ns/a/sa/b\n",
        "https://td/ns/a/sa/b",
        "td/ns/a/sa/b",
        f"spiffe://td/ns/a/sa/{'b' * 2048}",
    ],
)
def test_what_only_looks_like_an_identity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"identity|no |most"):
        SpiffeId.parse(text)


def test_trust_domain_holds_its_aliases_and_nobody_else() -> None:
    mesh = TrustDomain("new.org", ("old.org",))

    assert SpiffeId("new.org", "a", "b") in mesh
    assert SpiffeId("old.org", "a", "b") in mesh
    assert SpiffeId("other.org", "a", "b") not in mesh


def test_identity_is_spelt_in_every_alias() -> None:
    mesh = TrustDomain("new.org", ("old.org",))

    assert mesh.spellings(mesh.identity("a", "b")) == ("spiffe://new.org/ns/a/sa/b", "spiffe://old.org/ns/a/sa/b")
    assert mesh.spellings(SpiffeId("x", "a", "b")) == ("spiffe://x/ns/a/sa/b",)


def test_more_aliases_join_those_that_are_there_in_one_order() -> None:
    mesh = TrustDomain("new.org", ("old.org",))

    assert tuple(mesh.with_aliases(["b.org", "a.org", "old.org"])) == ("new.org", "old.org", "a.org", "b.org")
    assert mesh.with_aliases(["new.org", "old.org"]) is mesh


def test_workload_without_service_account_has_the_default_one() -> None:
    assert str(TrustDomain().identity("shop")) == "spiffe://cluster.local/ns/shop/sa/default"


def test_trust_domain_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'A B'"):
        TrustDomain("td", ("A B",))


def test_private_key_is_not_in_the_repr() -> None:
    assert "canary" not in repr(Credentials(b"chain", b"canary", b"roots"))
