"""The static form of units: what stands where, and what must not be in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.transport_sockets.proxy_protocol import v3 as proxy_protocol_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from tests.builders import backend, virtual_host
from xds_server.mesh.view import View
from xds_server.mesh.workload import Interception
from xds_server.translate.encode import any_of, encode
from xds_server.translate.static_bootstrap import static_bootstrap
from xds_server.translate.translate import Translator
from xds_server.translate.unit import Unit, UnitKind, units
from xds_server.xds.snapshot import Snapshot

ADS = core_v3.ConfigSource(ads=core_v3.AggregatedConfigSource())
SECRET = tls_v3.SdsSecretConfig(name="default", sds_config=ADS)
TLS = tls_v3.UpstreamTlsContext(
    sni="reviews",
    common_tls_context=tls_v3.CommonTlsContext(
        alpn_protocols=["istio"],
        tls_certificate_sds_secret_configs=[SECRET],
        combined_validation_context=tls_v3.CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=tls_v3.CertificateValidationContext(),
            validation_context_sds_secret_config=SECRET,
        ),
    ),
)


def static_resources(found: Iterable[Unit]) -> bootstrap_v3.BootstrapStaticResources:
    """What the bootstrap of these units holds."""
    bootstrap = bootstrap_v3.Bootstrap.parse(static_bootstrap(found))
    assert bootstrap.node is not None
    assert bootstrap.dynamic_resources is None
    assert bootstrap.admin is None
    return bootstrap.static_resources or bootstrap_v3.BootstrapStaticResources()


def units_of(*names: str) -> list[Unit]:
    backends = tuple(backend(name) for name in names)
    hosts = tuple(virtual_host(each) for each in backends)
    resources = Translator().translate(View(backends, hosts, interception=Interception.REDIRECT))
    return list(units(Snapshot.of(resources).by_type))


def cluster_unit(*, version: str = "1", **fields: object) -> Unit:
    message = cluster_v3.Cluster(name="c", **fields)  # type: ignore[arg-type] # a Cluster's own
    return Unit(UnitKind.CLUSTER, "c", version, encode(message))


def contexts(found: Sequence[core_v3.TransportSocket | None]) -> list[tls_v3.UpstreamTlsContext]:
    """The TLS contexts in some transport sockets, unwrapped."""
    sockets = [socket.typed_config for socket in found if socket and socket.typed_config]
    return [tls_v3.UpstreamTlsContext.parse(each.value) for each in sockets]


def assert_without_secrets(context: tls_v3.UpstreamTlsContext) -> None:
    assert context.sni == "reviews"
    assert context.common_tls_context == tls_v3.CommonTlsContext(alpn_protocols=["istio"])


def socket(context: object) -> core_v3.TransportSocket:
    return core_v3.TransportSocket(name="tls", typed_config=any_of(context))  # type: ignore[arg-type] # a message


def test_endpoints_stand_inside_their_cluster() -> None:
    clusters = {cluster.name: cluster for cluster in static_resources(units_of("reviews")).clusters}
    found = clusters["outbound|9080||reviews"]

    assert found.type is cluster_v3.ClusterDiscoveryType.STATIC
    assert found.eds_cluster_config is None
    assert found.load_assignment is not None
    assert len(found.load_assignment.endpoints[0].lb_endpoints) == 1


def test_virtual_hosts_stand_in_a_listener_of_their_own() -> None:
    listeners = {listener.name: listener for listener in static_resources(units_of("reviews", "ratings")).listeners}
    (network_filter,) = listeners["routes#0"].filter_chains[0].filters
    assert network_filter.typed_config is not None
    manager = hcm_v3.HttpConnectionManager.parse(network_filter.typed_config.value)
    assert manager.route_config is not None

    assert [host.name for host in manager.route_config.virtual_hosts] == ["reviews:9080", "ratings:9080", "allow_any"]
    assert manager.route_config.validate_clusters is False


def test_virtual_hosts_of_two_configurations_are_kept_apart() -> None:
    """Two views may show one domain each in a form of its own; Envoy refuses a domain that stands twice."""
    body = encode(route_v3.RouteConfiguration(virtual_hosts=[route_v3.VirtualHost(name="a", domains=["a"])]))
    hosts = [Unit(UnitKind.VIRTUAL_HOST, "a", group, body, group=group) for group in ("one", "two")]

    assert [listener.name for listener in static_resources(hosts).listeners] == ["routes#0", "routes#1"]


def test_what_has_one_name_in_two_views_has_two_here() -> None:
    assert [cluster.name for cluster in static_resources([cluster_unit(), cluster_unit(version="2")]).clusters] == [
        "c",
        "c#2",
    ]


def test_listeners_of_one_name_have_addresses_of_their_own() -> None:
    """Envoy refuses a second listener on an address."""
    address = core_v3.Address(socket_address=core_v3.SocketAddress(address="0.0.0.0", port_value=80))
    body = encode(listener_v3.Listener(name="l", address=address))

    first, second = static_resources([Unit(UnitKind.LISTENER, "l", version, body) for version in "12"]).listeners

    assert (first.name, second.name) == ("l", "l#2")
    assert first.address == address
    assert second.address != address


def test_no_reference_to_a_secret_is_left() -> None:
    """Validate mode crashes on a cluster whose secrets come by ADS (Envoy 1.40)."""
    (cluster,) = static_resources([cluster_unit(transport_socket=socket(TLS))]).clusters

    (context,) = contexts([cluster.transport_socket])
    assert_without_secrets(context)


def test_no_reference_to_a_secret_is_left_in_a_match_either() -> None:
    match = cluster_v3.ClusterTransportSocketMatch(name="mtls", transport_socket=socket(TLS))
    (cluster,) = static_resources([cluster_unit(transport_socket_matches=[match])]).clusters

    (context,) = contexts([cluster.transport_socket_matches[0].transport_socket])
    assert_without_secrets(context)


def test_no_reference_to_a_secret_is_left_behind_a_proxy_header() -> None:
    wrapped = proxy_protocol_v3.ProxyProtocolUpstreamTransport(transport_socket=socket(TLS))
    (cluster,) = static_resources([cluster_unit(transport_socket=socket(wrapped))]).clusters
    assert cluster.transport_socket is not None
    assert cluster.transport_socket.typed_config is not None

    outer = proxy_protocol_v3.ProxyProtocolUpstreamTransport.parse(cluster.transport_socket.typed_config.value)
    (context,) = contexts([outer.transport_socket])
    assert_without_secrets(context)


def test_cluster_that_a_listener_needs_is_there_by_name_unless_it_is_asked_about_itself() -> None:
    """Zipkin's tracer, for one, looks for its cluster while it is loaded, which may have been valid long before."""
    listener = Unit(UnitKind.LISTENER, "l", "1", encode(listener_v3.Listener(name="l")), needs=("c", "other"))

    assert [cluster.name for cluster in static_resources([listener]).clusters] == ["c", "other"]
    assert [cluster.name for cluster in static_resources([listener, cluster_unit()]).clusters] == ["c", "other"]
