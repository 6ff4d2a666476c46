"""Certificates that an operator keeps for gateways and for clients of outside services, by the name they are called.

A credential is what Istio calls a secret: a certificate with its key, authorities to believe, or both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xds_server.problem import Problem

ROOTS_SUFFIX = "-cacert"
"""`shop-cacert` is the authorities of `shop`, or a credential of that name (Istio's rule)."""


@dataclass(frozen=True, slots=True)
class Credential:
    """PEM, as Envoy takes it; b"" for what it has not.

    Attributes:
        certificate_chain: the certificate first.
        private_key: never shown in a repr.
        roots: authorities that are believed.
        revoked: certificates that these took back (a CRL).
    """

    certificate_chain: bytes = b""
    private_key: bytes = field(default=b"", repr=False)
    roots: bytes = b""
    revoked: bytes = b""


@dataclass(frozen=True, eq=False)
class CredentialSet:
    """The secrets directory at one moment. By identity: the same object for as long as nothing in it changed.

    Attributes:
        by_name: never shown in a repr.
        problems: of credentials that cannot be used, or not as they are.
    """

    by_name: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """What can be asked for: `shop` where there is a certificate, `shop-cacert` where there are authorities."""
        certificates = {name for name, found in self.by_name.items() if found.certificate_chain}
        roots = {roots_name(name) for name, found in self.by_name.items() if found.roots}
        return frozenset(certificates | roots)

    def roots(self, name: str) -> Credential:
        """Whose authorities `name`, which ends in ROOTS_SUFFIX, stands for.

        Raises:
            KeyError: it is not among `names`.
        """
        bare = name.removesuffix(ROOTS_SUFFIX)
        found = self.by_name.get(bare)
        return found if found is not None and found.roots else self.by_name[name]


def roots_name(name: str) -> str:
    """What the authorities of a credential are called."""
    return name if name.endswith(ROOTS_SUFFIX) else f"{name}{ROOTS_SUFFIX}"
