"""The part of a mesh that one workload may see: all that translation gets.

Two workloads with equal views get the same bytes, so nothing goes in here that does not change a resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from xds_server.mesh.dns_table import DnsTable, dns_table
from xds_server.mesh.egress import EVERYTHING, NOWHERE, Egress, egress, imports, resolved, selects
from xds_server.mesh.gateway import Router, Server, ServerTls
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh, Scope
from xds_server.mesh.observation import UNOBSERVED, Observed, observation
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings
from xds_server.mesh.route import Backend
from xds_server.mesh.security import MutualTls
from xds_server.mesh.selective import SelectiveRule
from xds_server.mesh.service import Endpoint, Labels, Locality, Protocol, Service, labels_match
from xds_server.mesh.service_index import Clue
from xds_server.mesh.sidecar import OutboundPolicy, Sidecar
from xds_server.mesh.traffic import ConnectionPool, H2Upgrade
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Interception, NodeType, Workload


@dataclass(frozen=True, slots=True, order=True)
class InboundPort:
    """One port that the sidecar takes for its application.

    Attributes:
        number: the workload's port: what inbound names carry.
        service_host, service_port, port_name: the service it belongs to, "" and `number` for one that no service has.
        passed_on: only a policy names it: what comes in goes where it was addressed, as on all ports nobody names.
        bind: address to bind in NONE mode.
        default_endpoint: where the application listens; "" is where the traffic was addressed (REDIRECT mode only).
        mutual_tls: what callers are asked for.
        bound: the proxy binds it itself although it captures other ports.
        pool: limits towards the application.
        tls: TLS of its own that the proxy ends there; mesh TLS is then not spoken.
    """

    number: int
    protocol: Protocol
    service_host: str = ""
    service_port: int = 0
    bind: str = ""
    default_endpoint: str = ""
    mutual_tls: MutualTls = MutualTls.PERMISSIVE
    bound: bool = False
    pool: ConnectionPool = ConnectionPool()
    port_name: str = ""
    tls: ServerTls | None = None
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """The facts about a caller that routes may ask for: only label keys that some visible route names."""

    namespace: str = ""
    labels: Labels = ()


@dataclass(frozen=True)
class View:
    """What one workload may see. Equal views share one snapshot.

    Attributes:
        locality, labels: where the caller stands, for the order of endpoints: only labels that some failoverPriority
            compares.
        names: what the sidecar answers DNS queries with, and by which addresses services without any are told apart;
            () answers none.
        mutual_tls: what callers of captured ports are asked for that `inbound` does not name.
        trust_domain: where the workload has an identity, which one being no part of a view: every workload is given
            its own under the same name. None: it has none, so it speaks no mesh TLS, and what asks for mesh TLS is
            refused rather than served without.
        observed: what it tells of its requests; whoever takes that is among `backends`, whatever a Sidecar shows.
        router: for a proxy that stands alone: what it opens. It then has no virtual hosts, and of services only those
            that something is sent to.
        settings: those of every proxy of the mesh.
        own_service: where a proxy compares zones: the service that its workload serves, None for one that serves none.
        compares_zones: it does.
        credentials: names in the secrets directory that the proxy is given, of those that are there.
    """

    backends: tuple[Backend, ...] = ()
    virtual_hosts: tuple[VirtualHost, ...] = ()
    inbound: tuple[InboundPort, ...] = ()
    source: Source = Source()
    locality: Locality = Locality()
    labels: Labels = ()
    interception: Interception = Interception.REDIRECT
    http_proxy_port: int = 0
    bind_address: str = "127.0.0.1"
    outbound_policy: OutboundPolicy = OutboundPolicy.ALLOW_ANY
    egress: Egress = EVERYTHING
    names: DnsTable = ()
    mutual_tls: MutualTls = MutualTls.PERMISSIVE
    trust_domain: TrustDomain | None = None
    router: Router | None = None
    settings: ProxySettings = ISTIO_SETTINGS
    observed: Observed = UNOBSERVED
    compares_zones: bool = False
    own_service: Service | None = None
    credentials: frozenset[str] = frozenset()


def view_for(mesh: Mesh, workload: Workload, trust_domain: TrustDomain | None = None) -> View:
    """What `workload` may see of `mesh`: scope of its namespace, narrowed by the Sidecar that selects it.

    A router sees what the Gateways that select it open, and where the VirtualServices that name those send to.
    `trust_domain` is given when the workload has credentials; see `View`.
    """
    if workload.node_type is NodeType.ROUTER:
        return _router_view(mesh, workload, trust_domain)
    scope = _scope(mesh, workload)
    sidecar = sidecar_for(mesh, workload)
    own_labels = selected_by(mesh, workload)
    observed = observation(mesh.telemetry, scope, workload, own_labels)
    backends, virtual_hosts = _visible(scope, sidecar, workload.namespace)
    backends = _with_collectors(backends, observed, scope)
    bound = workload.interception is Interception.NONE
    return View(
        backends=backends,
        virtual_hosts=virtual_hosts,
        inbound=_asked_inbound(mesh, workload, _inbound(mesh, scope, workload, sidecar), own_labels),
        source=_source(workload, scope),
        locality=workload.locality,
        labels=_asked(workload.labels, scope.caller_keys),
        interception=workload.interception,
        http_proxy_port=(workload.http_proxy_port or mesh.http_proxy_port) if bound else 0,
        bind_address=workload.bind_address if bound else "",
        outbound_policy=(sidecar and sidecar.outbound_policy) or mesh.outbound_policy,
        egress=_egress(sidecar, backends, virtual_hosts, workload.namespace),
        names=_names(mesh, workload, backends),
        compares_zones=workload.self_discovery,
        own_service=_own_service(mesh, workload) if workload.self_discovery else None,
        mutual_tls=_captured_mode(mesh, workload, own_labels),
        trust_domain=trust_domain,
        settings=mesh.settings,
        observed=observed,
        credentials=_granted(mesh, workload),
    )


def _granted(mesh: Mesh, workload: Workload) -> frozenset[str]:
    """What the rules name that are for this workload by its labels; a rule for everybody gives no sidecar a secret."""
    named = frozenset().union(*(rule.credentials for rule in _selecting(mesh, workload)))
    return (mesh.credentials or frozenset()) & named


def _router_view(mesh: Mesh, workload: Workload, trust_domain: TrustDomain | None) -> View:
    scope = _scope(mesh, workload)
    router = _router(mesh, scope, workload)
    bound = [(gateway, found) for gateway, routes in router.routes for found in routes]
    sent_to = {to.backend for gateway, found in bound for to in found.destinations(gateway) if to.backend}
    to_show = frozenset().union(*(backend.traffic.credentials for backend in sent_to))
    router = replace(router, credentials=router.credentials | ((mesh.credentials or frozenset()) & to_show))
    asked = frozenset(key for _, found in bound for key in found.source_keys)
    namespace = workload.namespace if any(found.asks_namespace for _, found in bound) else ""
    observed = observation(mesh.telemetry, scope, workload, selected_by(mesh, workload))
    backends = tuple(backend for backend in scope.all_backends if backend in sent_to)
    return View(
        backends=_with_collectors(backends, observed, scope),
        source=Source(namespace, _asked(workload.labels, asked)),
        locality=workload.locality,
        labels=_asked(workload.labels, scope.caller_keys),
        interception=Interception.NONE,
        bind_address="",
        outbound_policy=OutboundPolicy.REGISTRY_ONLY,
        trust_domain=trust_domain,
        router=router,
        credentials=router.credentials,
        compares_zones=workload.self_discovery,
        own_service=_own_service(mesh, workload) if workload.self_discovery else None,
        settings=mesh.settings,
        observed=observed,
    )


def _router(mesh: Mesh, scope: Scope, workload: Workload) -> Router:
    gateways = tuple(gateway for gateway in mesh.gateways if labels_match(gateway.selector, workload.labels))
    names = [f"{gateway.namespace}/{gateway.name}" for gateway in gateways]
    servers = [server for gateway in gateways for server in gateway.servers]
    wanted = {name for server in servers if server.tls for name in server.tls.needed}
    return Router(
        gateways=gateways,
        routes=tuple((name, scope.gateway_routes[name]) for name in names if name in scope.gateway_routes),
        ports=_own_ports(mesh, workload, {server.port.number for server in servers}),
        credentials=(mesh.credentials or frozenset()) & wanted,
        by_name=_by_name(scope, [server for server in servers if server.passes_by_name]),
    )


def _by_name(scope: Scope, servers: Sequence[Server]) -> tuple[Backend, ...]:
    """What of the mesh itself these servers let in; who is outside of it speaks no mesh TLS.

    A service of a wildcard host has no name that Envoy could compare: it takes no pattern within a name, and refuses
    the whole listener for one.
    """
    if not servers:
        return ()
    inside = (each for each in scope.all_backends if not each.service.external and "*" not in each.service.host)
    return tuple(backend for backend in inside if any(server.lets_in(backend.service) for server in servers))


def _own_ports(mesh: Mesh, workload: Workload, numbers: set[int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Where the router listens for the ports that are ports of services of its own: at the services' targets."""
    found: dict[int, set[int]] = {}
    for service in _candidates(mesh, workload):
        if service.moves_gateway_ports:
            for port, number in zip(service.ports, serves(service, workload), strict=False):
                found.setdefault(port.number, set()).add(number)
    moved = {port: where for port, where in found.items() if port in numbers and where != {port}}
    return tuple((port, tuple(sorted(where))) for port, where in sorted(moved.items()))


