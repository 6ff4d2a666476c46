"""Which virtual host of a RouteConfiguration a request is for.

One that names its host exactly, then the longest suffix wildcard, then the longest prefix wildcard, then `*`.
Source: Envoy, `domains` of the VirtualHost message.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.explain.string_match import ascii_lower

_EXACT, _SUFFIX, _PREFIX, _ANY = 3, 2, 1, 0


def virtual_host_for(routes: route_v3.RouteConfiguration, authority: str) -> route_v3.VirtualHost | None:
    """The virtual host for requests to `authority`; None when there is none."""
    host = ascii_lower(without_port(authority) if routes.ignore_port_in_host_matching else authority)
    ranked = [(rank, each) for each in routes.virtual_hosts for rank in _ranks(each, host)]
    return max(ranked, key=lambda ranked: ranked[0])[1] if ranked else None


def without_port(authority: str) -> str:
    """`authority` without its port, where it has one; an IPv6 address keeps its brackets."""
    host, _, port = authority.rpartition(":")
    has_port = bool(host) and port.isascii() and port.isdecimal() and not host.endswith(":")
    return host if has_port else authority


def _ranks(virtual_host: route_v3.VirtualHost, host: str) -> Iterator[tuple[int, int]]:
    for domain in map(ascii_lower, virtual_host.domains):
        if domain == "*":
            yield _ANY, 0
        elif domain == host:
            yield _EXACT, 0
        elif len(host) >= len(domain) and domain.startswith("*") and host.endswith(domain[1:]):
            yield _SUFFIX, len(domain)
        elif len(host) >= len(domain) and domain.endswith("*") and host.startswith(domain[:-1]):
            yield _PREFIX, len(domain)
