"""Who must prove what to whom: the mutual TLS that each workload asks of its callers.

Knows nothing of certificates, nor of who has one: `identity.py` names identities, `identity/` makes them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from xds_server.mesh.service import Labels, labels_match


class MutualTls(enum.IntEnum):
    """What a workload asks of callers; the greater, the stricter."""

    DISABLE = 1
    """Mesh TLS is not spoken: bytes go to the application as they come."""
    PERMISSIVE = 2
    """Mesh TLS and plain connections are both taken; Istio's default."""
    STRICT = 3
    """Only mesh TLS is taken."""


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """One PeerAuthentication.

    Attributes:
        namespace: whose workloads it is for; "" is every namespace.
        selector: () is for all of them.
        mode: None inherits from the next wider policy.
        ports: modes of single workload ports, sorted; None is `mode`.
    """

    namespace: str
    selector: Labels = ()
    mode: MutualTls | None = None
    ports: tuple[tuple[int, MutualTls | None], ...] = ()

    def mode_on(self, port: int | None, wider: MutualTls) -> MutualTls:
        """The mode on one port, or on those without a mode of their own; `wider` is what is inherited."""
        return dict(self.ports).get(port or 0) or self.mode or wider


@dataclass(frozen=True)
class PeerPolicies:
    """Every PeerAuthentication of a mesh, or those that matter to one namespace. Equal ones mean the same."""

    policies: tuple[PeerPolicy, ...] = ()
    _by_namespace: dict[str, PeerPolicies] = field(default_factory=dict, init=False, repr=False, compare=False)

    def mode(self, namespace: str, labels: Labels, port: int | None = None) -> MutualTls:
        """What a workload asks of callers, on `port` or on the ports that no policy names.

        Port before workload before namespace before mesh (Istio's order). Of several policies of one level the
        strictest decides: a policy too many must not open a door.
        """
        mode = MutualTls.PERMISSIVE
        for level in _levels(self.of(namespace).policies, labels):
            mode = max((policy.mode_on(port, mode) for policy in level), default=mode)
        return mode

    def ports(self, namespace: str, labels: Labels) -> tuple[int, ...]:
        """The ports of a workload that some policy names, sorted."""
        found = (policy for policy in self.of(namespace).policies if labels_match(policy.selector, labels))
        return tuple(sorted({port for policy in found for port, _ in policy.ports}))

    def of(self, namespace: str) -> PeerPolicies:
        """Those that matter to workloads of `namespace`."""
        found = self._by_namespace.get(namespace)
        if found is None:
            found = PeerPolicies(tuple(policy for policy in self.policies if policy.namespace in {"", namespace}))
            self._by_namespace[namespace] = found._by_namespace[namespace] = found
        return found

    @cached_property
    def disables(self) -> bool:
        """Whether mesh TLS is switched off anywhere: elsewhere callers need not look further."""
        modes = (mode for policy in self.policies for mode in (policy.mode, *(mode for _, mode in policy.ports)))
        return MutualTls.DISABLE in modes


@dataclass(frozen=True)
class ChangingPolicies:
    """What servers ask for while callers may follow any of several policies.

    Attributes:
        earlier: what callers may still follow.
        after: what they are to follow.
    """

    earlier: tuple[PeerPolicies, ...]
    after: PeerPolicies

    def mode(self, namespace: str, labels: Labels, port: int | None = None) -> MutualTls:
        """As of `after`; both mesh TLS and plain connections where one of them switches mesh TLS off and another on."""
        goal = self.after.mode(namespace, labels, port)
        modes = {goal, *(one.mode(namespace, labels, port) for one in self.earlier)}
        return MutualTls.PERMISSIVE if MutualTls.DISABLE in modes and len(modes) > 1 else goal

    def ports(self, namespace: str, labels: Labels) -> tuple[int, ...]:
        """The ports of a workload that some policy names, sorted."""
        found = (policies.ports(namespace, labels) for policies in (*self.earlier, self.after))
        return tuple(sorted(set().union(*found)))


NO_POLICIES = PeerPolicies()


def _levels(policies: tuple[PeerPolicy, ...], labels: Labels) -> Iterator[list[PeerPolicy]]:
    """Mesh, namespace and workload, the wider first."""
    whole = [policy for policy in policies if not policy.selector]
    yield [policy for policy in whole if not policy.namespace]
    yield [policy for policy in whole if policy.namespace]
    yield [policy for policy in policies if policy.selector and labels_match(policy.selector, labels)]