def _with_collectors(backends: tuple[Backend, ...], observed: Observed, scope: Scope) -> tuple[Backend, ...]:
    """The same with those that take spans and log entries, in the same order."""
    wanted = {collector.host for collector in observed.collectors}
    if not wanted or not wanted.difference(backend.service.host for backend in backends):
        return backends
    found = {backend.service.host: backend for backend in backends}
    found |= {host: scope.backends[host] for host in wanted}
    return tuple(found[host] for host in sorted(found))


def _own_service(mesh: Mesh, workload: Workload) -> Service | None:
    """The first service that the workload serves."""
    return next((service for service in _candidates(mesh, workload) if serves(service, workload)), None)


def _names(mesh: Mesh, workload: Workload, backends: Iterable[Backend]) -> DnsTable:
    """Without capture there is nobody to tell, and connections to virtual addresses would go nowhere."""
    if not workload.dns_capture or workload.interception is not Interception.REDIRECT:
        return ()
    services = (backend.service for backend in backends)
    return dns_table(services, mesh.virtual_addresses, workload.namespace)


def _scope(mesh: Mesh, workload: Workload) -> Scope:
    """What the namespace of `workload` sees, under the rules that are for this workload alone."""
    return mesh.scope(workload.namespace).ruled(_selecting(mesh, workload))


