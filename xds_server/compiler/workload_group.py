"""What a WorkloadGroup means: the WorkloadEntry that each workload becomes which registers itself under it.

Labels come from the node, then the group's metadata, then its template (Istio's order); all else that the node says
wins over the template.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.workload_entry import DRAINING
from xds_server.memo import Memo
from xds_server.mesh.identity import DEFAULT_SERVICE_ACCOUNT
from xds_server.mesh.registration import Registration
from xds_server.policy.document import Document, PolicySet, precedence
from xds_server.policy.workload_entry import WorkloadEntrySpec
from xds_server.policy.workload_group import WorkloadGroupSpec
from xds_server.problem import Problem

GROUP_KIND = "WorkloadGroup"
GROUP = "istio.io/autoRegistrationGroup"
"""Annotation of a WorkloadEntry that registered itself (Istio's)."""


def group_labels(document: Document) -> dict[str, str]:
    """Labels that every workload of a group carries unless it says otherwise."""
    spec = _spec(document)
    return {**spec.template.labels, **spec.metadata.labels}


def workload_group(document: Document) -> Outcome[None]:
    """What its author should know."""
    return Outcome(None, (*_address_in_template(document), *_https_probe(document)))


def with_registered(
    policies: PolicySet, registrations: Iterable[Registration], memo: Memo
) -> Outcome[tuple[Document, ...]]:
    """WorkloadEntries of the workloads that registered under a group of `policies`, in order of precedence.

    A registration that did not change gives the same document, as long as its group does not change either. A
    WorkloadEntry of the same name that somebody wrote takes precedence over a registration.
    """
    registrations = tuple(registrations)
    if not registrations:
        return Outcome((), ())
    groups = {document.key: document for document in policies.documents if document.kind == GROUP_KIND}
    written = {document.key for document in policies.documents if document.kind == "WorkloadEntry"}
    documents, problems = [], []
    for found in registrations:
        group = groups.get((GROUP_KIND, found.namespace, found.group))
        if group is None or ("WorkloadEntry", found.namespace, found.name) in written:
            continue
        if _is_stranger(group, found):
            problems.append(_stranger(group, found))
        else:
            documents.append(memo(registered, group, found))
    return Outcome(tuple(sorted(documents, key=precedence)), tuple(problems))


def registered(group: Document, found: Registration) -> Document:
    """The WorkloadEntry that a workload of `group` becomes."""
    annotations = {**_spec(group).metadata.annotations, GROUP: group.name}
    return Document(
        api_version=group.api_version,
        kind="WorkloadEntry",
        namespace=group.namespace,
        name=found.name,
        spec=_entry(_spec(group).template, found, group),
        origin=group.origin,
        positions=group.positions,
        labels={**group_labels(group), **dict(found.labels)},
        annotations={**annotations, DRAINING: "true"} if found.draining else annotations,
    )


def _is_stranger(group: Document, found: Registration) -> bool:
    """Whether it proved to be somebody else than the group's workloads are."""
    return bool(found.service_account) and found.service_account != (
        _spec(group).template.service_account or DEFAULT_SERVICE_ACCOUNT
    )


def _entry(template: WorkloadEntrySpec, found: Registration, group: Document) -> WorkloadEntrySpec:
    """Not validated: what a peer said was checked when it registered, and the template when it was read."""
    return WorkloadEntrySpec.model_construct(
        _fields_set=None,
        address=found.address,
        ports={**template.ports, **dict(found.ports)},
        labels={**group_labels(group), **dict(found.labels)},
        network=found.network or template.network,
        locality=str(found.locality) or template.locality,
        weight=found.weight or template.weight,
        service_account=found.service_account or template.service_account,
    )


def _address_in_template(document: Document) -> tuple[Problem, ...]:
    if not _spec(document).template.address:
        return ()
    place = Place(document).at("template", "address")
    message = "is not used: each workload that registers itself brings its own"
    return (place.warning("address-in-template", message, "remove it, or write a WorkloadEntry"),)


def _https_probe(document: Document) -> tuple[Problem, ...]:
    probe = _spec(document).probe
    if probe is None or probe.http_get is None or probe.http_get.scheme != "HTTPS":
        return ()
    place = Place(document).at("probe", "httpGet", "scheme")
    message = "is checked by connecting only: callers have no TLS settings for it"
    return (place.warning("https-probe", message, "write scheme: HTTP, or tcpSocket to say so"),)


def _stranger(group: Document, found: Registration) -> Problem:
    message = f"{found.address} wants to join, but proved to be service account {found.service_account}"
    fix = f"write template.serviceAccount: {found.service_account} if it belongs here"
    return Place(group).at("template").warning("foreign-identity", message, fix)


def _spec(document: Document) -> WorkloadGroupSpec:
    return cast("WorkloadGroupSpec", document.spec)
