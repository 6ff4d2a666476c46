"""Credentials of connected workloads: the same until they change, renewed in time, never unusable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tests.identity.material import NOW, WEB, root, svid
from tests.identity.test_identity_files import put
from xds_server.identity.authority import pem
from xds_server.identity.identity_files import IdentityFiles
from xds_server.identity.issuer import Issuer
from xds_server.identity.root_rotation import MeshAuthority, Phase, Rotation
from xds_server.identity.svid import Svid, read_certificates, read_key
from xds_server.mesh.identity import Credentials, KeyKind, SpiffeId, TrustDomain

HOUR = timedelta(hours=1)


@dataclass
class Lab:
    """An issuer with a clock and an authority that the test moves."""

    now: datetime = NOW
    mesh: MeshAuthority = field(default_factory=lambda: MeshAuthority(root()))
    files: IdentityFiles | None = None
    kind: KeyKind = KeyKind.EC_P256

    def __post_init__(self) -> None:
        self.issuer = Issuer(
            lambda: self.mesh, clock=lambda: self.now, random=lambda: 0.5, files=self.files, kind=self.kind
        )

    def credentials(self, node: str = "a", identity: SpiffeId = WEB) -> Credentials | None:
        """What a proxy is to hold now."""
        return self.issuer.credentials(node, "web-1", identity)

    def due(self, *connected: str) -> frozenset[str]:
        """Who is due of those connected, "a" unless told otherwise."""
        return self.issuer.due(connected or ("a",))


def given(credentials: Credentials | None) -> Credentials:
    assert credentials is not None
    return credentials


def leaf_of(credentials: Credentials | None) -> Svid:
    """The identity document as the proxy gets it."""
    found = given(credentials)
    return Svid(
        read_certificates(found.certificate_chain, "chain"),
        read_key(found.private_key, "key"),
        read_certificates(found.roots, "roots"),
    )


def test_workload_gets_its_own_name_and_nothing_is_wrong_with_it() -> None:
    document = leaf_of(Lab().credentials())

    assert document.uri == str(WEB)
    document.check(NOW)


def test_keys_are_of_the_kind_that_was_chosen() -> None:
    assert "RSA" in type(leaf_of(Lab(kind=KeyKind.RSA_2048).credentials()).key).__name__


def test_same_object_is_given_until_something_changes() -> None:
    lab = Lab()

    assert lab.credentials() is lab.credentials()
    assert lab.due() == frozenset()


def test_each_proxy_has_a_key_of_its_own() -> None:
    lab = Lab()

    assert given(lab.credentials("a")).private_key != given(lab.credentials("b")).private_key


def test_proxy_that_is_somebody_else_now_gets_another_key() -> None:
    lab = Lab()
    first = given(lab.credentials())

    second = lab.credentials(identity=SpiffeId("cluster.local", "shop", "other"))

    assert leaf_of(second).uri == "spiffe://cluster.local/ns/shop/sa/other"
    assert given(second).private_key != first.private_key


def test_certificate_is_renewed_at_half_of_its_life_with_the_roots_unchanged() -> None:
    lab = Lab()
    first = given(lab.credentials())
    lab.now += 11 * HOUR
    assert lab.due() == frozenset()
    lab.now += HOUR

    assert lab.due() == {"a"}
    second = given(lab.credentials())

    assert second.certificate_chain != first.certificate_chain
    assert second.roots == first.roots
    assert lab.due() == frozenset()


def test_failed_renewal_keeps_what_there_is_until_it_expires() -> None:
    lab = Lab()
    first = lab.credentials()
    lab.mesh = MeshAuthority(root(lifetime=6 * HOUR))
    lab.now += 20 * HOUR

    assert lab.credentials() is first
    lab.now += 4 * HOUR
    assert lab.credentials() is None, "an expired pair is never sent"


def test_second_root_changes_the_roots_and_not_the_certificate() -> None:
    lab = Lab()
    first = given(lab.credentials())
    following = root()
    lab.mesh = MeshAuthority(lab.mesh.current, following, Rotation(Phase.TRUST_BOTH, NOW, HOUR))

    assert lab.due() == {"a"}
    second = given(lab.credentials())

    assert second.certificate_chain == first.certificate_chain
    assert second.roots == pem(sorted(lab.mesh.roots, key=lambda r: (r.not_valid_before_utc, r.serial_number)))


def test_new_signer_changes_the_certificate_and_not_the_roots() -> None:
    lab = Lab()
    lab.mesh = MeshAuthority(lab.mesh.current, root(), Rotation(Phase.TRUST_BOTH, NOW, HOUR))
    first = given(lab.credentials())
    lab.mesh = MeshAuthority(lab.mesh.current, lab.mesh.following, Rotation(Phase.ISSUE_NEW, NOW, HOUR))

    second = given(lab.credentials())

    assert second.roots == first.roots
    assert leaf_of(second).leaf.issuer != leaf_of(first).leaf.issuer
    leaf_of(second).check(NOW)


def test_proxy_that_left_is_remembered_until_it_would_be_renewed() -> None:
    """One that only reconnects is not given a new key."""
    lab = Lab()
    first = lab.credentials()
    assert lab.due("b") == frozenset()
    assert lab.credentials() is first

    lab.now += 13 * HOUR
    assert lab.due("b") == frozenset()
    assert lab.issuer.expiries == {}


def test_of_very_many_that_left_those_that_came_first_are_forgotten() -> None:
    """One credential gives its replicas any number of names."""
    mesh = MeshAuthority(root())
    issuer = Issuer(lambda: mesh, clock=lambda: NOW, random=lambda: 0.5, most_away=2)
    for node in "abcde":
        issuer.credentials(node, "web-1", WEB)

    assert issuer.due({"a"}) == frozenset()
    assert list(issuer.expiries) == ["a", "d", "e"]


def test_forgotten_proxy_gets_a_new_key() -> None:
    lab = Lab()
    first = lab.credentials()

    lab.issuer.forget("a")

    assert lab.credentials() is not first


def test_files_of_somebody_else_win_and_are_read_again_when_they_change(tmp_path: Path) -> None:
    company = root()
    place = put(tmp_path / "workload" / "shop" / "web-1", svid(company))
    lab = Lab(files=IdentityFiles(tmp_path, TrustDomain))
    first = lab.credentials()
    assert leaf_of(first).leaf.issuer == company.certificate.subject

    put(place, svid(company))

    assert lab.due() == {"a"}
    assert given(lab.credentials()).private_key != given(first).private_key


def test_workload_with_broken_files_never_gets_a_certificate_of_the_mesh(tmp_path: Path) -> None:
    (tmp_path / "identity" / "shop" / "web").mkdir(parents=True)
    lab = Lab(files=IdentityFiles(tmp_path, TrustDomain))

    assert lab.credentials() is None


def test_half_written_files_keep_the_last_good_ones(tmp_path: Path) -> None:
    place = put(tmp_path / "workload" / "shop" / "web-1", svid(root()))
    lab = Lab(files=IdentityFiles(tmp_path, TrustDomain))
    first = lab.credentials()

    (place / "tls.crt").write_bytes(b"half")

    assert lab.due() == {"a"}
    assert lab.credentials() is first


def test_files_of_an_alias_are_taken_once_it_is_one(tmp_path: Path) -> None:
    put(tmp_path / "workload" / "shop" / "web-1", svid(root(), SpiffeId("partner.example", "shop", "web")))
    honoured = [TrustDomain()]
    lab = Lab(files=IdentityFiles(tmp_path, lambda: honoured[-1]))
    assert lab.credentials() is None
    assert lab.due() == frozenset()

    honoured.append(TrustDomain().with_aliases(["partner.example"]))

    assert lab.due() == {"a"}
    assert leaf_of(lab.credentials()).uri == "spiffe://partner.example/ns/shop/sa/web"


def test_shared_roots_are_believed_by_everybody(tmp_path: Path) -> None:
    company = root()
    lab = Lab(files=IdentityFiles(tmp_path, TrustDomain))
    lab.credentials()

    (tmp_path / "ca.crt").write_bytes(pem(company.roots))

    assert lab.due() == {"a"}
    assert company.certificate in leaf_of(lab.credentials()).roots
