from __future__ import annotations

import hashlib

import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3

from xds_server.problem import Origin
from xds_server.translate import pack
from xds_server.translate.encode import encode
from xds_server.xds import type_url

FIRST, SECOND = (Origin("a.yaml", line, "ServiceEntry", "default", "a") for line in (1, 2))


def test_the_version_is_a_hash_of_the_bytes_alone() -> None:
    """Go-control-plane's rule: a version that changes without the bytes makes every Envoy do work for nothing."""
    one = pack.resource(type_url.CLUSTER, "a", cluster_v3.Cluster(name="a"), origins=[FIRST])
    same = pack.resource(type_url.CLUSTER, "a", cluster_v3.Cluster(name="a"), origins=[SECOND])
    other = pack.resource(type_url.CLUSTER, "a", cluster_v3.Cluster(name="a", alt_stat_name="b"))

    assert one.version == same.version == hashlib.blake2b(one.body, digest_size=8).hexdigest()
    assert one.version != other.version
    assert one.body == encode(cluster_v3.Cluster(name="a"))


def test_refs_and_origins_are_sorted_and_come_once() -> None:
    refs = [(type_url.ENDPOINT, "b"), (type_url.ENDPOINT, "a"), (type_url.ENDPOINT, "b")]

    packed = pack.resource(type_url.CLUSTER, "a", cluster_v3.Cluster(name="a"), refs, [SECOND, FIRST, SECOND])

    assert packed.refs == ((type_url.ENDPOINT, "a"), (type_url.ENDPOINT, "b"))
    assert packed.origins == (FIRST, SECOND)


def test_a_message_is_never_packed_as_another_type() -> None:
    with pytest.raises(ValueError, match="a Cluster is no type"):
        pack.resource(type_url.LISTENER, "a", cluster_v3.Cluster(name="a"))
