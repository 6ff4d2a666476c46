"""An Envoy that obeys the spec, as far as an xDS server can tell: subscribes, warms, acks, refuses, forgets.

It follows clusters and listeners by wildcard, endpoints and routes by the names that those refer to. Like the real one
it asks for endpoints before it acks clusters, acks clusters only once all are warm, keeps old clusters in service while
their new form warms, and applies a refused response in part (or not at all: `strict`). Messages in both directions wait
in queues until the test delivers them.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Iterable

from xds_server.xds.messages import DeltaRequest, DeltaResponse, NackDetail, Node, SotwRequest, SotwResponse
from xds_server.xds.resource import Resource
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE

NODE = Node("model")
FOLLOWED = {CLUSTER: ENDPOINT, LISTENER: ROUTE}
"""What the resources of a wildcard type make Envoy ask for by name."""

Request = SotwRequest | DeltaRequest
Response = SotwResponse | DeltaResponse


def is_bad(resource: Resource) -> bool:
    """Whether this Envoy refuses a resource."""
    return resource.version.startswith("bad")


class ModelEnvoy(abc.ABC):
    """State and rules that both variants share.

    Attributes:
        held: resources in force, by type and name; clusters only once they are warm.
        warming: clusters, and new forms of clusters, that wait for endpoints.
        outbox: requests on their way to the server.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self.held: dict[str, dict[str, Resource]] = {url: {} for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE)}
        self.warming: dict[str, Resource] = {}
        self.outbox: deque[Request] = deque()
        self._unacked_clusters: Response | None = None
        self.connect()

    def connect(self) -> None:
        """Open a stream: what was in flight is lost."""
        self.outbox.clear()
        self._unacked_clusters = None
        self._forget_stream()
        for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
            self._subscribe_anew(url)

    def names(self, url: str) -> frozenset[str]:
        """What is asked for by name: all that held or warming resources of the referring type refer to."""
        referrers = [*self.held[LISTENER].values()]
        if url == ENDPOINT:
            referrers = [*self.held[CLUSTER].values(), *self.warming.values()]
        return frozenset(name for resource in referrers for to, name in resource.refs if to == url)

    def take(self, response: Response) -> None:
        """Process one response, and queue what Envoy says to it."""
        self._heard(response)
        bad = any(is_bad(resource) for resource in response.resources)
        if not (bad and self._strict):
            self._apply(response)
        if bad:
            self._say(response, NackDetail(13, "bad resource"))
        elif response.type_url == CLUSTER and self.warming:
            self._unacked_clusters = response
        else:
            self._say(response, None)
        if not self.warming and self._unacked_clusters is not None:
            acked, self._unacked_clusters = self._unacked_clusters, None
            self._say(acked, None)

    def _apply(self, response: Response) -> None:
        url = response.type_url
        before = self.names(FOLLOWED[url]) if url in FOLLOWED else frozenset()
        for name in self._removed(response):
            self.held[url].pop(name, None)
            self.warming.pop(name, None)
        for resource in response.resources:
            if not is_bad(resource):
                self._accept(resource)
        if url in FOLLOWED:
            self._resubscribe(FOLLOWED[url], before, self.names(FOLLOWED[url]))

    def _accept(self, resource: Resource) -> None:
        url, name = resource.type_url, resource.name
        if url == CLUSTER:
            latest = self.warming.get(name) or self.held[CLUSTER].get(name)
            if latest != resource:
                self.warming[name] = resource
        elif url == LISTENER or name in self.names(url):
            self.held[url][name] = resource
            if url == ENDPOINT and name in self.warming:
                self.held[CLUSTER][name] = self.warming.pop(name)

    def _resubscribe(self, url: str, before: frozenset[str], after: frozenset[str]) -> None:
        for name in before - after:
            self.held[url].pop(name, None)
        self._ask(url, before, after)

    @abc.abstractmethod
    def _forget_stream(self) -> None: ...

    @abc.abstractmethod
    def _heard(self, response: Response) -> None: ...

    @abc.abstractmethod
    def _removed(self, response: Response) -> Iterable[str]: ...

    @abc.abstractmethod
    def _subscribe_anew(self, url: str) -> None: ...

    @abc.abstractmethod
    def _ask(self, url: str, before: frozenset[str], after: frozenset[str]) -> None: ...

    @abc.abstractmethod
    def _say(self, response: Response, error: NackDetail | None) -> None: ...


class SotwEnvoy(ModelEnvoy):
    """Envoy over StreamAggregatedResources."""

    def __init__(self, *, strict: bool) -> None:
        self._accepted: dict[str, str] = {}
        super().__init__(strict=strict)

    def _forget_stream(self) -> None:
        self._nonce: dict[str, str] = {}
        self._asked: set[str] = set()

    def _heard(self, response: Response) -> None:
        self._nonce[response.type_url] = response.nonce

    def _removed(self, response: Response) -> Iterable[str]:
        if response.type_url not in FOLLOWED:
            return ()
        listed = {resource.name for resource in response.resources}
        known = {*self.held[response.type_url], *(self.warming if response.type_url == CLUSTER else ())}
        return known - listed

    def _subscribe_anew(self, url: str) -> None:
        if url in FOLLOWED or self.names(url):
            self._request(url, None)

    def _ask(self, url: str, before: frozenset[str], after: frozenset[str]) -> None:
        # A cluster that changed asks again for the endpoints it has: names, version and nonce of the last ACK.
        if before != after or (url == ENDPOINT and self.warming):
            self._request(url, None)

    def _say(self, response: Response, error: NackDetail | None) -> None:
        if error is None:
            self._accepted[response.type_url] = response.version
        self._request(response.type_url, error)

    def _request(self, url: str, error: NackDetail | None) -> None:
        names = () if url in FOLLOWED else tuple(self.names(url))
        nonce, version = self._nonce.get(url, ""), self._accepted.get(url, "")
        self.outbox.append(SotwRequest(url, names, version, nonce, error, NODE))


class DeltaEnvoy(ModelEnvoy):
    """Envoy over DeltaAggregatedResources."""

    def __init__(self, *, strict: bool) -> None:
        self._accepted: dict[str, dict[str, str]] = {url: {} for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE)}
        super().__init__(strict=strict)

    def _forget_stream(self) -> None:
        pass

    def _heard(self, response: Response) -> None:
        pass

    def _removed(self, response: Response) -> Iterable[str]:
        assert isinstance(response, DeltaResponse)
        return response.removed if response.type_url in FOLLOWED else ()

    def _subscribe_anew(self, url: str) -> None:
        names = () if url in FOLLOWED else tuple(self.names(url))
        if url in FOLLOWED or names:
            self.outbox.append(DeltaRequest(url, names, (), dict(self._accepted[url]), node=NODE))

    def _ask(self, url: str, before: frozenset[str], after: frozenset[str]) -> None:
        if before != after:
            for name in before - after:
                self._accepted[url].pop(name, None)
            self.outbox.append(DeltaRequest(url, tuple(after - before), tuple(before - after), node=NODE))

    def _say(self, response: Response, error: NackDetail | None) -> None:
        assert isinstance(response, DeltaResponse)
        if error is None:
            accepted = self._accepted[response.type_url]
            accepted |= {resource.name: resource.version for resource in response.resources}
            for name in response.removed:
                accepted.pop(name, None)
        self.outbox.append(DeltaRequest(response.type_url, nonce=response.nonce, error=error, node=NODE))
