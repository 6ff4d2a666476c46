"""The order in which Envoy compares, and that it never goes back."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.xds.type.matcher import v3 as xds_matcher_v3

from xds_server.errors import CannotTell
from xds_server.explain.filter_chain import filter_chain_for
from xds_server.explain.inspection import TLS, Found
from xds_server.explain.traffic import Connection
from xds_server.translate.filter_chain import cidr_range

Match = listener_v3.FilterChainMatch
LOCAL = listener_v3.FilterChainMatchConnectionSourceType.SAME_IP_OR_LOOPBACK
EXTERNAL = listener_v3.FilterChainMatchConnectionSourceType.EXTERNAL


def chosen(
    connection: Connection = Connection("10.0.0.1", 80),
    found: Found = Found(),
    *,
    default: bool = False,
    **chains: Match,
) -> str | None:
    """The name of the chain among `chains` that takes the connection."""
    listener = listener_v3.Listener(
        filter_chains=[listener_v3.FilterChain(name=name, filter_chain_match=match) for name, match in chains.items()],
        default_filter_chain=listener_v3.FilterChain(name="default") if default else None,
    )
    chain = filter_chain_for(listener, connection, found)
    return chain.name if chain else None


def ranges(*texts: str) -> list[core_v3.CidrRange]:
    return [cidr_range(text) for text in texts]


def test_longest_range_around_the_destination_wins() -> None:
    wide, narrow = Match(prefix_ranges=ranges("10.0.0.0/8")), Match(prefix_ranges=ranges("10.0.0.0/24", "fd00::/8"))

    assert chosen(wide=wide, narrow=narrow, none=Match()) == "narrow"
    assert chosen(Connection("10.9.0.1", 80), wide=wide, narrow=narrow, none=Match()) == "wide"
    assert chosen(Connection("192.0.2.1", 80), wide=wide, narrow=narrow, none=Match()) == "none"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a.b.test", "exact"),
        ("x.b.test", "near"),
        ("y.x.b.test", "near"),
        ("b.test", "far"),
        ("test", "any"),
        ("", "any"),
    ],
)
def test_most_specific_server_name_wins(asked: str, expected: str) -> None:
    names = {"exact": ["a.b.test"], "near": ["*.b.test"], "far": ["*.test"], "any": []}
    matches = {name: Match(server_names=server_names) for name, server_names in names.items()}

    assert chosen(Connection("10.0.0.1", 443), Found(TLS, asked), default=False, **matches) == expected


def test_what_the_caller_likes_best_decides_among_protocols() -> None:
    found = Found(TLS, protocols=("h2", "http/1.1"))

    old, new = Match(application_protocols=["http/1.1"]), Match(application_protocols=["h2"])

    assert chosen(found=found, old=old, new=new) == "new"
    assert chosen(found=Found(TLS, protocols=("spdy",)), old=old, new=new, any=Match()) == "any"


def test_branch_once_taken_is_never_left() -> None:
    """The chain of the port has another server name, and the one of any port is not tried any more."""
    port = Match(destination_port=80, server_names=["a.test"])

    assert chosen(found=Found(TLS, "b.test"), port=port, any=Match(), default=True) == "default"
    assert chosen(found=Found(TLS, "b.test"), port=port, any=Match()) is None


def test_server_name_is_compared_before_the_transport_protocol() -> None:
    named, plain = Match(server_names=["a.test"], transport_protocol="raw_buffer"), Match(transport_protocol="tls")

    assert chosen(found=Found(TLS, "a.test"), named=named, plain=plain) is None


def test_source_counts_last() -> None:
    near, far = Match(source_type=LOCAL), Match(source_type=EXTERNAL)
    by_range, by_port = Match(source_prefix_ranges=ranges("10.1.0.0/16")), Match(source_ports=[5000])

    assert chosen(Connection("10.0.0.1", 80, source="10.0.0.1"), near=near, far=far) == "near"
    assert chosen(Connection("10.0.0.1", 80, source="10.0.0.2"), near=near, far=far) == "far"
    assert chosen(Connection("10.0.0.1", 80, source="10.1.2.3"), by_range=by_range, any=Match()) == "by_range"
    assert chosen(Connection("10.0.0.1", 80, source_port=5000), by_port=by_port, any=Match()) == "by_port"


def test_tree_of_matchers_is_not_followed() -> None:
    listener = listener_v3.Listener(filter_chain_matcher=xds_matcher_v3.Matcher())

    with pytest.raises(CannotTell, match="filter_chain_matcher"):
        filter_chain_for(listener, Connection("10.0.0.1", 80), Found())
