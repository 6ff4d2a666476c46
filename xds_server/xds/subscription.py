"""Which resources of one type a stream wants: names, wildcard, and the legacy wildcard, as one value.

xDS spec, "How the client specifies what resources to return". Both variants share the rule that "*" stands for
everything, and that a first request for listeners or clusters which names nothing means the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from xds_server.xds import type_url

WILDCARD = "*"

_LEGACY_TYPES = frozenset({type_url.CLUSTER, type_url.LISTENER})


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream asked for.

    Attributes:
        names: asked for by name, whether they exist or not; never "" (which matches nothing) nor "*".
        wildcard: everything is wanted, whatever the names.
        legacy: wildcard for no other reason than that no request has named anything so far; SotW alone must know.
    """

    names: frozenset[str] = frozenset()
    wildcard: bool = False
    legacy: bool = False

    def covered(self, names: frozenset[str]) -> frozenset[str]:
        """Those of `names` that are wanted."""
        return names if self.wildcard else names & self.names


NOTHING = Subscription()
LEGACY = Subscription(wildcard=True, legacy=True)


def sotw_subscription(before: Subscription | None, url: str, names: Collection[str]) -> Subscription:
    """What a SotW request asks for; `before` is None for the first request of this type on a stream.

    "once the client has sent any name for a type, an empty list no longer means wildcard but nothing" (xDS spec).
    Gives back `before` itself when nothing changed.
    """
    if not names and url in _LEGACY_TYPES and (before is None or before.legacy):
        return LEGACY
    after = Subscription(_real(names), WILDCARD in names)
    return before if before == after else after


def delta_subscription(
    before: Subscription | None, url: str, subscribe: Collection[str], unsubscribe: Collection[str]
) -> Subscription:
    """What a stream wants after a delta request; `before` is None for the first request of this type on a stream.

    Names add to a legacy wildcard and do not end it: only unsubscribing from "*" does. Unsubscribing from a name that
    was never asked for changes nothing.
    """
    if before is None:
        before = LEGACY if url in _LEGACY_TYPES and not subscribe else NOTHING
    if not subscribe and not unsubscribe:
        return before
    wildcard = WILDCARD in subscribe or (before.wildcard and WILDCARD not in unsubscribe)
    return Subscription((before.names - _real(unsubscribe)) | _real(subscribe), wildcard)


def _real(names: Collection[str]) -> frozenset[str]:
    return frozenset(names) - {"", WILDCARD}
