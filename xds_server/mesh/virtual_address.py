"""Addresses for services that have none, so that connections to them can be told apart once names are looked up here.

Deterministic, so that a restart and a second replica give the same ones: the place in 240.240.0.0/16 is a hash of
namespace and host, and who comes second by host where two want one place goes on by a second hash. As in Istio
(pilot/pkg/serviceregistry/serviceentry/auto_allocation.go), whose addresses these are. Where Istio's own controller has
chosen an address (ServiceEntry `status.addresses`), that one holds: somebody may know it already.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from xds_server.mesh.host import is_wildcard
from xds_server.mesh.service import Resolution, Service

_PLACES = 256 * 254
_PRIME = 65011
"""The largest prime below the number of places."""
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619

Key = tuple[str, str]
"""(host, namespace) of a service."""


def virtual_addresses(services: Iterable[Service]) -> dict[Key, str]:
    """An address for each service that can have one, by key; `services` sorted, so that the same ones come first."""
    wanting = [service for service in services if wants_address(service)]
    given = {(each.host, each.namespace): each.given_address for each in wanting if each.given_address}
    others = frozenset(given.values())
    taken: dict[int, Key] = {}
    for service in wanting:
        if not service.given_address and len(taken) + len(others) < _PLACES:
            place = _free_place(f"{service.namespace}/{service.host}", taken, others)
            taken[place] = (service.host, service.namespace)
    return {key: _address(place) for place, key in taken.items()} | given


def wants_address(service: Service) -> bool:
    """Whether `service` gets an address of ours.

    Not one that has addresses, not one that opted out; nor a wildcard, which is no name to look up, nor one without
    resolution, which is reached where its own address says.
    """
    named = not is_wildcard(service.host) and service.resolution is not Resolution.NONE
    return named and service.auto_address and not service.addresses


def _free_place(key: str, taken: dict[int, Key], others: frozenset[str]) -> int:
    found = fnv32a(key)
    place, step = found % _PLACES, _PRIME - found % _PRIME
    while place in taken or _address(place) in others:
        place = (place + step) % _PLACES
    return place


@lru_cache(maxsize=65536)
def fnv32a(text: str) -> int:
    """The 32-bit FNV-1a hash of `text` in UTF-8."""
    found = _FNV_OFFSET
    for byte in text.encode():
        found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return found


def _address(place: int) -> str:
    """The last part is never 255, and 240.240.0.0 is nobody's."""
    third, fourth = divmod(place + 1, 255)
    return f"240.240.{third}.{fourth}"
