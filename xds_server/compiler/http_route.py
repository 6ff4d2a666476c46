"""What one HTTP rule of a VirtualService means: a Route for each of its matches.

Knows the backends that the rule's destination names resolved to, and nothing of other rules or VirtualServices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from xds_server.compiler.finding import Place, nearest
from xds_server.compiler.gateway_name import MESH, gateway_names
from xds_server.compiler.retry import retry, retry_traps
from xds_server.compiler.route_match import match, string_match
from xds_server.mesh.request_header import NEVER_SEEN
from xds_server.mesh.route import (
    Backend,
    Cors,
    Destination,
    DirectResponse,
    Fault,
    HeaderOperations,
    Match,
    Mirror,
    Redirect,
    Retry,
    Rewrite,
    Route,
    WeightedDestination,
)
from xds_server.policy import virtual_service as policy
from xds_server.policy.values import Percent
from xds_server.problem import Problem

_NO_CHANGES = policy.HeaderOperations()


@dataclass(frozen=True, slots=True)
class Bound:
    """A route with the place it comes from, for findings that need other routes to be seen."""

    route: Route
    place: Place


@dataclass(frozen=True, slots=True)
class Known:
    """What a VirtualService's destination names mean in one namespace: name as written to backend.

    Attributes:
        near: hosts to suggest for a name that means none.
        gateways: where the VirtualService's rules hold that name no gateways of their own.
        retry: of rules that say nothing of retries.
        namespace: of the VirtualService.
    """

    backends: Mapping[str, Backend | None]
    near: tuple[str, ...] = ()
    gateways: tuple[str, ...] = (MESH,)
    retry: Retry | None = Retry()
    namespace: str = ""


def destination_names(rules: Iterable[policy.HTTPRoute]) -> tuple[str, ...]:
    """Every destination host that the rules name, mirrors included, each once, in order."""
    return tuple(dict.fromkeys(named.host for rule in rules for named, _ in _destinations(rule)))


def bound_routes(rule: policy.HTTPRoute, place: Place, known: Known) -> list[Bound]:
    """The rule's routes, one per match, for sidecars and gateways; none when the rule delegates."""
    if rule.delegate is not None:
        return []
    action = _action(rule, place, known)
    if not rule.match:
        return [Bound(replace(action, match=Match(gateways=known.gateways), name=rule.name), place)]
    return [
        Bound(replace(action, match=found, name=_name(rule.name, request.name)), place.at("match", index))
        for index, request in enumerate(rule.match)
        for found in [match(request, _gateways(request, place, known))]
    ]


def rule_problems(rule: policy.HTTPRoute, place: Place, known: Known) -> list[Problem]:
    """Everything about one rule that files alone show to be other than its author meant."""
    return [
        *(found for named, path in _destinations(rule) for found in unknown_destination(named, place.at(*path), known)),
        *_rewrite_traps(rule, place),
        *_fault_traps(rule, place),
        *_source_traps(rule, place),
        *_case_traps(rule, place),
        *_header_traps(rule, place),
        *retry_traps(rule, place),
    ]


def _gateways(request: policy.HTTPMatchRequest, place: Place, known: Known) -> tuple[str, ...]:
    return gateway_names(request.gateways, place.document.namespace) if request.gateways else known.gateways


def _action(rule: policy.HTTPRoute, place: Place, known: Known) -> Route:
    destinations = _weighted(rule.route, known)
    return Route(
        match=Match(),
        destinations=destinations,
        redirect=_redirect(rule.redirect) if rule.redirect else None,
        direct_response=_direct_response(rule.direct_response) if rule.direct_response else None,
        rewrite=_rewrite(rule.rewrite) if rule.rewrite else None,
        timeout=rule.timeout or None,
        retry=retry(rule.retries, destinations, known.retry),
        fault=_fault(rule.fault) if rule.fault else None,
        mirrors=_mirrors(rule, known),
        cors=_cors(rule.cors_policy) if rule.cors_policy else None,
        headers=_headers(rule.headers),
        origin=place.document.origin,
        namespace=known.namespace,
    )


def _name(rule: str, request: str) -> str:
    return f"{rule}.{request}" if request else rule


