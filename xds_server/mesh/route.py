"""Where an HTTP request goes: a VirtualService rule with its defaults decided.

A `Route` is one match and one action; a rule with several matches has become several routes, in order.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from xds_server.mesh.service import Labels, Service
from xds_server.mesh.traffic import TrafficRule
from xds_server.problem import Origin


class MatchKind(enum.StrEnum):
    """How a string is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class StringMatch:
    """One comparison; `value` is "" for PRESENT. REGEX is RE2, and must match the whole text."""

    kind: MatchKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """One header condition; `invert` is Istio's withoutHeaders."""

    name: str
    match: StringMatch
    invert: bool = False


@dataclass(frozen=True, slots=True)
class QueryMatch:
    """One query parameter condition."""

    name: str
    match: StringMatch


@dataclass(frozen=True, slots=True)
class Match:
    """All conditions of one route, and-ed. The default matches every request.

    `port`, `source_labels`, `source_namespace` and `gateways` are decided per proxy, before Envoy sees the route.
    """

    uri: StringMatch | None = None
    ignore_uri_case: bool = False
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[HeaderMatch, ...] = ()
    """Sorted by name, withoutHeaders included."""
    query: tuple[QueryMatch, ...] = ()
    port: int | None = None
    source_labels: Labels = ()
    source_namespace: str = ""
    gateways: tuple[str, ...] = ("mesh",)
    stat_prefix: str = ""

    @property
    def is_catch_all(self) -> bool:
        """Whether every request of every proxy on every port meets it (Istio's rule for dropping later routes)."""
        narrowed = self.port is not None or self.source_labels or self.source_namespace
        return self.takes_everything and not narrowed

    @property
    def takes_everything(self) -> bool:
        """Whether every request meets it, of those proxies and on that port for which it holds."""
        anything = self.uri in {None, StringMatch(MatchKind.PREFIX, "/"), StringMatch(MatchKind.REGEX, ".*")}
        conditions = self.headers or self.query or self.scheme or self.method or self.authority
        return bool(anything and not conditions)