def _selecting(mesh: Mesh, workload: Workload) -> tuple[SelectiveRule, ...]:
    own = (rule for rule in mesh.selective if rule.namespace == workload.namespace)
    return tuple(rule for rule in own if labels_match(rule.selector, workload.labels))


def served_ports(mesh: Mesh, workload: Workload) -> dict[int, str]:
    """The service that each port of the workload belongs to; of several the first by name. Cheap."""
    found: dict[int, str] = {}
    for service in _candidates(mesh, workload):
        for number in serves(service, workload):
            found.setdefault(number, service.host)
    return found


def sidecar_for(mesh: Mesh, workload: Workload) -> Sidecar | None:
    """The one Sidecar in force: one that selects the workload, then its namespace's, then the root namespace's."""
    own = [s for s in mesh.sidecars if s.namespace == workload.namespace and labels_match(s.selector, workload.labels)]
    selecting = [s for s in own if s.selector]
    root = [s for s in mesh.sidecars if s.namespace == mesh.root_namespace and not s.selector]
    return next(iter((*selecting, *own, *root)), None)


def serves(service: Service, workload: Workload) -> tuple[int, ...]:
    """The workload's port for each port of `service`, in order; () when the workload does not serve it.

    It does when the service's selector picks its labels, when one of the service's endpoints is the WorkloadEntry that
    bears its name, or when one has its address. A loopback address proves nothing: every workload has it.
    """
    endpoint = service.endpoint_by_workload.get((workload.namespace, workload.name))
    if service.selector and endpoint is None:
        picks = service.namespace == workload.namespace and labels_match(service.selector, workload.labels)
        return tuple(port.target_port or port.number for port in service.ports) if picks else ()
    if endpoint is None:
        by_address = service.endpoint_by_address
        endpoint = next((by_address[address] for address in workload.addresses if address in by_address), None)
    return tuple(endpoint.port_for(port) for port in service.ports) if endpoint else ()


