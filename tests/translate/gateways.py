"""Views of routers, in a few words."""

from __future__ import annotations

from typing import Any

from tests.builders import compiled, entry, istio
from xds_server.mesh.service import Labels
from xds_server.mesh.view import View, view_for
from xds_server.mesh.workload import NodeType, Workload

INGRESS: Labels = (("istio", "ingress"),)


def gateway(*servers: str, name: str = "edge") -> str:
    """A Gateway of these servers, each as "PORT PROTOCOL HOSTS" with more fields (YAML flow) behind a comma."""
    written = []
    for index, text in enumerate(servers):
        server, _, more = text.partition(", ")
        port, protocol, hosts = server.split(maxsplit=2)
        listed = f"port: {{number: {port}, name: p{index}, protocol: {protocol}}}, hosts: [{hosts}]"
        written.append(f"{{{listed}{', ' + more if more else ''}}}")
    return istio("Gateway", f"selector: {{istio: ingress}}, servers: [{', '.join(written)}]", name=name)


def rules(hosts: str, spec: str, *, name: str = "one", gateways: str = "edge", namespace: str = "default") -> str:
    """A VirtualService that is bound to gateways."""
    text = f"hosts: [{hosts}], gateways: [{gateways}], {spec}"
    return istio("VirtualService", text, name=name, namespace=namespace)


def to(host: str = "reviews", more: str = "") -> str:
    """An http list with one route."""
    return f"http: [{{{more}{', ' if more else ''}route: [{{destination: {{host: {host}, port: {{number: 80}}}}}}]}}]"


def view(*parts: str, **options: Any) -> View:
    """What a router sees of these documents and of the services reviews and ratings."""
    mesh, _ = compiled("".join(parts) + entry() + entry("ratings"))
    return view_for(mesh, Workload("in", "default", INGRESS, node_type=NodeType.ROUTER, **options))