@dataclass(frozen=True, slots=True)
class HeaderOperations:
    """Header changes, sorted by name within each list. `set` overwrites, `add` appends."""

    request_set: tuple[tuple[str, str], ...] = ()
    request_add: tuple[tuple[str, str], ...] = ()
    request_remove: tuple[str, ...] = ()
    response_set: tuple[tuple[str, str], ...] = ()
    response_add: tuple[tuple[str, str], ...] = ()
    response_remove: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Backend:
    """A service with the traffic rule in force for it: all that its clusters and endpoints are made of. By identity."""

    service: Service
    traffic: TrafficRule


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request is sent.

    Attributes:
        host: the service host it resolved to, or the name as written when no service has it.
        port: service port; None means the only port of the service, else the port the request came in on.
        subset: "" for the whole service.
        backend: None when no service that the author may see has that host.
    """

    host: str
    port: int | None
    subset: str
    backend: Backend | None

    def port_on(self, listener_port: int) -> int:
        """The service port in use when the request came in on `listener_port` (Istio's rule)."""
        if self.port is not None:
            return self.port
        if self.backend is not None and len(self.backend.service.ports) == 1:
            return self.backend.service.ports[0].number
        return listener_port

    def exists_on(self, listener_port: int) -> bool:
        """Whether that port and subset have a cluster; a route to one that has not answers 503."""
        if self.backend is None or self.port_on(listener_port) not in self.backend.service.port_by_number:
            return False
        return not self.subset or self.backend.traffic.subset(self.subset) is not None


@dataclass(frozen=True, slots=True)
class WeightedDestination:
    """A destination and its share. Weights need not sum to 100; a single destination's weight means nothing."""

    destination: Destination
    weight: int = 0
    headers: HeaderOperations = HeaderOperations()


@dataclass(frozen=True, slots=True)
class Redirect:
    """HTTPRedirect. "" and None leave that part of the URL as it is; `port` 0 derives it from the scheme's default."""

    uri: str = ""
    prefix_rewrite: str = ""
    authority: str = ""
    scheme: str = ""
    port: int | None = None
    derive_port: str = "FROM_PROTOCOL_DEFAULT"
    code: int = 301


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """HTTPDirectResponse; `body` None is an empty one."""

    status: int
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """HTTPRewrite. `regex` is (RE2 pattern, substitution)."""

    uri: str = ""
    authority: str = ""
    regex: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a request is tried again. The default is Istio's own default retry policy.

    Attributes:
        attempts: retries after the first try; a route that must not retry has no Retry.
        conditions: Envoy's retry_on words in order; integers from Istio's retryOn are in `status_codes`.
        remote_localities: spread over other localities (retryRemoteLocalities).
        ignore_previous_hosts: re-pick to avoid a host that already failed (Envoy's previous_hosts predicate).
    """

    attempts: int = 2
    per_try_timeout: timedelta | None = None
    conditions: tuple[str, ...] = (
        "connect-failure",
        "refused-stream",
        "unavailable",
        "cancelled",
        "retriable-status-codes",
    )
    status_codes: tuple[int, ...] = ()
    backoff: timedelta | None = None
    remote_localities: bool = False
    ignore_previous_hosts: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """HTTPFaultInjection. Percentages are 0 to 100; None means that kind of fault is not injected."""

    delay: timedelta | None = None
    delay_percent: float = 0.0
    abort_http_status: int | None = None
    abort_grpc_status: int | None = None
    abort_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of the request sent elsewhere, its answer thrown away. Percent is 0 to 100."""

    destination: Destination
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Cors:
    """CorsPolicy."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: timedelta | None = None
    allow_credentials: bool | None = None
    forward_not_matching_preflights: bool = True


class RouteAction(enum.StrEnum):
    """What a route does with a request."""

    FORWARD = "forward"
    REDIRECT = "redirect"
    DIRECT_RESPONSE = "direct_response"


@dataclass(frozen=True, slots=True)
class Route:
    """One match, one action.

    Attributes:
        name: Envoy's Route.name: "rule", "rule.match", or "".
        destinations: one or more when `redirect` and `direct_response` are None.
        timeout: None is no timeout, Istio's default.
        retry: None is no retry.
        origin: the VirtualService document.
        namespace: of the VirtualService that has the hosts, which is not the origin's where it delegates; "" for none.
    """

    match: Match
    name: str = ""
    destinations: tuple[WeightedDestination, ...] = ()
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    rewrite: Rewrite | None = None
    timeout: timedelta | None = None
    retry: Retry | None = Retry()
    fault: Fault | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    headers: HeaderOperations = HeaderOperations()
    origin: Origin | None = None
    namespace: str = ""

    @property
    def action(self) -> RouteAction:
        """Redirect wins over a direct response, which wins over forwarding (Istio's order)."""
        if self.redirect is not None:
            return RouteAction.REDIRECT
        return RouteAction.FORWARD if self.direct_response is None else RouteAction.DIRECT_RESPONSE


@dataclass(frozen=True, slots=True)
class ConnectionMatch:
    """Which connections a TLS or TCP rule takes: one of the names and one of the subnets, where there are any.

    `port`, `source_labels`, `source_namespace` and `gateways` are decided per proxy, before Envoy sees the rule.

    Attributes:
        server_names: what the client's ClientHello asks for, in lower case, "*.suffix" allowed.
        subnets: destination ranges as "address/length".
    """

    server_names: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    port: int | None = None
    source_labels: Labels = ()
    source_namespace: str = ""
    gateways: tuple[str, ...] = ("mesh",)


@dataclass(frozen=True, slots=True)
class ConnectionRoute:
    """Where whole connections go: a VirtualService's `tls` (passed through) or `tcp` rule, one for each of its matches.

    Attributes:
        tls: from `tls`: for connections that are TLS and stay so.
        destinations: one or more.
        namespace: of the VirtualService.
    """

    tls: bool
    match: ConnectionMatch
    destinations: tuple[WeightedDestination, ...]
    origin: Origin | None = None
    namespace: str = ""
