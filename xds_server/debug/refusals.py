"""What connected proxies refuse, as problems of the policies behind it: for /debug/problems, while it lasts.

Warnings, for the policy is in force elsewhere; what is kept out because of it is an error of its own (`quarantine.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xds_server.problem import Origin, Problem, Severity
from xds_server.xds import type_url
from xds_server.xds.proxy_status import ProxyStatus

_MOST_BLAMED = 8
"""A response that is refused as a whole has everything behind it, which tells nobody anything."""
_MOST_NAMED = 3
_NOWHERE = Origin("", 0, "", "", "")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What several proxies may say alike."""

    type: str
    names: tuple[str, ...]
    reason: str
    origins: tuple[Origin, ...]


def refusals(proxies: Iterable[ProxyStatus]) -> tuple[Problem, ...]:
    """One problem for each document behind what is refused, in order of place; of no place where none is."""
    said: dict[_Refusal, list[str]] = {}
    for proxy in proxies:
        for url, state in proxy.types.items():
            if state.last_error:
                name = type_url.SHORT_NAMES.get(url, url)
                refusal = _Refusal(name, state.refused, " ".join(state.last_error.split()), state.origins)
                said.setdefault(refusal, []).append(proxy.node_id)
    return tuple(sorted(_problem(origin, refusal, by) for refusal, by in said.items() for origin in _places(refusal)))


def _places(refusal: _Refusal) -> tuple[Origin, ...]:
    return refusal.origins if 0 < len(refusal.origins) <= _MOST_BLAMED else (_NOWHERE,)


def _problem(origin: Origin, refusal: _Refusal, said_by: list[str]) -> Problem:
    who, names = _some(sorted(said_by)), _some(refusal.names)
    message = f"{who} refused {refusal.type} {names} and kept what was there before: {refusal.reason}"
    place = origin.file, origin.line, 0, origin.kind, origin.namespace, origin.name, ""
    return Problem(*place, Severity.WARNING, "refused-by-proxy", message)


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown
