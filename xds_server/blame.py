"""Which documents to blame for what Envoy refuses, which is made from several and says of none.

In validation each suspect is kept out alone, in turn, and Envoy tells whether it was the one. A connected proxy cannot
be asked like that: what it refuses is blamed on the newest change behind it, and only where a policy can be the reason.
When it names nothing, any of a whole response may be meant: only the change that it was sent since it last took one is
blamed, all of that together and nothing before it, and not against what the Envoy here has found to be valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from xds_server.policy.document import Document
from xds_server.problem import Origin
from xds_server.quarantine import Key, Quarantine
from xds_server.xds import type_url

MOST_SUSPECTS = 8
"""More cannot be told apart in bearable time, and must not be kept out together."""
RECENT = 60.0
"""Seconds. What a proxy refuses later than that after a change has another reason: the proxy is new, or it is another
version of Envoy."""
_LIKELIEST_FIRST = ("VirtualService", "DestinationRule", "WorkloadEntry", "Sidecar", "ServiceEntry")
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


def trials(suspected: Sequence[Document]) -> Iterator[tuple[Document, ...]]:
    """What to keep out, one attempt after the other: each alone, then all."""
    yield from ((document,) for document in suspected)
    if len(suspected) > 1:
        yield tuple(suspected)


class Complaints:
    """What connected proxies refused, as far as it may be due to a policy."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, tuple[str, ...]], set[str]] = {}

    def count(
        self, node_id: str, url: str, names: tuple[str, ...], message: str, *, connected: int, vouched: bool = False
    ) -> bool:
        """Take up one refusal; whether it is to be blamed on a policy now, which it is once.

        What one of many proxies says of a listener is not: on its machine something is different.

        Args:
            node_id: of the proxy.
            url: type of what was refused.
            names: the refused resources; () when the proxy names none.
            message: the proxy's reason.
            connected: how many proxies are.
            vouched: the Envoy here takes it: only when all proxies say otherwise does it not depend on the proxy.
        """
        if any(text in message.lower() for text in _OF_THE_MACHINE):
            return False
        said_by = self._said.setdefault((url, names), set())
        before = len(said_by)
        said_by.add(node_id)
        enough = connected if vouched else min(connected, 2) if url == type_url.LISTENER else 1
        return before < enough <= len(said_by)

    def forget(self) -> None:
        """What is sent has changed: what was said of it is past."""
        self._said.clear()


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
