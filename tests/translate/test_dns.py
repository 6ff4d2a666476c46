"""The listener that answers DNS queries."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.udp.dns_filter import v3 as dns_filter_v3

from tests.builders import backend, service
from xds_server.mesh.service import Protocol
from xds_server.mesh.view import View
from xds_server.translate.dns import dns_listener
from xds_server.translate.listener import ListenerTranslator
from xds_server.translate.outbound import outbound_listeners


def test_queries_are_answered_over_udp_on_loopback() -> None:
    found = listener_v3.Listener.parse(dns_listener((("a", ("10.0.0.1",)),)).body)

    assert found.address is not None
    assert found.address.socket_address == core_v3.SocketAddress(
        protocol=core_v3.SocketAddressProtocol.UDP, address="127.0.0.1", port_value=15053
    )


def test_every_name_has_an_answer_for_both_kinds_of_address() -> None:
    found = listener_v3.Listener.parse(dns_listener((("a", ("10.0.0.1", "fd00::1")),)).body)
    typed = found.listener_filters[0].typed_config
    assert typed is not None
    config = dns_filter_v3.DnsFilterConfig.parse(typed.value)

    assert config.server_config is not None
    assert config.server_config.inline_dns_table is not None
    (domain,) = config.server_config.inline_dns_table.virtual_domains
    assert domain.endpoint is not None
    assert domain.endpoint.address_list is not None
    assert domain.endpoint.address_list.address == ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1"]


def test_listener_is_there_where_names_are_to_be_answered() -> None:
    listeners = ListenerTranslator()

    assert [found.name for found in listeners.listeners(View())] == ["virtualOutbound", "virtualInbound"]
    assert listeners.listeners(View(names=(("a", ("10.0.0.1",)),)))[-1].name == "dns"


def test_service_without_addresses_is_told_by_the_one_that_its_name_is_answered_with() -> None:
    one = backend(service("db", port=3306, protocol=Protocol.TCP))

    (without,) = outbound_listeners(View(backends=(one,)))
    (told,) = outbound_listeners(View(backends=(one,), names=(("db", ("240.240.0.1",)),)))

    assert (without.address, told.address) == ("0.0.0.0", "240.240.0.1")
