"""Bytes in, bytes out: what the protobuf runtime would have made of the changed message."""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3

from xds_server.translate.encode import any_of, encode, type_url_of
from xds_server.translate.rewrite import in_any, in_message, left_out, rewritten

NAME, TRANSPORT_SOCKET, METADATA = 1, 24, 25
LOCALITY = core_v3.Locality(region="west", zone="a")


def cluster(**fields: object) -> bytes:
    """A Cluster with a field of every wire type around those that are rewritten."""
    return encode(
        cluster_v3.Cluster(
            lb_policy=cluster_v3.ClusterLbPolicy.MAGLEV,
            common_lb_config=cluster_v3.ClusterCommonLbConfig(),
            preconnect_policy=cluster_v3.ClusterPreconnectPolicy(per_upstream_preconnect_ratio=1.5),
            **fields,  # type: ignore[arg-type] # a Cluster's own
        )
    )


def socket(message: core_v3.Locality) -> core_v3.TransportSocket:
    return core_v3.TransportSocket(name="socket", typed_config=any_of(message))


def test_what_is_not_named_stays_as_it_is() -> None:
    body = cluster(name="a", transport_socket=socket(LOCALITY))

    assert rewritten(body, {99: left_out}) == body


def test_a_field_is_replaced_where_it_stands() -> None:
    assert rewritten(cluster(name="a"), {NAME: lambda name: name * 200}) == cluster(name="a" * 200)


def test_a_field_is_left_out() -> None:
    assert rewritten(cluster(name="a", transport_socket=socket(LOCALITY)), {TRANSPORT_SOCKET: left_out}) == cluster(
        name="a"
    )


def test_a_field_within_an_any_is_rewritten_by_its_type() -> None:
    """Region is field 1 and zone field 2 of a Locality, typed_config field 3 of a TransportSocket."""
    of_any = in_any({type_url_of(core_v3.Locality): in_message({1: left_out})})
    body = cluster(name="a", transport_socket=socket(LOCALITY))

    found = rewritten(body, {TRANSPORT_SOCKET: in_message({3: of_any})})

    assert found == cluster(name="a", transport_socket=socket(core_v3.Locality(zone="a")))


def test_an_any_of_another_type_stays_as_it_is() -> None:
    body = cluster(name="a", transport_socket=socket(LOCALITY))

    assert rewritten(body, {TRANSPORT_SOCKET: in_message({3: in_any({"other": left_out})})}) == body
