"""What Gateways mean, and which of their servers cannot stand beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from xds_server.compiler.credential import missing_credentials
from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.router_port import brought_together, compatible
from xds_server.compiler.server_tls import idle_tls, server_tls
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.mesh.gateway import Gateway, Refusal, Server, open_ports
from xds_server.mesh.host import normal
from xds_server.mesh.service import Labels, Port, Protocol, Service
from xds_server.policy.document import Document
from xds_server.policy.gateway import GatewaySpec
from xds_server.policy.gateway import Server as WrittenServer
from xds_server.problem import Problem


def gateway(document: Document) -> Outcome[Gateway]:
    """What one document opens."""
    spec = cast("GatewaySpec", document.spec)
    servers = tuple(_server(written, index, document) for index, written in enumerate(spec.servers))
    found = Gateway(document.namespace, document.name, sorted_labels(spec.selector), servers, document.origin)
    return Outcome(found, tuple(_traps(spec, Place(document))))


def _traps(spec: GatewaySpec, place: Place) -> Iterator[Problem]:
    if not spec.selector:
        message = "a Gateway without selector opens its ports on every router"
        yield place.warning("selects-all", message, "write the labels of its routers")
    for index, written in enumerate(spec.servers):
        if written.tls:
            at = place.at("servers", index, "tls")
            yield from idle_tls(written.tls, at)
            if written.tls.https_redirect and not Protocol(written.port.protocol).is_http:
                message = "has no effect: only plain HTTP can be redirected to HTTPS"
                fix = "remove it, or write it in the server of the HTTP port"
                yield at.at("httpsRedirect").warning("no-effect", message, fix)


def _server(written: WrittenServer, index: int, document: Document) -> Server:
    return Server(
        gateway=f"{document.namespace}/{document.name}",
        index=index,
        port=Port(written.port.number, written.port.name, Protocol(written.port.protocol)),
        hosts=tuple(_host(host, document.namespace) for host in written.hosts),
        bind=written.bind or "",
        tls=server_tls(written.tls) if written.tls and Protocol(written.port.protocol).is_tls else None,
        https_redirect=bool(written.tls and written.tls.https_redirect) and Protocol(written.port.protocol).is_http,
        name=written.name,
        origin=document.origin,
    )


def _host(text: str, own: str) -> tuple[str, str]:
    namespace, _, host = text.rpartition("/")
    return {"": "*", ".": own}.get(namespace, namespace), normal(host)


def gateway_problems(
    gateways: Iterable[tuple[Document, Gateway]],
    credentials: frozenset[str] | None,
    own: Iterable[tuple[Service, Labels]] = (),
) -> list[Problem]:
    """What is to be said of Gateways beside each other, and of credentials that are not there.

    Args:
        gateways: in order of precedence.
        credentials: the names in the secrets directory; None when there is no such directory.
        own: services that routers may be part of, and that move their ports, each with a selector of such routers.
    """
    found = list(gateways)
    documents = {f"{each.namespace}/{each.name}": document for document, each in found}
    beside = {
        selector: [each for _, each in found if compatible(each.selector, selector)]
        for selector in dict.fromkeys(each.selector for _, each in found)
    }
    refused = {
        (refusal.server.gateway, refusal.server.index): (refusal, "")
        for there in beside.values()
        for refusal in open_ports(there)[1]
    }
    for service, selector in own:
        for refusal in brought_together(beside[selector], selector, service):
            because = f" ({service.host} of {service.origins[0]} has routers listen on its target ports)"
            refused.setdefault((refusal.server.gateway, refusal.server.index), (refusal, because))
    problems = [_refused(refusal, because, documents) for refusal, because in refused.values()]
    for document, each in found:
        for server in each.servers:
            place = Place(document).at("servers", server.index, "tls")
            needed = server.tls.needed if server.tls else ()
            problems += missing_credentials(needed, credentials, place, "the server is not opened")
    return problems


def _refused(refusal: Refusal, because: str, documents: dict[str, Document]) -> Problem:
    server, other = refusal.server, refusal.other
    where = f"servers[{other.index}] of {other.origin}"
    message = f"port {server.port.number} is not opened for this server: {refusal.reason}, by {where}{because}"
    place = Place(documents[server.gateway]).at("servers", server.index)
    another = "another targetPort in that service" if because else "another port"
    return place.error("port-conflict", message, f"use other hosts, {another}, or one of the two alone")
