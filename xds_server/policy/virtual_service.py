"""VirtualService: which requests go where, and what is done to them on the way (istio.io/v1 VirtualService)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from xds_server.ip_address import is_ip_address
from xds_server.policy.http_words import (
    CLAIM_PREFIX,
    CORS_METHODS,
    RETRY_CONDITIONS,
    header_value_error,
    is_authority,
    is_header_name,
    is_matchable,
    is_retry_condition,
)
from xds_server.policy.l4_match import L4MatchAttributes, TLSMatchAttributes
from xds_server.policy.model import Finding, PolicyEnum, PolicyModel, refusal
from xds_server.policy.values import (
    AbsentMatch,
    Base64,
    Bool,
    DestinationHost,
    DnsLabel,
    Duration,
    DurationOrZero,
    ExportTo,
    GatewayNames,
    Host,
    HttpStatus,
    Int,
    Labels,
    Percent,
    PercentInt,
    PortNumber,
    PortSelector,
    Regex,
    StringMatch,
    only_one,
)

GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status names; a name's number is its index."""
_REDIRECT_CODES = (301, 302, 303, 307, 308)
_LARGEST_BODY = 2**20


M = TypeVar("M", bound=StringMatch)


def _matched_headers(value: dict[str, M]) -> dict[str, M]:
    found = [Finding(f'"{name}" is not a header name', at=(name,)) for name in value if not is_matchable(name)]
    empty = "an empty prefix is before every value"
    fix = "write {}, which asks whether the header is there"
    found += [Finding(empty, fix, at=(name, "prefix")) for name, match in value.items() if match.prefix == ""]
    if found:
        raise refusal(*found)
    return value


MatchedHeaders = Annotated[dict[str, StringMatch], AfterValidator(_matched_headers)]
AbsentHeaders = Annotated[dict[str, AbsentMatch], AfterValidator(_matched_headers)]


class Destination(PolicyModel):
    """A service, or one subset of it."""

    host: DestinationHost
    subset: DnsLabel | None = None
    port: PortSelector | None = None


class Delegate(PolicyModel):
    """Another VirtualService that continues the rule. `namespace` "" is the same one."""

    name: str = ""
    namespace: str = ""


class HeaderOperations(PolicyModel):
    """Headers to set (replacing), to add (appending) and to remove."""

    set: dict[str, str] = Field(default_factory=dict)
    add: dict[str, str] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """Names must be non-empty and values must be what Envoy can parse."""
        for where, headers in (("set", self.set), ("add", self.add)):
            for name, value in headers.items():
                if not name:
                    yield Finding("a header needs a name", at=(where, name))
                if reason := header_value_error(value):
                    yield Finding(f"the value of {name} {reason}", "write %% for a percent sign", at=(where, name))

        for index, name in enumerate(self.remove):
            if not name:
                yield Finding("a header needs a name", "remove the entry", at=("remove", index))

    def reserved(self, *, authority: bool) -> Iterable[Finding]:
        """Pseudo headers and Host, which Envoy does not let anybody change; with `authority`, set and add may."""
        for where, names in (("set", list(self.set)), ("add", list(self.add)), ("remove", list(self.remove))):
            for index, name in enumerate(names):
                allowed = authority and where != "remove" and is_authority(name)
                if (name.startswith(":") or name.lower() == "host") and not allowed:
                    yield Finding(f"{name} cannot be changed here", at=(where, index if where == "remove" else name))


class Headers(PolicyModel):
    """Header changes on the way there and back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Only a request's authority may be changed, of the headers that HTTP itself owns."""
        for name, operations in (("request", self.request), ("response", self.response)):
            if operations is not None:
                for found in operations.reserved(authority=name == "request"):
                    yield Finding(found.message, found.fix, at=(name, *found.at))


class HTTPMatchRequest(PolicyModel):
    """Conditions of one match, and-ed."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: MatchedHeaders = Field(default_factory=dict)
    port: PortNumber | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: GatewayNames = ()
    query_params: dict[str, StringMatch] = Field(default_factory=dict)
    ignore_uri_case: Bool = False
    without_headers: AbsentHeaders = Field(default_factory=dict)
    source_namespace: DnsLabel | None = None
    stat_prefix: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Presence can be asked of headers and query parameters only."""
        for name in ("uri", "scheme", "method", "authority"):
            match: StringMatch | None = getattr(self, name)
            if match is not None and match.is_present_match:
                yield Finding(f"{name} does not say what to match", "write exact, prefix or regex", at=(name,))


