"""Copies of requests sent elsewhere, their answers thrown away."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.translate.percent import runtime_percent


def mirror_policy(cluster: str, percent: float) -> route_v3.RouteActionRequestMirrorPolicy:
    """`percent` (0 to 100) of the requests copied to `cluster`."""
    return route_v3.RouteActionRequestMirrorPolicy(
        cluster=cluster,
        runtime_fraction=runtime_percent(percent),
        # The copy is no separate trace decision, and keeps the Host that was asked for: Envoy would append "-shadow".
        trace_sampled=False,
        disable_shadow_host_suffix_append=True,
    )
