"""Says who asked for a secret that is not there for it: somebody's mistake, or somebody's attempt.

A snapshot holds the secrets of its own proxy and no others, so such a name needs no refusal of its own: it is answered
as any name that does not exist. What is left to do is to tell.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from xds_server.server.hub import Proxy
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.subscription import WILDCARD
from xds_server.xds.type_url import SECRET

log = structlog.get_logger(__name__)

_MOST_TOLD = 100
"""Names told per stream: who asks for thousands has been noticed."""
_LONGEST_NAME = 100


class SecretAudit:
    """Watches one stream's requests for secrets; each name is told once."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._snapshot: Snapshot | None = None
        self._asked: set[str] = set()
        self._told: set[str] = set()

    def asked(self, names: Iterable[str]) -> None:
        """The peer subscribed to these."""
        self._asked.update(names)
        self._look()

    def served(self, snapshot: Snapshot) -> None:
        """This is what the peer is served from now on."""
        self._snapshot = snapshot
        self._look()

    def _look(self) -> None:
        if self._snapshot is None or not self._asked:
            return
        foreign = self._asked - self._snapshot.of_type(SECRET).keys() - self._told - {WILDCARD}
        self._asked.clear()
        if foreign and len(self._told) < _MOST_TOLD:
            self._told |= foreign
            log.warning(
                "secret asked for that is not this proxy's",
                node_id=self._proxy.node.id,
                principal=self._proxy.principal,
                peer=self._proxy.peer.address,
                names=[name[:_LONGEST_NAME] for name in sorted(foreign)[:_MOST_TOLD]],
            )
