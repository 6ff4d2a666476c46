"""/debug/config_dump: a snapshot in the form of Envoy's own admin endpoint (envoy.admin.v3.ConfigDump)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xds_server.xds import type_url
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

_ADMIN = type_url.PREFIX + "envoy.admin.v3."


def config_dump(snapshot: Snapshot, resource_json: Callable[[Resource], Mapping[str, object]]) -> dict[str, object]:
    """What the server holds for a proxy, whether or not the proxy took it yet. The JSON is proto-JSON of ConfigDump."""

    def shown(resource: Resource, field: str) -> dict[str, object]:
        held = {"@type": resource.type_url, **resource_json(resource)}
        return {"version_info": resource.version, field: held}

    def all_of(url: str, field: str) -> list[dict[str, object]]:
        return [shown(resource, field) for resource in snapshot.of_type(url).values()]

    listeners = snapshot.of_type(type_url.LISTENER).values()
    secrets = snapshot.of_type(type_url.SECRET).values()
    return {
        "configs": [
            {
                "@type": _ADMIN + "ClustersConfigDump",
                "version_info": snapshot.version,
                "dynamic_active_clusters": all_of(type_url.CLUSTER, "cluster"),
            },
            {
                "@type": _ADMIN + "EndpointsConfigDump",
                "dynamic_endpoint_configs": all_of(type_url.ENDPOINT, "endpoint_config"),
            },
            {
                "@type": _ADMIN + "ListenersConfigDump",
                "version_info": snapshot.version,
                "dynamic_listeners": [{"name": r.name, "active_state": shown(r, "listener")} for r in listeners],
            },
            {
                "@type": _ADMIN + "RoutesConfigDump",
                "dynamic_route_configs": all_of(type_url.ROUTE, "route_config"),
            },
            {
                "@type": _ADMIN + "SecretsConfigDump",
                "dynamic_active_secrets": [{"name": r.name, **shown(r, "secret")} for r in secrets],
            },
        ]
    }
