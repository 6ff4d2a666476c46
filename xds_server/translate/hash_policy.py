"""What of a request or connection is hashed, where a DestinationRule asks for consistent hashing."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from xds_server.mesh.traffic import HashCookie, HashKey


def hash_policy(key: HashKey) -> route_v3.RouteActionHashPolicy:
    """The route's half of consistent hashing; the cluster's load balancer is the other."""
    return route_v3.RouteActionHashPolicy(
        header=route_v3.RouteActionHashPolicyHeader(header_name=key.header) if key.header else None,
        cookie=_cookie(key.cookie) if key.cookie else None,
        connection_properties=route_v3.RouteActionHashPolicyConnectionProperties(source_ip=True)
        if key.source_ip
        else None,
        query_parameter=route_v3.RouteActionHashPolicyQueryParameter(name=key.query_parameter)
        if key.query_parameter
        else None,
    )


def tcp_hash_policies(key: HashKey | None) -> list[type_v3.HashPolicy]:
    """The same for a TCP proxy, which knows nothing of a connection but where it comes from."""
    by_source = key is not None and key.source_ip
    return [type_v3.HashPolicy(source_ip=type_v3.HashPolicySourceIp())] if by_source else []


def _cookie(cookie: HashCookie) -> route_v3.RouteActionHashPolicyCookie:
    return route_v3.RouteActionHashPolicyCookie(
        name=cookie.name,
        path=cookie.path,
        ttl=cookie.ttl,
        attributes=[
            route_v3.RouteActionHashPolicyCookieAttribute(name=name, value=value) for name, value in cookie.attributes
        ],
    )
