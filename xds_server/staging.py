"""In which steps a change of mutual TLS comes into force, so that no call fails on the way.

Callers and servers are different proxies, and hear of a change at different times. Where mesh TLS is switched on or off
(DISABLE to another mode, or back), neither side may be first to insist. So:

1. servers take both mesh TLS and plain connections; callers do as before;
2. callers do as the new policies say;
3. servers ask for what the new policies say.

The next step comes when everybody has taken the last one, or when that takes too long: who knows that is elsewhere. On
the way a server lets in only what the policies before or the new ones let in.
"""

from __future__ import annotations

from dataclasses import replace

from xds_server.mesh.security import ChangingPolicies, PeerPolicies
from xds_server.pipeline import Generation

SETTLES = 0.5
"""Seconds that everybody must have taken everything: Envoy asks for the secrets of a listener, and hands both on to its
threads, behind the acknowledgement."""


class Patience:
    """How long to wait for the next step. Without a clock: times are in seconds by any one.

    Args:
        limit: for a whole change.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._began: float | None = None
        self._taken: float | None = None

    def is_over(self, now: float, *, taken: bool) -> bool:
        """Whether the next step is due now, `taken` saying whether everybody has taken everything."""
        self._began = now if self._began is None else self._began
        if not taken:
            self._taken = None
        elif self._taken is None:
            self._taken = now
        is_over = self.is_exhausted(now) or (self._taken is not None and now - self._taken >= SETTLES)
        if is_over:
            self._taken = None
        return is_over

    def is_exhausted(self, now: float) -> bool:
        """Whether the change has taken as long as it may."""
        return self._began is not None and now - self._began >= self._limit

    def rest(self) -> None:
        """Nothing is under way: the next change has all the time."""
        self._began = self._taken = None


class Staging:
    """A change that is under way, and how far it is. Without a clock."""

    def __init__(self) -> None:
        self._goal: Generation | None = None
        self._callers: Generation | None = None
        self._earlier: tuple[PeerPolicies, ...] = ()

    @property
    def step(self) -> str:
        """Which step is in force, in words; "" when the change is over."""
        if self._goal is None:
            return ""
        return "callers follow" if self._callers is None else "servers take both"

    def begin(self, now: Generation | None, goal: Generation) -> Generation:
        """What to put in force next on the way to `goal`: `goal` itself, where it switches mesh TLS on or off nowhere.

        Args:
            now: what is in force; None for nothing, which nobody has to leave.
            goal: made of other policies, or of the same ones; it replaces the goal of a change that is under way.
        """
        former, peers = self._goal, goal.mesh.peers
        if former is None and now is not None:
            self._callers, self._earlier = now, (_settled(now),)
        elif former is not None and self._callers is None and _settled(former) != peers:
            self._callers, self._earlier = former, (*self._earlier, _settled(former))
        if not any(_switches(one, _settled(goal)) for one in self._earlier):
            return self._arrived(goal)
        self._goal = goal
        return self._staged(goal)

    def advance(self) -> Generation:
        """The next step of the change that is under way."""
        if self._goal is None:
            raise ValueError("no change of mutual TLS is under way")
        if self._callers is None:
            return self._arrived(self._goal)
        self._callers = None
        return self._staged(self._goal)

    def _arrived(self, goal: Generation) -> Generation:
        self._goal, self._callers, self._earlier = None, None, ()
        return goal

    def _staged(self, goal: Generation) -> Generation:
        callers = self._callers or goal
        peers = ChangingPolicies(self._earlier, _settled(goal))
        return replace(
            callers,
            mesh=replace(callers.mesh, peers=peers),
            policies=goal.policies,
            problems=goal.problems,
            registered=goal.registered,
        )


def _settled(generation: Generation) -> PeerPolicies:
    """The policies of a generation as they were compiled."""
    peers = generation.mesh.peers
    return peers if isinstance(peers, PeerPolicies) else peers.after


def _switches(before: PeerPolicies, after: PeerPolicies) -> bool:
    """Whether mesh TLS may be on for some port and off for it elsewhere; nobody looks at every workload for it."""
    return before != after and (before.disables or after.disables)