class HTTPRouteDestination(PolicyModel):
    """A destination and its share of the requests."""

    destination: Destination
    weight: Int = 0
    headers: Headers | None = None


class RouteDestination(PolicyModel):
    """A destination and its share of the connections."""

    destination: Destination
    weight: Int = 0


def _weight_mistakes(routes: Sequence[HTTPRouteDestination | RouteDestination]) -> Iterable[Finding]:
    if len(routes) > 1 and not any(route.weight for route in routes):
        yield Finding("the weights of several destinations add up to 0", "give each a weight", at=("route",))


class RedirectPortSelection(PolicyEnum):
    """Where a redirect's port comes from."""

    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


class HTTPRedirect(PolicyModel):
    """Send the client elsewhere. `redirect_code` 0 is 301."""

    uri: str = ""
    authority: str = ""
    port: PortNumber | None = None
    derive_port: RedirectPortSelection | None = None
    scheme: str = ""
    redirect_code: Int = 0
    prefix_rewrite: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Istio's, and the codes: Envoy refuses a whole route table for another one."""
        yield from only_one(self, "port", "derive_port")
        if self.uri and self.prefix_rewrite:
            yield Finding("only one of uri, prefixRewrite may be set", "keep one of them", at=("prefixRewrite",))
        if not (self.uri or self.prefix_rewrite or self.authority or self.scheme or self.port or self.derive_port):
            yield Finding("the redirect changes nothing", "set uri, prefixRewrite, authority, scheme or port")
        if self.redirect_code and self.redirect_code not in _REDIRECT_CODES:
            codes = ", ".join(str(code) for code in _REDIRECT_CODES)
            yield Finding(f"{self.redirect_code} is not a redirect", f"write one of {codes}", at=("redirectCode",))
        if self.scheme not in {"", "http", "https"}:
            yield Finding(f'"{self.scheme}" is not a scheme', "write http or https", at=("scheme",))


class HTTPBody(PolicyModel):
    """Text, or base64 of any bytes."""

    string: str | None = None
    bytes: Base64 | None = None

    def mistakes(self) -> Iterable[Finding]:
        """One form, of at most 1 MiB (Istio's limit)."""
        yield from only_one(self, "string", "bytes")
        if len((self.string or "").encode()) > _LARGEST_BODY or len(self.bytes or b"") > _LARGEST_BODY:
            yield Finding("a response body may have at most 1 MiB")


class HTTPDirectResponse(PolicyModel):
    """Answer without asking any service."""

    status: HttpStatus
    body: HTTPBody | None = None


class RegexRewrite(PolicyModel):
    """Replace what a regular expression finds in the path."""

    match: Regex = ""
    rewrite: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Both are needed."""
        if not self.match or not self.rewrite:
            yield Finding("needs both match and rewrite")


class HTTPRewrite(PolicyModel):
    """Change path or authority before the request goes on."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None

    def mistakes(self) -> Iterable[Finding]:
        """At least one, and one way for the path."""
        if self.uri and self.uri_regex_rewrite:
            yield Finding("only one of uri, uriRegexRewrite may be set", "keep one of them", at=("uriRegexRewrite",))
        if not (self.uri or self.authority or self.uri_regex_rewrite):
            yield Finding("the rewrite changes nothing", "set uri, uriRegexRewrite or authority")


