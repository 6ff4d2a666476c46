"""Which hosts a workload may call, on which ports, through which listeners: Sidecar.egress, and where the rest goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from xds_server.mesh.gateway import narrower
from xds_server.mesh.service import Protocol, Service

Wanted = tuple[str, str]
"""(namespace, host) as written: "*" in either, "~" before a namespace takes out what others let in."""


@dataclass(frozen=True, slots=True)
class EgressListener:
    """One listener of Sidecar.egress.

    Attributes:
        hosts: in the namespaces as written, "." not yet resolved.
        port: 0 is every port that no other listener has.
        bind: address of its listener, "" for the usual.
        bound: the proxy binds it itself although it captures other connections.
        protocol: of its port; it matters where callers come by a socket and no service's port says it.
    """

    hosts: tuple[Wanted, ...]
    port: int = 0
    bind: str = ""
    bound: bool = False
    protocol: Protocol = Protocol.AUTO

    @property
    def is_socket(self) -> bool:
        """Whether it stands at a unix socket."""
        return self.bind.startswith("unix://")


@dataclass(frozen=True, slots=True)
class EgressSocket:
    """A unix socket by which callers reach these hosts, sorted, on every port that they have."""

    path: str
    protocol: Protocol
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Egress:
    """What a Sidecar says of the ports that a workload may call.

    Attributes:
        only_on: (host, port numbers) of hosts that are to be seen on some of their ports only, sorted.
        binds: (port, address, bound) of listeners that stand elsewhere than others.
        sockets: unix sockets, in order.
        proxy: (port, subset, host) that takes what nobody else does; None for none, NOWHERE for one that is not there.
    """

    only_on: tuple[tuple[str, tuple[int, ...]], ...] = ()
    binds: tuple[tuple[int, str, bool], ...] = ()
    proxy: tuple[int, str, str] | None = None
    sockets: tuple[EgressSocket, ...] = ()

    def by_socket(self, path: str) -> tuple[str, ...]:
        """The hosts that are reached by the socket there."""
        return next((socket.hosts for socket in self.sockets if socket.path == path), ())

    def shows(self, host: str, port: int) -> bool:
        """Whether `host` is to be seen on `port`."""
        ports = self._ports.get(host)
        return ports is None or port in ports

    def is_bound(self, port: int) -> bool:
        """Whether the proxy binds the listener of that port itself, although it captures other connections."""
        return (port, True) in ((number, bound) for number, _, bound in self.binds)

    @cached_property
    def _ports(self) -> dict[str, tuple[int, ...]]:
        return dict(self.only_on)


EVERYTHING = Egress()
NOWHERE = (0, "", "")


def egress(
    listeners: tuple[EgressListener, ...], namespace: str, services: Iterable[Service], strange_hosts: Iterable[str]
) -> Egress:
    """What these listeners leave to see of `services`, and of hosts that no service has, to callers of `namespace`.

    A port that a listener names belongs to its hosts alone; the one without a port has all others (Istio's rule).
    """
    services, strange_hosts = list(services), list(strange_hosts)
    at_ports = [listener for listener in listeners if not listener.is_socket]
    sockets = tuple(_socket(each, namespace, services, strange_hosts) for each in listeners if each.is_socket)
    by_port = {listener.port: resolved(listener.hosts, namespace) for listener in at_ports if listener.port}
    if not by_port and not sockets:
        return EVERYTHING
    rest = [host for listener in at_ports if not listener.port for host in resolved(listener.hosts, namespace)]
    only_on: dict[str, tuple[int, ...]] = {}
    for service in services:
        numbers = tuple(port.number for port in service.ports)
        seen = tuple(
            number for number in numbers if selects(by_port.get(number, rest), service.namespace, service.host)
        )
        if seen != numbers:
            only_on[service.host] = seen
    for host in strange_hosts:
        seen = tuple(number for number, hosts in by_port.items() if selects(hosts, None, host))
        if not selects(rest, None, host):
            only_on[host] = seen
    binds = ((listener.port, listener.bind, listener.bound) for listener in at_ports if listener.port)
    found = tuple(bind for bind in binds if bind[1] or bind[2])
    return Egress(tuple(sorted(only_on.items())), found, sockets=sockets)


def _socket(
    listener: EgressListener, namespace: str, services: Iterable[Service], strange_hosts: Iterable[str]
) -> EgressSocket:
    wanted = resolved(listener.hosts, namespace)
    hosts = {service.host for service in services if selects(wanted, service.namespace, service.host)}
    hosts.update(host for host in strange_hosts if selects(wanted, None, host))
    return EgressSocket(listener.bind, listener.protocol, tuple(sorted(hosts)))


def resolved(hosts: Iterable[Wanted], namespace: str) -> list[Wanted]:
    """The same with "." replaced by the namespace that it means."""
    return [(_own(where, namespace), host) for where, host in hosts]


def selects(wanted: Iterable[Wanted], namespace: str | None, host: str) -> bool:
    """Whether a host is let in, and not taken out again; `namespace` None is of a host that no service has."""
    found = False
    for where, pattern in wanted:
        excludes = where.startswith("~") and where != "~"
        if where != "~" and _in_namespace(where.removeprefix("~"), namespace) and host_matches(pattern, host):
            if excludes:
                return False
            found = True
    return found


def imports(wanted: Iterable[Wanted], namespace: str, host: str) -> bool:
    """Whether rules for `host` written in `namespace` are let in: a name in common is enough (Istio's rule)."""
    found = False
    for where, pattern in wanted:
        if where == "~" or where.removeprefix("~") not in {"*", namespace}:
            continue
        if where.startswith("~"):
            if host_matches(pattern, host):
                return False
        elif narrower(pattern, host):
            found = True
    return found


def host_matches(pattern: str, host: str) -> bool:
    """Whether `pattern` is the host, "*", or "*.suffix" above it."""
    return pattern in {"*", host} or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _in_namespace(wanted: str, namespace: str | None) -> bool:
    return namespace is None or wanted in {"*", namespace}


def _own(where: str, namespace: str) -> str:
    return {".": namespace, "~.": f"~{namespace}"}.get(where, where)
