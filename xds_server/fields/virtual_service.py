"""VirtualService: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, Rows, becomes, decides, refused, without_effect
from xds_server.policy import l4_match
from xds_server.policy import virtual_service as v
from xds_server.policy.values import Percent, PortSelector, StringMatch

_L4 = {
    "destinationSubnets": becomes("FilterChainMatch.prefix_ranges"),
    "port": decides("the listeners that the rule is for", "all"),
    "sourceLabels": decides("the proxies that get the rule"),
    "gateways": decides("the routers, or sidecars as `mesh`, that get the rule", "the VirtualService's"),
    "sourceNamespace": decides("the namespace whose proxies get the rule"),
}
_DESTINATION = {"destination": BLOCK, "weight": becomes("WeightedCluster.ClusterWeight.weight")}

VIRTUAL_SERVICE: Rows = {
    v.VirtualServiceSpec: {
        "hosts": becomes("VirtualHost.domains", words="short names as well"),
        "gateways": decides("the routers, or sidecars as `mesh`, that get the rules", "mesh"),
        "http": becomes("VirtualHost.routes"),
        "tls": becomes("Listener.filter_chains"),
        "tcp": becomes("Listener.filter_chains"),
        "exportTo": decides("the namespaces whose proxies get the rules", "MeshConfig's"),
    },
    v.HTTPRoute: {
        "name": becomes("Route.name"),
        "match": becomes("Route.match", default="every request"),
        "route": becomes("RouteAction.cluster", "RouteAction.weighted_clusters"),
        "redirect": becomes("Route.redirect"),
        "directResponse": becomes("Route.direct_response"),
        "delegate": decides("the rules that stand in for this one"),
        "rewrite": BLOCK,
        "timeout": becomes("RouteAction.timeout", "RouteAction.max_stream_duration", default="no limit"),
        "retries": becomes("RouteAction.retry_policy", default="2 where it is safe"),
        "fault": becomes("Route.typed_per_filter_config"),
        "mirror": becomes("RouteAction.RequestMirrorPolicy.cluster"),
        "mirrors": becomes("RouteAction.request_mirror_policies"),
        "mirrorPercent": becomes("RouteAction.RequestMirrorPolicy.runtime_fraction", default="100"),
        "mirrorPercentage": becomes("RouteAction.RequestMirrorPolicy.runtime_fraction", default="100"),
        "corsPolicy": becomes("Route.typed_per_filter_config"),
        "headers": BLOCK,
    },
    v.TLSRoute: {"match": becomes("FilterChain.filter_chain_match"), "route": becomes("TcpProxy.weighted_clusters")},
    v.TCPRoute: {"match": becomes("FilterChain.filter_chain_match"), "route": becomes("TcpProxy.weighted_clusters")},
    v.HTTPMatchRequest: {
        "name": becomes("Route.name", words="after the rule's own name"),
        "uri": becomes("RouteMatch.path", "RouteMatch.prefix", "RouteMatch.safe_regex", default="prefix /"),
        "scheme": becomes("RouteMatch.headers", words="`:scheme`"),
        "method": becomes("RouteMatch.headers", words="`:method`"),
        "authority": becomes("RouteMatch.headers", words="`:authority`"),
        "headers": becomes("RouteMatch.headers"),
        "port": decides("the route configurations that get the rule", "all"),
        "sourceLabels": decides("the proxies that get the rule"),
        "gateways": decides("the routers, or sidecars as `mesh`, that get the rule", "the VirtualService's"),
        "queryParams": becomes("RouteMatch.query_parameters"),
        "ignoreUriCase": becomes("RouteMatch.case_sensitive"),
        "withoutHeaders": becomes("HeaderMatcher.invert_match", "HeaderMatcher.treat_missing_header_as_empty"),
        "sourceNamespace": decides("the namespace whose proxies get the rule"),
        "statPrefix": becomes("Route.stat_prefix"),
    },
    StringMatch: {
        "exact": becomes("StringMatcher.exact"),
        "prefix": becomes("StringMatcher.prefix"),
        "regex": becomes("StringMatcher.safe_regex", words="of RE2, and of the whole text"),
    },
    v.HTTPRouteDestination: {**_DESTINATION, "headers": BLOCK},
    v.RouteDestination: {
        "destination": BLOCK,
        "weight": becomes("TcpProxy.WeightedCluster.ClusterWeight.weight"),
    },
    v.Destination: {
        "host": becomes("RouteAction.cluster", "TcpProxy.cluster", words="`outbound|port|subset|host`"),
        "subset": becomes("RouteAction.cluster", "TcpProxy.cluster", default="the whole service"),
        "port": becomes("RouteAction.cluster", "TcpProxy.cluster", default="its only port, or the one that was asked"),
    },
    PortSelector: {"number": BLOCK},
    v.HTTPRedirect: {
        "uri": becomes("RedirectAction.path_redirect"),
        "authority": becomes("RedirectAction.host_redirect"),
        "port": becomes("RedirectAction.port_redirect"),
        "derivePort": becomes("RedirectAction.port_redirect", default="FROM_PROTOCOL_DEFAULT"),
        "scheme": becomes("RedirectAction.scheme_redirect"),
        "redirectCode": becomes("RedirectAction.response_code", default="301"),
        "prefixRewrite": becomes("RedirectAction.prefix_rewrite"),
    },
    v.HTTPDirectResponse: {
        "status": becomes("DirectResponseAction.status"),
        "body": becomes("DirectResponseAction.body", "RouteConfiguration.max_direct_response_body_size_bytes"),
    },
    v.HTTPBody: {
        "string": becomes("DataSource.inline_string"),
        "bytes": becomes("DataSource.inline_string", "DataSource.inline_bytes"),
    },
    v.Delegate: {
        "name": decides("the VirtualService"),
        "namespace": decides("its namespace", "the same"),
    },
    v.HTTPRewrite: {
        "uri": becomes("RouteAction.prefix_rewrite"),
        "authority": becomes("RouteAction.host_rewrite_literal"),
        "uriRegexRewrite": becomes("RouteAction.regex_rewrite"),
    },
    v.RegexRewrite: {
        "match": becomes("RegexMatchAndSubstitute.pattern"),
        "rewrite": becomes("RegexMatchAndSubstitute.substitution"),
    },
    v.HTTPRetry: {
        "attempts": becomes("RetryPolicy.num_retries", default="0: never"),
        "perTryTimeout": becomes("RetryPolicy.per_try_timeout", default="the rule's timeout"),
        "retryOn": becomes(
            "RetryPolicy.retry_on",
            "RetryPolicy.retriable_status_codes",
            default="connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        ),
        "retryRemoteLocalities": becomes("RetryPolicy.retry_priority"),
        "retryIgnorePreviousHosts": becomes("RetryPolicy.retry_host_predicate", default="true"),
        "backoff": becomes("RetryPolicy.RetryBackOff.base_interval", default="25 ms"),
    },
    v.HTTPFaultInjection: {"delay": becomes("HTTPFault.delay"), "abort": becomes("HTTPFault.abort")},
    v.Delay: {
        "percent": becomes("FaultDelay.percentage"),
        "fixedDelay": becomes("FaultDelay.fixed_delay"),
        "exponentialDelay": refused("does nothing in Istio"),
        "percentage": becomes("FaultDelay.percentage", default="0: no request"),
    },
    v.Abort: {
        "httpStatus": becomes("FaultAbort.http_status"),
        "grpcStatus": becomes("FaultAbort.grpc_status"),
        "http2Error": refused("does nothing in Istio"),
        "percentage": becomes("FaultAbort.percentage", default="0: no request"),
    },
    Percent: {"value": becomes("FractionalPercent.numerator", "FractionalPercent.denominator")},
    v.HTTPMirrorPolicy: {
        "destination": becomes("RouteAction.RequestMirrorPolicy.cluster"),
        "percentage": becomes("RouteAction.RequestMirrorPolicy.runtime_fraction", default="100"),
    },
    v.CorsPolicy: {
        "allowOrigin": becomes("CorsPolicy.allow_origin_string_match"),
        "allowOrigins": becomes("CorsPolicy.allow_origin_string_match"),
        "allowMethods": becomes("CorsPolicy.allow_methods"),
        "allowHeaders": becomes("CorsPolicy.allow_headers"),
        "exposeHeaders": becomes("CorsPolicy.expose_headers"),
        "maxAge": becomes("CorsPolicy.max_age"),
        "allowCredentials": becomes("CorsPolicy.allow_credentials"),
        "unmatchedPreflights": becomes("CorsPolicy.forward_not_matching_preflights", default="FORWARD"),
    },
    v.Headers: {"request": BLOCK, "response": BLOCK},
    v.HeaderOperations: {
        "set": becomes("Route.request_headers_to_add", "Route.response_headers_to_add", words="overwriting"),
        "add": becomes("Route.request_headers_to_add", "Route.response_headers_to_add", words="appending"),
        "remove": becomes("Route.request_headers_to_remove", "Route.response_headers_to_remove"),
    },
    l4_match.TLSMatchAttributes: {"sniHosts": becomes("FilterChainMatch.server_names"), **_L4},
    l4_match.L4MatchAttributes: {**_L4, "sourceSubnet": without_effect("Istio does not read it")},
}
