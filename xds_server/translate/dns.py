"""DNS in the sidecar: names of services are answered here, all others are passed on to the container's own resolver.

Of a name that is passed on and has no IPv6 address, Envoy says that it does not exist when asked for one. glibc, Go and
Java take its IPv4 address all the same; applications on musl (Alpine) do not, and are better off without capture.

Source: Envoy, "DNS filter"; the port is that of Istio's agent, which answers there with the same addresses.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.data.dns import v3 as dns_v3
from envoy_data_plane.envoy.extensions.filters.udp.dns_filter import v3 as dns_filter_v3
from envoy_data_plane.envoy.extensions.network.dns_resolver.cares import v3 as cares_v3

from xds_server.mesh.dns_table import DnsTable
from xds_server.translate import names, pack
from xds_server.translate.encode import any_of
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

CAPTURED_PORT = 15053
"""Where iptables sends queries (Istio's port)."""
_TTL = timedelta(seconds=30)
"""The least that Envoy takes."""
_TIMEOUT = timedelta(seconds=5)
"""As long as a resolver library waits for one server."""
_PENDING = 1024
"""Queries passed on and not yet answered; Envoy's default of 256 is soon reached by one that looks up many names."""


def dns_listener(table: DnsTable) -> Resource:
    """The UDP listener that answers for the names in `table`."""
    config = dns_filter_v3.DnsFilterConfig(
        stat_prefix="dns",
        server_config=dns_filter_v3.DnsFilterConfigServerContextConfig(inline_dns_table=_table(table)),
        client_config=dns_filter_v3.DnsFilterConfigClientContextConfig(
            resolver_timeout=_TIMEOUT,
            typed_dns_resolver_config=core_v3.TypedExtensionConfig(
                name="envoy.network.dns_resolver.cares", typed_config=any_of(cares_v3.CaresDnsResolverConfig())
            ),
            max_pending_lookups=_PENDING,
        ),
    )
    where = core_v3.SocketAddress(
        protocol=core_v3.SocketAddressProtocol.UDP, address=names.LOOPBACK_ADDRESS, port_value=CAPTURED_PORT
    )
    message = listener_v3.Listener(
        name=names.DNS_LISTENER,
        address=core_v3.Address(socket_address=where),
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        udp_listener_config=listener_v3.UdpListenerConfig(),
        listener_filters=[listener_v3.ListenerFilter(name="envoy.filters.udp.dns_filter", typed_config=any_of(config))],
    )
    return pack.resource(type_url.LISTENER, message.name, message)


def _table(table: DnsTable) -> dns_v3.DnsTable:
    return dns_v3.DnsTable(virtual_domains=[_domain(name, addresses) for name, addresses in table])


def _domain(name: str, addresses: tuple[str, ...]) -> dns_v3.DnsTableDnsVirtualDomain:
    return dns_v3.DnsTableDnsVirtualDomain(
        name=name,
        endpoint=dns_v3.DnsTableDnsEndpoint(address_list=dns_v3.DnsTableAddressList(address=_both(addresses))),
        answer_ttl=_TTL,
    )


def _both(addresses: tuple[str, ...]) -> list[str]:
    """The addresses, and IPv4 ones also as IPv6 (RFC 4291, 2.5.5.2), which the system connects to by IPv4.

    Without an answer to AAAA Envoy would say that there is no such name, and musl believes that of the whole name.
    """
    return [*addresses, *(f"::ffff:{address}" for address in addresses if ":" not in address)]
