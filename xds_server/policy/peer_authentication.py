"""PeerAuthentication: whether a workload takes mesh TLS, plain connections, or both (istio.io/v1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from xds_server.policy.model import Finding, PolicyEnum, PolicyModel, refusal
from xds_server.policy.values import LabelSelector


class MutualTLSMode(PolicyEnum):
    """What is asked of callers; UNSET is what the next wider policy asks."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class MutualTLS(PolicyModel):
    """The mode of a workload or port. An empty block is UNSET, as in proto."""

    mode: MutualTLSMode = MutualTLSMode.UNSET


def _ports(value: dict[str, MutualTLS]) -> dict[str, MutualTLS]:
    found = [
        Finding(f"{key} is not a port", "write the port at which the workload listens, 1 to 65535", at=(key,))
        for key in value
        if not (key.isdecimal() and 1 <= int(key) <= 65535)
    ]
    if not value:
        found.append(Finding("must not be empty", "name a port, or remove it"))
    if found:
        raise refusal(*found)
    return value


class PeerAuthenticationSpec(PolicyModel):
    """What callers of the workloads that it selects must bring.

    Attributes:
        selector: without labels it is for the whole namespace; in the root namespace, for the mesh. With labels it is
            for workloads of its own namespace.
        target_refs: always empty; Istio takes them for its ambient mesh, which we do not serve.
        port_level_mtls: by the number of the workload's port, as text.
    """

    selector: LabelSelector | None = None
    target_refs: tuple[object, ...] = ()
    mtls: MutualTLS | None = None
    port_level_mtls: Annotated[dict[str, MutualTLS], AfterValidator(_ports)] = Field(default_factory=dict)

    def mistakes(self) -> Iterable[Finding]:
        """Istio's ValidatePeerAuthentication."""
        if self.target_refs:
            yield Finding("never applies to a sidecar", "write selector: {matchLabels: ...}", at=("targetRefs",))
        if self.port_level_mtls and not (self.selector and self.selector.match_labels):
            fix = "add selector: {matchLabels: ...}"
            yield Finding("ports can be told apart for selected workloads only", fix, at=("portLevelMtls",))
