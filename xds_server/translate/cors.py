"""Cross-origin rules of one route, enforced by the cors filter."""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.filters.http.cors import v3 as cors_v3

from xds_server.mesh.route import Cors
from xds_server.translate.match import string_matcher
from xds_server.translate.percent import runtime_percent


def cors_policy(cors: Cors) -> cors_v3.CorsPolicy:
    """The route's settings of `envoy.filters.http.cors`."""
    return cors_v3.CorsPolicy(
        allow_origin_string_match=[string_matcher(origin) for origin in cors.allow_origins],
        allow_methods=",".join(cors.allow_methods),
        allow_headers=",".join(cors.allow_headers),
        expose_headers=",".join(cors.expose_headers),
        max_age="" if cors.max_age is None else str(int(cors.max_age.total_seconds())),
        allow_credentials=cors.allow_credentials,
        filter_enabled=runtime_percent(100),
        forward_not_matching_preflights=cors.forward_not_matching_preflights,
    )