def _destinations(rule: policy.HTTPRoute) -> Iterable[tuple[policy.Destination, tuple[str | int, ...]]]:
    for index, route in enumerate(rule.route):
        yield route.destination, ("route", index, "destination")
    if rule.mirror is not None:
        yield rule.mirror, ("mirror",)
    for index, mirror in enumerate(rule.mirrors):
        yield mirror.destination, ("mirrors", index, "destination")


def destination(written: policy.Destination, known: Known) -> Destination:
    """What a rule sends to; without a backend when no service has that host."""
    backend = known.backends.get(written.host)
    return Destination(
        host=backend.service.host if backend else written.host,
        port=written.port.number if written.port else None,
        subset=written.subset or "",
        backend=backend,
    )


def _weighted(routes: tuple[policy.HTTPRouteDestination, ...], known: Known) -> tuple[WeightedDestination, ...]:
    """The destinations that get requests: of several, those with a weight. One alone gets all, whatever its weight."""
    several = len(routes) > 1
    return tuple(
        WeightedDestination(destination(route.destination, known), route.weight, _headers(route.headers))
        for route in routes
        if route.weight or not several
    )


def _redirect(written: policy.HTTPRedirect) -> Redirect:
    return Redirect(
        uri=written.uri,
        prefix_rewrite=written.prefix_rewrite,
        authority=written.authority,
        scheme=written.scheme,
        port=written.port,
        derive_port=str(written.derive_port or policy.RedirectPortSelection.FROM_PROTOCOL_DEFAULT),
        code=written.redirect_code or 301,
    )


def _direct_response(written: policy.HTTPDirectResponse) -> DirectResponse:
    if written.body is None:
        return DirectResponse(written.status)
    text = written.body.string
    return DirectResponse(written.status, written.body.bytes if text is None else text.encode())


def _rewrite(written: policy.HTTPRewrite) -> Rewrite | None:
    regex = written.uri_regex_rewrite
    found = Rewrite(written.uri, written.authority, (regex.match, regex.rewrite) if regex else None)
    return None if found == Rewrite() else found


def _fault(written: policy.HTTPFaultInjection) -> Fault:
    """Istio's defaults: with no percentage written, no request is affected."""
    delay, abort = written.delay, written.abort
    grpc = abort.grpc_status if abort else None
    return Fault(
        delay=delay.fixed_delay if delay else None,
        delay_percent=_percent(delay.percentage, 0.0) if delay else 0.0,
        abort_http_status=abort.http_status if abort else None,
        abort_grpc_status=policy.GRPC_STATUSES.index(grpc) if grpc is not None else None,
        abort_percent=_percent(abort.percentage, 0.0) if abort else 0.0,
    )


def _percent(written: Percent | None, default: float) -> float:
    return default if written is None else written.value


def _mirrors(rule: policy.HTTPRoute, known: Known) -> tuple[Mirror, ...]:
    """Where copies go; all requests are copied unless a percentage is written, and a mirror of 0 % is none."""
    found = [Mirror(destination(rule.mirror, known), _percent(rule.mirror_percentage, 100.0))] if rule.mirror else []
    found += [
        Mirror(destination(mirror.destination, known), _percent(mirror.percentage, 100.0)) for mirror in rule.mirrors
    ]
    return tuple(mirror for mirror in found if mirror.percent)


def _cors(written: policy.CorsPolicy) -> Cors:
    return Cors(
        allow_origins=tuple(string_match(origin) for origin in written.allow_origins),
        allow_methods=written.allow_methods,
        allow_headers=written.allow_headers,
        expose_headers=written.expose_headers,
        max_age=written.max_age,
        allow_credentials=written.allow_credentials,
        forward_not_matching_preflights=written.unmatched_preflights is not policy.UnmatchedPreflights.IGNORE,
    )


def _headers(written: policy.Headers | None) -> HeaderOperations:
    if written is None:
        return HeaderOperations()
    request, response = written.request or _NO_CHANGES, written.response or _NO_CHANGES
    return HeaderOperations(
        request_set=_sorted(request.set),
        request_add=_sorted(request.add),
        request_remove=tuple(sorted(request.remove)),
        response_set=_sorted(response.set),
        response_add=_sorted(response.add),
        response_remove=tuple(sorted(response.remove)),
    )


