"""What a peer gets for a name that does not exist, where silence or a removal would leave it waiting.

Envoy 1.40 never finishes a listener whose route configuration was answered with `removed_resources`, and warms a
cluster without endpoints for 15 s. An empty message settles both at once: requests get 404 or 503 at once instead.
The encoding is trivial, so no protobuf library is needed here.
"""

from __future__ import annotations

import functools
import hashlib

from xds_server.xds import type_url
from xds_server.xds.resource import Resource

_NAME_IS_FIELD_ONE = frozenset({type_url.ENDPOINT, type_url.ROUTE})
"""ClusterLoadAssignment.cluster_name and RouteConfiguration.name; types whose message may hold nothing but its name."""


@functools.lru_cache(maxsize=4096)
def absent(url: str, name: str) -> Resource | None:
    """The empty resource that stands for `name`; None for types that can do without (an absence is then a removal)."""
    if url not in _NAME_IS_FIELD_ONE:
        return None
    body = _string_field_one(name)
    return Resource(url, name, hashlib.blake2b(body, digest_size=8).hexdigest(), body)


def _string_field_one(text: str) -> bytes:
    """Protobuf wire format of a message whose field 1 is the string `text` and that holds nothing else."""
    encoded = text.encode()
    return b"\x0a" + _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
