"""/debug/syncz: what each proxy was sent and what it took, in the JSON of Istio's endpoint of that name, with more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from xds_server.xds import type_url
from xds_server.xds.proxy_status import ProxyStatus, TypeState

_ISTIO_NAMES = {
    "cluster": type_url.CLUSTER,
    "listener": type_url.LISTENER,
    "route": type_url.ROUTE,
    "endpoint": type_url.ENDPOINT,
}
"""The types that Istio also shows beside `resources`, as NAME_sent and NAME_acked (nonces)."""


def sync_status(proxies: Iterable[ProxyStatus], namespace: str | None = None) -> list[dict[str, object]]:
    """One object per stream; `namespace` keeps the proxies of that one only."""
    return [_proxy(proxy) for proxy in proxies if namespace in {None, proxy.namespace}]


def _proxy(proxy: ProxyStatus) -> dict[str, object]:
    nonces: dict[str, object] = {}
    for name, url in _ISTIO_NAMES.items():
        state = proxy.types.get(url, TypeState())
        nonces |= {f"{name}_sent": state.sent_nonce, f"{name}_acked": state.acked_nonce}
    kind, tilde, _ = proxy.node_id.partition("~")
    return {
        "proxy": proxy.node_id,
        "proxy_type": kind if tilde else "sidecar",
        "cluster": proxy.cluster,
        "namespace": proxy.namespace,
        "peer": proxy.peer,
        "variant": str(proxy.variant),
        "connectedAt": proxy.connected_at.isoformat(),
        "userAgent": proxy.user_agent,
        **nonces,
        "resources": {url: _type_state(state) for url, state in proxy.types.items()},
    }


def _type_state(state: TypeState) -> dict[str, object]:
    return {
        "sent": state.sent_nonce,
        "acked": state.acked_nonce,
        "sentTime": _time(state.sent_at),
        "ackedTime": _time(state.acked_at),
        "sentVersion": state.sent_version,
        "ackedVersion": state.acked_version,
        "status": _word(state),
        "lastError": state.last_error,
        "refused": list(state.refused),
        "policies": [asdict(origin) for origin in state.origins],
        "subscribed": "*" if state.wildcard else state.subscribed,
        "pushes": state.pushes,
        "acks": state.acks,
        "nacks": state.nacks,
    }


def _word(state: TypeState) -> str:
    """In the words of `istioctl proxy-status`."""
    if state.last_error:
        return "ERROR"
    if state.is_synced:
        return "SYNCED"
    return "STALE" if state.sent_nonce else "NOT SENT"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