def _visible(
    scope: Scope, sidecar: Sidecar | None, namespace: str
) -> tuple[tuple[Backend, ...], tuple[VirtualHost, ...]]:
    """What is left of `scope` for a workload of `namespace`, which is what "./" means in the root namespace's too."""
    if sidecar is None or sidecar.egress is None:
        return scope.all_backends, scope.virtual_hosts
    wanted = resolved((host for listener in sidecar.egress for host in listener.hosts), namespace)
    services = (backend.service for backend in scope.backends.values())
    hosts = {service.host for service in services if selects(wanted, service.namespace, service.host)}
    seen = [found for found in scope.virtual_hosts if found.backend is None or found.host in hosts]
    let_in = ((found, frozenset(n for n in found.namespaces if imports(wanted, n, found.host))) for found in seen)
    virtual_hosts = tuple(
        scope.ruled_from(namespaces, found) for found, namespaces in let_in if found.backend is not None or namespaces
    )
    # Services that a visible route sends to are imported too: a Sidecar alone must not break a route (Istio's rule).
    routed = {destination.host for virtual_host in virtual_hosts for destination in virtual_host.destinations}
    routed.update(sidecar.egress_proxy[:1] if sidecar.egress_proxy else ())
    return tuple(b for host, b in scope.backends.items() if host in hosts or host in routed), virtual_hosts


def _egress(
    sidecar: Sidecar | None, backends: Iterable[Backend], virtual_hosts: Iterable[VirtualHost], namespace: str
) -> Egress:
    if sidecar is None:
        return EVERYTHING
    strange = (host.host for host in virtual_hosts if host.backend is None)
    services = [backend.service for backend in backends]
    found = egress(sidecar.egress, namespace, services, strange) if sidecar.egress else EVERYTHING
    if sidecar.egress_proxy is None:
        return found
    host, port, subset = sidecar.egress_proxy
    has_port = any(service.host == host and port in service.port_by_number for service in services)
    return replace(found, proxy=(port, subset, host) if has_port else NOWHERE)


def _inbound(mesh: Mesh, scope: Scope, workload: Workload, sidecar: Sidecar | None) -> tuple[InboundPort, ...]:
    if sidecar is not None and sidecar.ingress is not None:
        return tuple(
            InboundPort(
                number=listener.port.number,
                protocol=listener.port.protocol,
                service_port=listener.port.number,
                bind=listener.bind,
                default_endpoint=listener.default_endpoint or _addressed(mesh, workload, listener.port.number),
                bound=listener.bound and workload.interception is Interception.REDIRECT,
                pool=listener.pool or sidecar.inbound_pool or ConnectionPool(),
                tls=listener.tls,
            )
            for listener in sidecar.ingress
        )
    if workload.interception is Interception.NONE:
        return ()  # nothing is captured, so there is no original destination to send to (Istio: Sidecar.ingress only)
    found: dict[int, InboundPort] = {}
    for service in _candidates(mesh, workload):
        for port, number in zip(service.ports, serves(service, workload), strict=False):
            inbound = InboundPort(
                number,
                port.protocol,
                service.host,
                port.number,
                default_endpoint=_addressed(mesh, workload, number),
                pool=(sidecar and sidecar.inbound_pool) or _rule_pool(scope, service, port.number),
                port_name=port.name,
            )
            found.setdefault(number, inbound)
    return tuple(sorted(found.values()))


