"""Wires connected proxies to the registry: the workload behind each, what it registers, and what it was last given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set

import structlog

from xds_server.mesh.registration import Registration, registration
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import Workload, workload
from xds_server.registry.registrar import Registrar
from xds_server.server.hub import Proxy
from xds_server.xds.messages import Nacked
from xds_server.xds.snapshot import Snapshot

log = structlog.get_logger(__name__)


class Roster:
    """Who is connected. Everything is called on the event loop.

    Args:
        default_namespace: of a proxy that names none.
        registrar: told of who comes and goes.
        proved: what of a workload that a proxy claims to be it has proved.
    """

    def __init__(
        self, default_namespace: str, registrar: Registrar, proved: Callable[[Proxy, Workload], Workload]
    ) -> None:
        self._default_namespace = default_namespace
        self._registrar = registrar
        self._proved = proved
        self._streams_of: Counter[str] = Counter()
        self._peers: Counter[str] = Counter()
        self._given: dict[str, Snapshot] = {}

    @property
    def peers(self) -> Set[str]:
        """Everybody connected, by `peer_name`."""
        return self._peers.keys()

    def workload(self, proxy: Proxy) -> Workload:
        """The workload that a proxy is."""
        node = proxy.node
        claimed = workload(
            node.id,
            default_namespace=self._default_namespace,
            metadata=node.metadata,
            locality=Locality(*node.locality),
        )
        return self._proved(proxy, claimed)

    def connected(self, proxy: Proxy) -> None:
        """One of a proxy's streams has begun."""
        self._streams_of[proxy.node.id] += 1
        self._peers[peer_name(proxy)] += 1
        log.info("proxy connected", node_id=proxy.node.id, peer=proxy.peer.address)
        self._registrar.connected(proxy, self._registration(proxy))

    def disconnected(self, proxy: Proxy) -> None:
        """One of them has ended."""
        node_id = proxy.node.id
        _take_one(self._peers, peer_name(proxy))
        _take_one(self._streams_of, node_id)
        if node_id not in self._streams_of:
            self._given.pop(node_id, None)
        self._registrar.disconnected(proxy)
        log.info("proxy disconnected", node_id=node_id, peer=proxy.peer.address)

    def says(self, proxy: Proxy, live: bool, /) -> None:
        """See `metrics_sink.Live`."""
        self._registrar.says(self._registration(proxy), live=live)

    def gave(self, proxy: Proxy, snapshot: Snapshot) -> None:
        """A proxy is served this from now on; one that has left meanwhile is not remembered for it."""
        if self._streams_of[proxy.node.id]:
            self._given[proxy.node.id] = snapshot

    def given(self, node_id: str) -> Snapshot | None:
        """What a node is served; None when it is not connected."""
        return self._given.get(node_id)

    def still_given(self, proxy: Proxy, nacked: Nacked) -> bool:
        """Whether a proxy is served any of what it refused; a refusal of anything else is past."""
        given = self.given(proxy.node.id)
        now = given.of_type(nacked.type_url) if given else {}
        return any(now.get(resource.name) == resource for resource in nacked.resources)

    def _registration(self, proxy: Proxy) -> Registration | None:
        """What a proxy registers, under the identity that it proved."""
        found = self.workload(proxy)
        account = found.service_account if proxy.principal else ""
        return registration(found, proxy.node.metadata, peer=proxy.peer.ip, service_account=account)


def peer_name(proxy: Proxy) -> str:
    """What it proved to be, whatever it calls itself; its id where nobody need prove anything."""
    return proxy.principal or proxy.node.id


def _take_one(counter: Counter[str], key: str) -> None:
    """One less of it; what there is none of is no key."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
