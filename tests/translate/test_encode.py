from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.google import protobuf

from xds_server.translate.encode import any_of, encode, length_delimited, shared, type_url_of


@dataclass(eq=False, repr=False)
class Rare(betterproto2.Message):
    """Kinds of field that no message of ours has; the property test cannot meet them."""

    late: int = betterproto2.field(9, betterproto2.TYPE_INT32)
    zigzag: int = betterproto2.field(1, betterproto2.TYPE_SINT32)
    fixed: int = betterproto2.field(2, betterproto2.TYPE_FIXED32)
    signed: int = betterproto2.field(3, betterproto2.TYPE_SFIXED64)
    packed: list[int] = betterproto2.field(4, betterproto2.TYPE_UINT32, repeated=True)
    single: float = betterproto2.field(5, betterproto2.TYPE_FLOAT)
    by_number: dict[int, str] = betterproto2.field(
        6,
        betterproto2.TYPE_MAP,
        map_meta=betterproto2.map_meta(betterproto2.TYPE_INT32, betterproto2.TYPE_STRING),
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Rare(), ""),
        (Rare(zigzag=-1), "08 01"),
        (Rare(zigzag=1), "08 02"),
        (Rare(fixed=258), "15 02 01 00 00"),
        (Rare(signed=-2), "19 fe ff ff ff ff ff ff ff"),
        (Rare(packed=[1, 300]), "22 03 01 ac 02"),
        (Rare(single=1.0), "2d 00 00 80 3f"),
        (Rare(late=-1), "48 ff ff ff ff ff ff ff ff ff 01"),
    ],
)
def test_every_wire_format_is_written_as_the_encoding_says(message: Rare, expected: str) -> None:
    """protobuf.dev, "Encoding"."""
    assert encode(message) == bytes.fromhex(expected)


def test_fields_are_in_order_of_number_whatever_their_order_in_the_class() -> None:
    assert encode(Rare(late=1, zigzag=1)) == bytes.fromhex("08 02 48 01")


def test_maps_are_sorted_by_key_whatever_their_order() -> None:
    """Else the version of a resource would depend on how it was built."""
    one, other = Rare(by_number={10: "b", 9: "a"}), Rare(by_number={9: "a", 10: "b"})

    assert encode(one) == encode(other) == bytes.fromhex("32 05 08 09 12 01 61 32 05 08 0a 12 01 62")


def test_negative_zero_is_no_default() -> None:
    assert encode(Rare(single=-0.0)) == bytes.fromhex("2d 00 00 00 80")
    assert encode(Rare(single=0.0)) == b""


def test_a_oneof_member_with_its_default_value_is_written() -> None:
    """Port 0 is a choice, an absent port is none: Envoy refuses an address without one."""
    assert encode(core_v3.SocketAddress(port_value=0)) == b"\x18\x00"


def test_an_empty_message_is_written_and_an_absent_one_is_not() -> None:
    assert encode(core_v3.ConfigSource(ads=core_v3.AggregatedConfigSource())) == b"\x1a\x00"
    assert encode(core_v3.ConfigSource()) == b""


def test_a_wrapper_with_its_default_value_is_written() -> None:
    """`enforcing_consecutive_5xx: 0` switches a detector off; leaving it out leaves it on."""
    assert encode(cluster_v3.OutlierDetection(enforcing_consecutive_5xx=0)) == b"\x2a\x00"


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(), protobuf.Duration()),
        (timedelta(seconds=1, microseconds=500), protobuf.Duration(seconds=1, nanos=500_000)),
        (timedelta(seconds=-1.5), protobuf.Duration(seconds=-1, nanos=-500_000_000)),
    ],
)
def test_a_duration_has_seconds_and_nanos_of_one_sign(duration: timedelta, expected: protobuf.Duration) -> None:
    message = cluster_v3.Cluster(connect_timeout=duration)

    assert encode(message) == length_delimited(4, encode(expected))


def test_a_time_before_1970_counts_its_nanos_forward() -> None:
    body = encode(protobuf.Timestamp(seconds=-1, nanos=500_000_000))

    assert encode(_Seen(at=datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC))) == length_delimited(1, body)


@dataclass(eq=False, repr=False)
class _Seen(betterproto2.Message):
    at: datetime | None = betterproto2.field(
        1, betterproto2.TYPE_MESSAGE, unwrap=lambda: protobuf.Timestamp, optional=True
    )


def test_any_of_names_the_type_and_holds_our_bytes() -> None:
    """betterproto2's own Any.pack would write Route's fields in another order."""
    route = route_v3.Route(name="rule", match=route_v3.RouteMatch(prefix="/"))

    packed = any_of(route)

    assert packed.type_url == type_url_of(route_v3.Route) == "type.googleapis.com/envoy.config.route.v3.Route"
    assert packed.value == encode(route)
    assert packed.unpack() == route


def test_a_shared_message_is_made_and_encoded_once_and_has_the_bytes_of_any_other() -> None:
    made = []

    @shared
    def match(prefix: str) -> route_v3.RouteMatch:
        made.append(prefix)
        return route_v3.RouteMatch(prefix=prefix)

    assert match("/a") is match("/a") == route_v3.RouteMatch(prefix="/a")
    assert made == ["/a"]
    assert encode(match("/a")) is encode(match("/a"))
    assert encode(route_v3.Route(match=match("/b"))) == encode(route_v3.Route(match=route_v3.RouteMatch(prefix="/b")))
