"""One type on one stream: what was asked, what was sent, what the peer holds, and the moves between these.

The state is a reference to shared sets, so a stream costs the same whether its peer holds ten resources or ten
thousand. What to send is decided in `rollout.py`, how it is said in `sotw.py` and `delta.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from xds_server.xds.diff import diff
from xds_server.xds.messages import NackDetail
from xds_server.xds.resource import Resource
from xds_server.xds.resource_set import EMPTY, ResourceSet
from xds_server.xds.subscription import NOTHING, Subscription

NO_NAMES: frozenset[str] = frozenset()


class Outstanding(NamedTuple):
    """A response that the peer has neither acked nor nacked; a tuple for its price, see `messages.py`.

    Attributes:
        payload: what it tells the peer that the peer did not know to hold; a full SotW list carries more than that.
        removed: names that it takes away, in so many words (delta) or by leaving them out (SotW lists).
        content: everything it carries.
        whole: `content` is the complete state of the type (SotW listeners and clusters).
    """

    nonce: str
    version: str
    payload: ResourceSet
    removed: frozenset[str]
    content: ResourceSet
    whole: bool

    @property
    def names(self) -> frozenset[str]:
        """Every name whose state at the peer this response changes."""
        return self.payload.names | self.removed

    def repeats(self, wanted: ResourceSet) -> bool:
        """Whether bringing the peer to `wanted` would say the same once more."""
        if self.whole:
            return self.content.version == wanted.version
        return self.removed.isdisjoint(wanted.names) and not diff(self.payload, wanted.selection(self.payload.names))


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """What a stream knows about one type; see `SotwStream.status`.

    Attributes:
        names: asked for by name.
        wildcard: everything was asked for.
        resources: what the peer has acknowledged, by name; shared, read only.
        error: why the peer refused the last response, until it accepts one.
        sent: what it holds once it accepts the outstanding response, by name; shared, read only.
    """

    names: frozenset[str]
    wildcard: bool
    sent_version: str
    sent_nonce: str
    acked_version: str
    acked_nonce: str
    resources: Mapping[str, Resource]
    error: NackDetail | None
    sent: Mapping[str, Resource]

    @property
    def versions(self) -> dict[str, str]:
        """Name to version of what the peer holds."""
        return {name: resource.version for name, resource in self.resources.items()}


@dataclass(slots=True, eq=False)
class Channel:
    """State of one type on one stream.

    Attributes:
        acked: what the peer holds for certain.
        sent: what it holds once it accepts the outstanding response; `acked` itself when none is outstanding.
        due: names to answer for even if nothing about them changed.
        unknown: names of which nobody knows in what version, if at all, the peer holds them.
        claimed: those of them that it said it holds when it came; delta only.
        remembered: what the same node held when its last stream ended, see `Stream.held`.
        refused: responses that the peer refused and whose content has not changed since.
        answer: a response is owed even if there is nothing to say.
        claim: what the first request said the peer holds, until a snapshot is there to compare with: versions by name
            (delta) or the version of the whole type (SotW).
    """

    url: str
    subscription: Subscription = NOTHING
    acked: ResourceSet = EMPTY
    sent: ResourceSet = EMPTY
    outstanding: Outstanding | None = None
    due: frozenset[str] = NO_NAMES
    unknown: frozenset[str] = NO_NAMES
    claimed: frozenset[str] = NO_NAMES
    remembered: ResourceSet = EMPTY
    refused: tuple[Outstanding, ...] = ()
    answer: bool = False
    claim: Mapping[str, str] | str | None = None
    sent_version: str = ""
    sent_nonce: str = ""
    acked_version: str = ""
    acked_nonce: str = ""
    error: NackDetail | None = None

    def subscribe(self, subscription: Subscription) -> None:
        """Take over what the peer now wants; what it no longer wants it no longer holds (xDS spec)."""
        before, self.subscription = self.subscription, subscription
        lost_wildcard = before.wildcard and not subscription.wildcard
        if lost_wildcard or (not subscription.wildcard and not before.names <= subscription.names):
            self.acked = self.acked.selection(subscription.names)
            self.sent = self.sent.selection(subscription.names) if self.outstanding else self.acked
            self.due &= subscription.names
            self.unknown &= subscription.names
            self.claimed &= subscription.names

    def send(self, response: Outstanding, then_held: ResourceSet) -> None:
        """A response has left; the peer holds `then_held` if it accepts it."""
        self.outstanding, self.sent = response, then_held
        self.sent_version, self.sent_nonce = response.version, response.nonce
        if self.due:
            self.due -= response.names
        self.answer = False

    def settle(self, then_held: ResourceSet, silent: frozenset[str]) -> None:
        """Nothing needs to be said to make the peer hold `then_held`; there is nothing to say about `silent` names."""
        self.sent = self.acked = then_held
        self.due -= silent
        self.unknown -= silent
        self._forget()
        self.answer = False
        if then_held.names is not self.subscription.names and then_held.names == self.subscription.names:
            # The peer's own copies of a thousand names give way to the one copy that all streams share.
            self.subscription = replace(self.subscription, names=then_held.names)

    def ack(self, response: Outstanding) -> None:
        """The peer accepted the outstanding response."""
        self.acked, self.outstanding = self.sent, None
        if self.unknown or self.claimed:
            self.unknown -= response.names
            self.claimed -= response.names
        self._forget()
        self.acked_version, self.acked_nonce = response.version, response.nonce
        self.error = None

    def nack(self, response: Outstanding, error: NackDetail) -> None:
        """The peer refused the outstanding response, or part of it: nobody knows which part.

        One resource with a bad schema voids the whole response, one that is bad in meaning voids only itself, and
        removals may have been carried out (Envoy 1.40).
        """
        self.sent = self.acked = self.acked.without(response.removed)
        self.outstanding = None
        self.unknown |= self.subscription.covered(response.names)
        self.refused = (*self.refused, response)
        self.error = error

    def _forget(self) -> None:
        """The peer has been told of all that it came with, unless it refused that."""
        if not self.refused:
            self.remembered = EMPTY

    def status(self) -> TypeStatus:
        """A frozen picture of this state."""
        return TypeStatus(
            names=self.subscription.names,
            wildcard=self.subscription.wildcard,
            sent_version=self.sent_version,
            sent_nonce=self.sent_nonce,
            acked_version=self.acked_version,
            acked_nonce=self.acked_nonce,
            resources=self.acked.by_name,
            error=self.error,
            sent=self.sent.by_name,
        )