class HTTPRetry(PolicyModel):
    """When and how often a request is tried again. `attempts` 0 is never."""

    attempts: Int = 0
    per_try_timeout: DurationOrZero | None = None
    retry_on: str = ""
    retry_remote_localities: Bool | None = None
    retry_ignore_previous_hosts: Bool | None = None
    backoff: Duration | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Settings without attempts would never act; an unknown condition would never match."""
        settings = (("perTryTimeout", self.per_try_timeout), ("retryOn", self.retry_on))
        for name, value in (*settings, ("retryRemoteLocalities", self.retry_remote_localities)):
            if value not in {None, ""} and not self.attempts:
                yield Finding(f"{name} has no effect, attempts is 0", "set attempts, for example to 2", at=(name,))
        for condition in filter(None, (part.strip() for part in self.retry_on.split(","))):
            if not is_retry_condition(condition):
                fix = f"write of these: {', '.join(RETRY_CONDITIONS)}, or status codes"
                yield Finding(f'"{condition}" is not a retry condition', fix, at=("retryOn",))


class UnmatchedPreflights(PolicyEnum):
    """What happens to a CORS preflight from an origin that is not allowed."""

    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


class CorsPolicy(PolicyModel):
    """Cross-origin requests that are allowed."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: Bool | None = None
    unmatched_preflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED

    def mistakes(self) -> Iterable[Finding]:
        """Istio's rules for each list."""
        for index, origin in enumerate(self.allow_origins):
            if not (origin.exact or origin.prefix or origin.regex):
                yield Finding("the origin is empty", 'write {exact: "https://example.com"}', at=("allowOrigins", index))
        for index, method in enumerate(self.allow_methods):
            if method not in CORS_METHODS:
                fix = f"write one of {', '.join(CORS_METHODS)}"
                yield Finding(f'"{method}" is not a method', fix, at=("allowMethods", index))
        for where, names in (("allowHeaders", self.allow_headers), ("exposeHeaders", self.expose_headers)):
            for index, name in enumerate(names):
                if not is_header_name(name):
                    yield Finding(f'"{name}" is not a header name', at=(where, index))
        if self.max_age is not None and self.max_age.microseconds:
            yield Finding("must be whole seconds", at=("maxAge",))


