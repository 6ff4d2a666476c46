"""Short ways to say what a test is about; everything else has a sensible default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from xds_server.compiler.compile import compile_mesh
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.route import Backend, Destination, Match, Route, WeightedDestination
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, Resolution, Service
from xds_server.mesh.traffic import PortPolicies, Subset, TrafficPolicy, TrafficRule
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Workload
from xds_server.policy.document import Document, PolicySet, parse_document, precedence
from xds_server.policy.kinds import KINDS
from xds_server.problem import Problem
from xds_server.store.yaml_reader import read_documents


def documents(text: str, *, namespace: str = "default", file: str = "test.yaml") -> list[Document]:
    """The documents of a YAML text, indented as the test is; all must be valid."""
    raw, problems = read_documents(textwrap.dedent(text), file)
    parsed = [parse_document(one, namespace) for one in raw]
    found = [document for document, _ in parsed if document is not None]
    errors = [problem for document, own in parsed if document is None for problem in own]
    assert not problems, problems
    assert not errors, errors
    return found


def document(text: str, *, namespace: str = "default", file: str = "test.yaml") -> Document:
    """The one document of a YAML text."""
    (found,) = documents(text, namespace=namespace, file=file)
    return found


def policy_set(*parts: str | Document | Iterable[Document]) -> PolicySet:
    """What a store would give for these documents: in order of precedence, whatever order they are named in."""
    found: list[Document] = []
    for part in parts:
        if isinstance(part, str):
            found += documents(part)
        else:
            found += [part] if isinstance(part, Document) else part
    return PolicySet(tuple(sorted(found, key=precedence)))


def compiled(*parts: str | Document | Iterable[Document], memo: Memo | None = None) -> tuple[Mesh, tuple[Problem, ...]]:
    """The mesh that these documents mean, with the compiler's problems."""
    return compile_mesh(policy_set(*parts), Memo() if memo is None else memo)  # an empty one is false


def codes(problems: Iterable[Problem]) -> list[str]:
    """What kinds of problems these are, in order of place."""
    return [problem.code for problem in sorted(problems)]


def endpoint(address: str = "10.0.0.1", **labels: str) -> Endpoint:
    """An endpoint that carries `labels`."""
    return Endpoint(address, labels=tuple(sorted(labels.items())))


def service(
    host: str = "reviews",
    *,
    port: int | Port = 9080,
    protocol: Protocol = Protocol.HTTP,
    namespace: str = "default",
    endpoints: Iterable[Endpoint] = (Endpoint("10.0.0.1"),),
    resolution: Resolution = Resolution.STATIC,
) -> Service:
    """A service of one port."""
    ports = (port if isinstance(port, Port) else Port(port, protocol.lower() or "auto", protocol),)
    return Service(host, namespace, ports, resolution, tuple(endpoints))


def traffic_rule(policy: TrafficPolicy = TrafficPolicy(), **subsets: dict[str, str]) -> TrafficRule:
    """One policy for all ports, with subsets by name: `v1={"version": "v1"}`."""
    policies = PortPolicies(policy)
    found = [Subset(name, tuple(sorted(labels.items())), policies) for name, labels in subsets.items()]
    return TrafficRule(policies, tuple(found))


def backend(host: str | Service = "reviews", traffic: TrafficRule | None = None, *, port: int = 9080) -> Backend:
    """A service with a traffic rule, Istio's defaults unless given."""
    found = host if isinstance(host, Service) else service(host, port=port)
    return Backend(found, traffic or TrafficRule())


def destination(to: Backend, *, port: int | None = None, subset: str = "", weight: int = 0) -> WeightedDestination:
    """A destination of a route."""
    return WeightedDestination(Destination(to.service.host, port, subset, to), weight)


def route(to: Backend, match: Match = Match(), name: str = "") -> Route:
    """A route that forwards everything it matches."""
    return Route(match, name, (destination(to),))


def virtual_host(to: Backend, *routes: Route) -> VirtualHost:
    """The host of a service, answering to its own name alone."""
    return VirtualHost(to.service.host, (to.service.host,), to, routes)


def workload(name: str = "productpage", *, namespace: str = "default", locality: str = "", **labels: str) -> Workload:
    """A connected proxy's application."""
    return Workload(name, namespace, tuple(sorted(labels.items())), locality=Locality.parse(locality))


def istio(kind: str, spec: str, *, name: str = "one", namespace: str = "default", metadata: str = "") -> str:
    """The YAML of one document; `spec` and `metadata` (more of it) in YAML's flow form, without the outer braces."""
    more = f", {metadata}" if metadata else ""
    group = next(group for group, known in KINDS if known == kind)
    return (
        f"---\napiVersion: {group}/v1\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}{more}}}\nspec: {{{spec}}}\n"
    )


def entry(host: str = "reviews", spec: str = "endpoints: [{address: 10.0.0.1}]", *, namespace: str = "default") -> str:
    """The YAML of a ServiceEntry with HTTP port 80, resolution STATIC and one endpoint unless `spec` says otherwise."""
    ports = "" if "ports:" in spec else "ports: [{number: 80, name: http, protocol: HTTP}], "
    resolution = "" if "resolution:" in spec else "resolution: STATIC, "
    name = host.replace("*", "any")
    return istio("ServiceEntry", f'hosts: ["{host}"], {ports}{resolution}{spec}', name=name, namespace=namespace)