def _sorted(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(headers.items()))


def unknown_destination(written: policy.Destination, place: Place, known: Known) -> list[Problem]:
    """What to say of a destination that has no cluster."""
    backend = known.backends.get(written.host)
    if backend is None:
        fix = nearest(written.host, known.near, "a ServiceEntry for")
        message = f"no service is called {written.host}: requests sent there are answered 503"
        return [place.at("host").warning("unknown-host", message, fix)]
    found = []
    ports = backend.service.port_by_number
    if written.port is not None and written.port.number not in ports:
        numbers = ", ".join(str(number) for number in ports) or "none"
        message = f"{written.host} has no port {written.port.number}: requests sent there are answered 503"
        found.append(place.at("port", "number").warning("unknown-port", message, f"its ports: {numbers}"))
    if written.port is None and len(ports) > 1 and set(known.gateways) != {MESH}:
        message = (
            f"{written.host} has several ports and none is named: what comes in by a gateway goes to the port of the "
            "same number, and is answered 503 where there is none"
        )
        found.append(place.note("port-left-out", message, "write port: {number: ...}"))
    if written.subset and backend.traffic.subset(written.subset) is None:
        fix = nearest(written.subset, [subset.name for subset in backend.traffic.subsets], "a DestinationRule subset")
        message = f"{written.host} has no subset {written.subset}: requests sent there are answered 503"
        found.append(place.at("subset").warning("unknown-subset", message, fix))
    return found


def _rewrite_traps(rule: policy.HTTPRoute, place: Place) -> list[Problem]:
    if rule.rewrite is None or not rule.rewrite.uri.endswith("/"):
        return []
    prefixes = [request.uri.prefix for request in rule.match if request.uri is not None and request.uri.prefix]
    return [
        place.at("rewrite", "uri").warning(
            "double-slash",
            f"only the prefix {prefix} is replaced, so {prefix}/x becomes {rule.rewrite.uri}/x",
            f"match the prefix {prefix}/ and, in a match of its own, exactly {prefix}",
        )
        for prefix in prefixes
        if not prefix.endswith("/")
    ]


def _fault_traps(rule: policy.HTTPRoute, place: Place) -> list[Problem]:
    fault = rule.fault
    if fault is None:
        return []
    parts = (("delay", fault.delay), ("abort", fault.abort))
    return [
        place.at("fault", name).warning(
            "inert-fault", f"the {name} has no percentage, so no request meets it", "add percentage: {value: 100}"
        )
        for name, part in parts
        if part is not None and part.percentage is None
    ]


def _source_traps(rule: policy.HTTPRoute, place: Place) -> list[Problem]:
    return [
        place.at("match", index, "gateways").warning(
            "source-ignored",
            "a match that names gateways does not look at sourceLabels or sourceNamespace: it serves every caller",
            "leave gateways out of this match",
        )
        for index, request in enumerate(rule.match)
        if request.gateways and (request.source_labels or request.source_namespace)
    ]


def _case_traps(rule: policy.HTTPRoute, place: Place) -> list[Problem]:
    """Envoy ignores RouteMatch.case_sensitive where it compares by a regular expression, and Istio says the same."""
    return [
        place.at("match", index, "ignoreUriCase").warning(
            "no-effect", "has no effect on a regex, which tells A from a", "begin the regex with (?i), or remove this"
        )
        for index, request in enumerate(rule.match)
        if request.ignore_uri_case and request.uri is not None and request.uri.regex is not None
    ]


def _header_traps(rule: policy.HTTPRoute, place: Place) -> list[Problem]:
    """A condition that no request can meet; that such a header be absent is met by all, which harms nobody."""
    return [
        place.at("match", index, "headers", name).warning(
            "unseen-header",
            f"no request meets this: Envoy takes {name} off what comes in before it looks for a route",
            "let callers send it by another name, which does not begin with x-envoy-",
        )
        for index, request in enumerate(rule.match)
        for name in request.headers
        if name.lower() in NEVER_SEEN
    ]
