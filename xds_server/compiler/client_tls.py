"""What DestinationRules say of TLS towards endpoints, and what of it their author should know.

Where a rule asks for TLS and something that it needs is missing, nothing is sent: never plaintext instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from xds_server.compiler.finding import Place
from xds_server.compiler.unread_rule import is_stand_in
from xds_server.mesh.service import Service
from xds_server.policy.destination_rule import (
    ClientTLSMode,
    ClientTLSSettings,
    DestinationRuleSpec,
    PortTrafficPolicy,
    TrafficPolicy,
)
from xds_server.policy.document import Document
from xds_server.problem import Problem

_BY_FILES = {ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL}


def tls_traps(service: Service, documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Everything to be said of the TLS that the rules of one service ask for."""
    return tuple(
        problem
        for document in documents
        if not is_stand_in(document)
        for written, place in _written(document)
        for problem in _traps(written, place, service)
    )


def _written(document: Document) -> Iterator[tuple[ClientTLSSettings, Place]]:
    """Each tls section of a rule, with its place."""
    spec = cast("DestinationRuleSpec", document.spec)
    policies = [(spec.traffic_policy, Place(document).at("trafficPolicy"))]
    policies += [
        (subset.traffic_policy, Place(document).at("subsets", index, "trafficPolicy"))
        for index, subset in enumerate(spec.subsets)
    ]
    for policy, place in policies:
        if policy is not None:
            yield from _of_policy(policy, place)


def _of_policy(policy: TrafficPolicy, place: Place) -> Iterator[tuple[ClientTLSSettings, Place]]:
    ports: list[tuple[TrafficPolicy | PortTrafficPolicy, Place]] = [
        (setting, place.at("portLevelSettings", index)) for index, setting in enumerate(policy.port_level_settings)
    ]
    for each, where in ((policy, place), *ports):
        if each.tls is not None:
            yield each.tls, where.at("tls")


def _traps(written: ClientTLSSettings, place: Place, service: Service) -> Iterator[Problem]:
    if written.mode in _BY_FILES and written.credential_name:
        message = (
            "sidecars are given credentials by rules with a workloadSelector only: calls of "
            f"{service.host} from all others are answered 503 rather than sent in plaintext"
        )
        fix = "write a workloadSelector, or name files of the proxy: clientCertificate, privateKey, caCertificates"
        yield place.at("credentialName").warning("no-credential-for-sidecars", message, fix)
    if _checks_no_name(written, service):
        message = "the server's name is not checked: any certificate of a trusted authority will do"
        yield place.at("sni").warning("unchecked-name", message, "write subjectAltNames")
    if written.mode is ClientTLSMode.ISTIO_MUTUAL and not written.subject_alt_names and not _names_account(service):
        message = f"no endpoint of {service.host} names its serviceAccount: callers can only check its namespace"
        yield place.at("mode").warning("unknown-account", message, "write serviceAccount at the endpoints")


def _checks_no_name(written: ClientTLSSettings, service: Service) -> bool:
    """Envoy checks what a request names only where nothing else was said."""
    expected = written.subject_alt_names or service.subject_alt_names
    return written.mode in _BY_FILES and bool(written.sni) and not expected and not written.insecure_skip_verify


def _names_account(service: Service) -> bool:
    return bool(service.subject_alt_names) or any(
        endpoint.has_identity and endpoint.service_account for endpoint in service.endpoints
    )