class Delay(PolicyModel):
    """Hold requests back. `percent` is the old form of `percentage`."""

    percent: PercentInt = 0
    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Istio has no exponential delay behind the field."""
        if self.exponential_delay is not None:
            yield Finding("exponentialDelay does nothing in Istio", "use fixedDelay", at=("exponentialDelay",))
        elif self.fixed_delay is None:
            yield Finding("does not say how long to wait", "set fixedDelay")


class Abort(PolicyModel):
    """Answer requests with an error."""

    http_status: HttpStatus | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None

    def mistakes(self) -> Iterable[Finding]:
        """One kind of error, and one that Envoy can make."""
        yield from only_one(self, "http_status", "grpc_status", "http2_error")
        if self.http2_error is not None:
            yield Finding("http2Error does nothing in Istio", "use httpStatus or grpcStatus", at=("http2Error",))
        if self.grpc_status is not None and self.grpc_status not in GRPC_STATUSES:
            fix = f"write one of {', '.join(GRPC_STATUSES)}"
            yield Finding(f'"{self.grpc_status}" is not a gRPC status', fix, at=("grpcStatus",))
        if self.http_status is None and self.grpc_status is None and self.http2_error is None:
            yield Finding("does not say which error to answer", "set httpStatus or grpcStatus")


class HTTPFaultInjection(PolicyModel):
    """Faults on purpose, to see what clients do."""

    delay: Delay | None = None
    abort: Abort | None = None

    def mistakes(self) -> Iterable[Finding]:
        """One of them at least."""
        if self.delay is None and self.abort is None:
            yield Finding("injects nothing", "set delay, abort or both")


class HTTPMirrorPolicy(PolicyModel):
    """A copy of requests for another destination; all of them when `percentage` is left out."""

    destination: Destination
    percentage: Percent | None = None


class HTTPRoute(PolicyModel):
    """One rule: what it matches, and what happens then.

    `mirror_percent` is the old form of `mirror_percentage`. `timeout` 0 is none, as is leaving it out.
    """

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: DurationOrZero | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: PercentInt | None = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    def mistakes(self) -> Iterable[Finding]:
        """One action a rule, and nothing beside it that the action makes void."""
        yield from self._action_mistakes()
        yield from self._mirror_mistakes()
        yield from self._authority_mistakes()
        yield from _weight_mistakes(self.route)
        prefix_rewrite = self.redirect is not None and self.redirect.prefix_rewrite
        if prefix_rewrite and any(match.uri is not None and match.uri.prefix is None for match in self.match):
            fix = "match the uri by prefix, or use uri"
            yield Finding("prefixRewrite needs prefix matches", fix, at=("redirect", "prefixRewrite"))

    def _action_mistakes(self) -> Iterable[Finding]:
        names = ("route", "redirect", "direct_response", "delegate")
        actions = [name for name in names if getattr(self, name)]
        if not actions:
            yield Finding("the rule has no action", "give it a route, a redirect, a directResponse or a delegate")
        for action in actions[1:]:
            yield self._conflict(actions[0], action)
        if actions and actions[0] in {"redirect", "direct_response"}:
            for name in ("fault", "rewrite"):
                if getattr(self, name) is not None:
                    yield self._conflict(actions[0], name)

    def _conflict(self, first: str, second: str) -> Finding:
        spelled = [str(type(self).model_fields[name].alias) for name in (first, second)]
        message = f"a rule cannot have both {spelled[0]} and {spelled[1]}"
        return Finding(message, "keep one of them, or make two rules", at=(spelled[1],))

    def _mirror_mistakes(self) -> Iterable[Finding]:
        if self.mirror is not None and self.mirrors:
            yield self._conflict("mirror", "mirrors")
        for name in ("mirror", "mirrors"):
            if getattr(self, name) and (self.redirect or self.direct_response):
                yield Finding(f"{name} needs a route: nothing is sent that could be copied", at=(name,))

    def _authority_mistakes(self) -> Iterable[Finding]:
        operations = self.headers.request if self.headers is not None else None
        if operations is None:
            return
        names = [("headers", "request", "set", name) for name in operations.set if is_authority(name)]
        names += [("headers", "request", "add", name) for name in operations.add if is_authority(name)]
        if len(names) + bool(self.rewrite and self.rewrite.authority) > 1:
            yield Finding("the authority is changed more than once in this rule", "keep one", at=names[-1])


class TLSRoute(PolicyModel):
    """Where TLS connections go, by server name."""

    match: Annotated[tuple[TLSMatchAttributes, ...], Field(min_length=1)]
    route: tuple[RouteDestination, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """A destination is needed, and weights that mean something."""
        if not self.route:
            yield Finding("the rule has no route", "name a destination")
        yield from _weight_mistakes(self.route)


class TCPRoute(PolicyModel):
    """Where TCP connections go."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """A destination is needed, and weights that mean something."""
        if not self.route:
            yield Finding("the rule has no route", "name a destination")
        yield from _weight_mistakes(self.route)


class VirtualServiceSpec(PolicyModel):
    """The rules for some hosts. Without `hosts` it is one that others delegate to; no `gateways` means "mesh"."""

    hosts: tuple[Host, ...] = ()
    gateways: GatewayNames = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: ExportTo = ()

    @property
    def on_mesh(self) -> bool:
        """Whether sidecars obey it."""
        return not self.gateways or "mesh" in self.gateways

    def mistakes(self) -> Iterable[Finding]:
        """Istio's rules between the lists."""
        if not (self.http or self.tls or self.tcp):
            yield Finding("has no rules", "write http, tls or tcp")
        if not self.hosts:
            yield from self._delegate_mistakes()
        yield from self._host_mistakes()
        yield from self._claim_mistakes()
        yield from self._sni_mistakes()

    def _delegate_mistakes(self) -> Iterable[Finding]:
        for name in ("gateways", "tls", "tcp"):
            if getattr(self, name):
                yield Finding(f"without hosts it can only be delegated to, and has no {name}", "name hosts", at=(name,))
        for index, rule in enumerate(self.http):
            if rule.delegate is not None:
                yield Finding("a delegate cannot delegate again", "name hosts", at=("http", index, "delegate"))

    def _host_mistakes(self) -> Iterable[Finding]:
        if "*" in self.hosts and set(self.gateways) <= {"mesh"}:
            fix = "name the services, or *.suffix"
            yield Finding("* is not allowed in the mesh", fix, at=("hosts", self.hosts.index("*")))
        for index, host in enumerate(self.hosts):
            for earlier in self.hosts[:index]:
                if _covers(earlier, host) or _covers(host, earlier):
                    yield Finding(f"{host} and {earlier} mean the same host twice", "keep one", at=("hosts", index))

    def _claim_mistakes(self) -> Iterable[Finding]:
        if set(self.gateways) - {"mesh"}:
            return
        for rule_index, rule in enumerate(self.http):
            for match_index, match in enumerate(rule.match):
                for where, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
                    for name in (name for name in headers if name.startswith(CLAIM_PREFIX)):
                        at = ("http", rule_index, "match", match_index, where, name)
                        yield Finding("claims can be matched at gateways only", "name a gateway in gateways", at=at)

    def _sni_mistakes(self) -> Iterable[Finding]:
        for rule_index, rule in enumerate(self.tls):
            for match_index, match in enumerate(rule.match):
                for index, name in enumerate(match.sni_hosts):
                    if not is_ip_address(name) and not any(_covers(host, name) for host in self.hosts):
                        at = ("tls", rule_index, "match", match_index, "sniHosts", index)
                        yield Finding(f"{name} is not among the hosts", f"add {name} to hosts", at=at)


def _covers(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*") and host.removeprefix("*").endswith(pattern[1:]))