def _addressed(mesh: Mesh, workload: Workload, number: int) -> str:
    """Where the application listens that no policy says it of: "" is where the traffic was addressed."""
    captured = workload.interception is Interception.REDIRECT
    return f"127.0.0.1:{number}" if mesh.settings.to_loopback and captured else ""


def _rule_pool(scope: Scope, service: Service, port: int) -> ConnectionPool:
    """What DestinationRules say of connections to the service, which hold for its own proxy's too (Istio's rule).

    But for the upgrade to HTTP/2: what the application speaks is what its port says.
    """
    backend = scope.backends.get(service.host)
    if backend is None or backend.service is not service:
        return ConnectionPool()
    return replace(backend.traffic.policy_for(port).connection_pool, h2_upgrade=H2Upgrade.DO_NOT_UPGRADE)


def _asked_inbound(
    mesh: Mesh, workload: Workload, inbound: tuple[InboundPort, ...], own_labels: Labels
) -> tuple[InboundPort, ...]:
    """The ports with what callers are asked for, and those that only a PeerAuthentication names."""
    found = list(inbound)
    if workload.interception is Interception.REDIRECT:
        known = {port.number for port in inbound}
        named = mesh.peers.ports(workload.namespace, own_labels)
        found += [InboundPort(number, Protocol.AUTO, passed_on=True) for number in named if number not in known]
    return tuple(_asking(port, mesh.peers.mode(workload.namespace, own_labels, port.number)) for port in found)


def _asking(port: InboundPort, mode: MutualTls) -> InboundPort:
    """TLS of its own only where none of the mesh is taken: a policy that asks for that must not be got around."""
    return replace(port, mutual_tls=mode, tls=port.tls if mode is MutualTls.DISABLE else None)


def _captured_mode(mesh: Mesh, workload: Workload, own_labels: Labels) -> MutualTls:
    """Nothing is captured in NONE mode, so there the mode of other ports must not tell views apart."""
    if workload.interception is Interception.NONE:
        return MutualTls.PERMISSIVE
    return mesh.peers.mode(workload.namespace, own_labels)


def selected_by(mesh: Mesh, workload: Workload) -> Labels:
    """What a policy may select the workload by: what its node says, and its WorkloadEntry.

    A sidecar that was started without labels must not slip from under a policy by it.
    """
    found = dict(workload.labels)
    for service in _candidates(mesh, workload):
        for endpoint in _own_endpoints(service, workload):
            found = {**dict(endpoint.labels), **found}
    return tuple(sorted(found.items()))


def _own_endpoints(service: Service, workload: Workload) -> list[Endpoint]:
    """The endpoints of `service` that are the workload: by the name of its WorkloadEntry, or by address."""
    named = service.endpoint_by_workload.get((workload.namespace, workload.name))
    addressed = [service.endpoint_by_address.get(address) for address in workload.addresses]
    return [endpoint for endpoint in (named, *addressed) if endpoint and endpoint.namespace == workload.namespace]


def _candidates(mesh: Mesh, workload: Workload) -> list[Service]:
    """The few services that the workload may serve, oldest name first, found without walking the mesh."""
    pairs = ((workload.namespace, pair) for pair in workload.labels)
    clues: tuple[Clue, ...] = ((workload.namespace, workload.name), *workload.addresses, *pairs)
    return sorted(mesh.service_index.found(clues), key=lambda s: (s.host, s.namespace))


def _source(workload: Workload, scope: Scope) -> Source:
    """Only what some route asks for, so that labels that no route names do not split views."""
    return Source(
        namespace=workload.namespace if scope.asks_namespace else "",
        labels=_asked(workload.labels, scope.source_keys),
    )


def _asked(labels: Labels, keys: frozenset[str]) -> Labels:
    return tuple((key, value) for key, value in labels if key in keys)
