"""Which documents to blame for what Envoy refuses, which is made from several and says of none.

In validation suspects are kept out in turn, and Envoy tells who was the one (`trial.py`). A connected proxy cannot be
asked like that: what it refuses is blamed on the newest change behind it, and only where a policy can be the reason.
When it names nothing, any of a whole response may be meant: only the change that it was sent since it last took one is
blamed, all of that together and nothing before it.

And a proxy cannot be believed like that: it may be another version of Envoy, it may be broken, it may lie. Its refusal
is told in any case, and it keeps what it has; but one alone takes no policy away from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from xds_server.policy.document import Document
from xds_server.problem import Origin
from xds_server.quarantine import Key, Quarantine

MOST_SUSPECTS = 8
"""More cannot be told apart in bearable time, and must not be kept out together."""
RECENT = 60.0
"""Seconds. What a proxy refuses later than that after a change has another reason: the proxy is new, or it is another
version of Envoy."""
_LIKELIEST_FIRST = ("Telemetry", "VirtualService", "DestinationRule", "WorkloadEntry", "Sidecar", "ServiceEntry")
_OF_THE_MACHINE = ("cannot bind", "address already in use", "permission denied")
"""What Envoy says of ports that somebody else has: no policy is wrong, and other proxies can listen there."""


def suspects(origins: Sequence[Origin], documents: Iterable[Document], quarantine: Quarantine) -> tuple[Document, ...]:
    """Whom to blame for a unit, likeliest first; () when nobody can be singled out.

    What changed is likelier than what was in force before.

    Args:
        origins: of the unit; without any, whatever changed is suspect.
        documents: as the store gave them.
        quarantine: knows what was in force before.
    """
    if not origins:
        changed = quarantine.changed(documents)
        return tuple(sorted(changed, key=_rank)) if len(changed) <= MOST_SUSPECTS else ()
    behind = _behind(origins, documents)
    free = [document for document in behind if not quarantine.holds(document)] or behind
    return tuple(sorted(quarantine.changed(free) or free, key=_rank))[:MOST_SUSPECTS]


def is_of_the_machine(reason: str) -> bool:
    """Whether a proxy's reason speaks of its machine, so that no policy is to blame."""
    return any(text in reason.lower() for text in _OF_THE_MACHINE)


class Complaints:
    """Which connected proxies refuse what each document means, since the last change."""

    def __init__(self) -> None:
        self._said_by: dict[Key, Set[str]] = {}
        self._blamed: set[Key] = set()

    def against(
        self, suspected: Iterable[Document], node: str, *, connected: Set[str], vouched: bool
    ) -> tuple[Document, ...]:
        """Take up one refusal; the documents that are to blame from now on, each once.

        Args:
            suspected: the documents behind what is refused.
            node: whose proxy it is; a credential has one voice, however many proxies it is shown by.
            connected: all nodes that are; what others once said does not count.
            vouched: the Envoy here takes what they mean. Then more than half of the proxies must say otherwise, two at
                least; else any two, or the only one.
        """
        enough = max(2, len(connected) // 2 + 1) if vouched else min(2, len(connected))
        found = [one for one in suspected if one.key not in self._blamed and self._said(one, node, connected) >= enough]
        self._blamed.update(document.key for document in found)
        return tuple(found)

    def forget(self) -> None:
        """What is sent has changed: what was said of it is past."""
        self._said_by.clear()
        self._blamed.clear()

    def _said(self, document: Document, node: str, connected: Set[str]) -> int:
        said_by = (self._said_by.get(document.key, frozenset()) | {node}) & connected
        self._said_by[document.key] = said_by
        return len(said_by)


def refused_by_proxy(
    origins: Iterable[Origin], documents: Iterable[Document], quarantine: Quarantine, now: float
) -> tuple[Document, ...]:
    """Whom to blame for what a proxy refuses: the newest change behind it; () when it is old, or too much changed."""
    newest = quarantine.newest(_behind(origins, documents), now - RECENT)
    return tuple(newest) if len(newest) <= MOST_SUSPECTS else ()


def refused_unnamed(
    origins: Iterable[Origin], documents: Iterable[Document], quarantine: Quarantine, taken_at: float
) -> tuple[Document, ...]:
    """Whom to blame for a response of which a proxy names nothing: one change whole, as its documents need each other.

    Args:
        origins: of everything in the response.
        documents: as the store gave them.
        quarantine: knows when each was taken up, and which are kept out already.
        taken_at: when what the proxy has in force was sent, by the quarantine's clock.

    Returns:
        Every document of the newest change since then, where the response shows something of it; () when it shows
        none, and when too much changed.
    """
    free = [document for document in documents if not quarantine.holds(document)]
    newest = quarantine.newest(free, taken_at)
    return tuple(newest) if len(newest) <= MOST_SUSPECTS and _behind(origins, newest) else ()


def _behind(origins: Iterable[Origin], documents: Iterable[Document]) -> list[Document]:
    names = {(origin.kind, origin.namespace, origin.name) for origin in origins}
    return [document for document in documents if document.key in names]


def _rank(document: Document) -> tuple[int, Key]:
    known = document.kind in _LIKELIEST_FIRST
    return _LIKELIEST_FIRST.index(document.kind) if known else len(_LIKELIEST_FIRST), document.key
