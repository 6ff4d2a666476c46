"""Who a workload is: SPIFFE names, the trust domains that make a mesh, and what proves a name to others.

The form `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT` is Istio's; its parts follow the SPIFFE ID standard.
Certificates are opaque bytes here: `identity/` makes and checks them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

SCHEME = "spiffe://"
DEFAULT_TRUST_DOMAIN = "cluster.local"
"""Istio's (MeshConfig.trustDomain)."""
DEFAULT_SERVICE_ACCOUNT = "default"
"""Of a workload that names none, as in Kubernetes."""

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+\Z")
_LONGEST = 2048
"""Bytes in a SPIFFE ID (SPIFFE-ID, section 2.3)."""


class KeyKind(enum.StrEnum):
    """What keys workloads are given."""

    EC_P256 = "ec-p256"
    RSA_2048 = "rsa-2048"


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A workload's identity.

    Raises:
        ValueError: a part is empty or has characters that the SPIFFE ID standard does not allow there.
    """

    trust_domain: str
    namespace: str
    service_account: str

    def __post_init__(self) -> None:
        """Refuse what could be read as another identity."""
        if not _TRUST_DOMAIN.match(self.trust_domain):
            raise ValueError(f"{self.trust_domain!r} is no trust domain; write small letters, digits, '.', '-' and '_'")
        for part, text in (("namespace", self.namespace), ("service account", self.service_account)):
            if not is_segment(text):
                raise ValueError(f"{text!r} is no {part}; write letters, digits, '.', '-' and '_'")
        if len(str(self)) > _LONGEST:
            raise ValueError(f"a SPIFFE ID has {_LONGEST} characters at most")

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """From `spiffe://TD/ns/NS/sa/SA`, and nothing else: no query, no port, no further segment.

        Raises:
            ValueError: it has another form.
        """
        parts = text.removeprefix(SCHEME).split("/")
        if not text.startswith(SCHEME) or len(parts) != 5 or (parts[1], parts[3]) != ("ns", "sa"):
            raise ValueError(f"{text!r} is no identity; write {SCHEME}TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT")
        return cls(parts[0], parts[2], parts[4])

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """The mesh's trust domain, and former or foreign names that are honoured beside it.

    Attributes:
        name: what new identities are made in.
        aliases: see `with_aliases`.
    """

    name: str = DEFAULT_TRUST_DOMAIN
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that are none.

        Raises:
            ValueError: says which.
        """
        for name in self:
            if not _TRUST_DOMAIN.match(name):
                raise ValueError(f"{name!r} is no trust domain; write small letters, digits, '.', '-' and '_'")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((self.name, *self.aliases)))

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, SpiffeId) and identity.trust_domain in (self.name, *self.aliases)

    def with_aliases(self, more: Iterable[str]) -> TrustDomain:
        """The same with these names honoured too (MeshConfig.trustDomainAliases); itself when it honours them all."""
        new = sorted({*more}.difference(self))
        return TrustDomain(self.name, (*self.aliases, *new)) if new else self

    def identity(self, namespace: str, service_account: str = "") -> SpiffeId:
        """The identity of a workload in this trust domain.

        Raises:
            ValueError: see `SpiffeId`.
        """
        return SpiffeId(self.name, namespace, service_account or DEFAULT_SERVICE_ACCOUNT)

    def spellings(self, identity: SpiffeId) -> tuple[str, ...]:
        """Every name under which `identity` may appear: its own, then that in each alias, when it is of this mesh."""
        if identity not in self:
            return (str(identity),)
        names = dict.fromkeys((identity.trust_domain, *self))
        return tuple(str(SpiffeId(name, identity.namespace, identity.service_account)) for name in names)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one workload proves its identity with, and whom it believes: PEM, ready to be sent to it and to nobody else.

    Attributes:
        certificate_chain: the workload's own certificate first, then those between it and the root.
        private_key: PKCS #8, unencrypted; never shown in a repr.
        roots: certificates of the authorities that it accepts.
    """

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    roots: bytes


def is_segment(text: str) -> bool:
    """Whether `text` may stand between two slashes of a SPIFFE ID (SPIFFE-ID, section 2.2)."""
    return bool(_SEGMENT.match(text)) and text not in {".", ".."}
