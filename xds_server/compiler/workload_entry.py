"""What a WorkloadEntry means: one endpoint, with the labels that ServiceEntries choose it by.

The same shape stands inline in ServiceEntry.endpoints; both become endpoints here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from xds_server.ip_address import is_ip_address
from xds_server.mesh.service import Endpoint, Labels, Locality
from xds_server.policy.document import Document
from xds_server.policy.status import condition
from xds_server.policy.workload_entry import WorkloadEntrySpec

DRAINING = "xds-server.io/draining"
"""Label or annotation of a WorkloadEntry: "true" takes no new requests and lets open ones finish."""
TLS_MODE = "security.istio.io/tlsMode"
HEALTH_CHECKED = "proxy.istio.io/health-checks-enabled"
"""Annotation of a WorkloadEntry: "true" means that somebody reports its health, so silence is no good sign."""
LOCALITY_LABELS = ("topology.istio.io/locality", "istio-locality")


def labels_of(document: Document) -> dict[str, str]:
    """Labels of a WorkloadEntry: those of its spec, overridden by those of its metadata (Istio's order)."""
    return {**_spec(document).labels, **document.labels}


def entry_endpoint(document: Document) -> Endpoint:
    """The endpoint that a WorkloadEntry document is."""
    draining = "true" in (labels_of(document).get(DRAINING), document.annotations.get(DRAINING))
    found = endpoint(
        _spec(document),
        labels_of(document),
        namespace=document.namespace,
        workload=document.name,
        draining=draining,
    )
    return found if is_healthy(document) else replace(found, healthy=False)


def is_healthy(document: Document) -> bool:
    """Whether requests may be sent to a WorkloadEntry: what its status says, if somebody reports it (Istio's rule)."""
    reported = condition(document.status, "Healthy")
    return document.annotations.get(HEALTH_CHECKED) != "true" if reported is None else reported


def endpoint(
    entry: WorkloadEntrySpec, labels: Mapping[str, str], *, namespace: str, workload: str = "", draining: bool = False
) -> Endpoint:
    """The endpoint that `entry` is when it carries `labels`, its own included."""
    return Endpoint(
        address=entry.address,
        ports=tuple(sorted(entry.ports.items())),
        labels=sorted_labels(labels),
        locality=_locality(entry, labels),
        weight=entry.weight or 1,
        namespace=namespace,
        workload=workload,
        service_account=entry.service_account,
        network=entry.network,
        draining=draining or labels.get(DRAINING) == "true",
        tls_mode=labels.get(TLS_MODE) or ("istio" if entry.service_account else "disabled"),
    )


def sorted_labels(labels: Mapping[str, str]) -> Labels:
    """Labels as the mesh keeps them."""
    return tuple(sorted(labels.items()))


def is_address(text: str) -> bool:
    """Whether `text` needs no name resolution: an IP address or a unix socket."""
    return text.startswith("unix://") or is_ip_address(text)


def _locality(entry: WorkloadEntrySpec, labels: Mapping[str, str]) -> Locality:
    if entry.locality:
        return Locality.parse(entry.locality)
    written = next((labels[key] for key in LOCALITY_LABELS if labels.get(key)), "")
    # A label value cannot hold a slash, so Istio lets dots stand for them.
    return Locality.parse(written if "/" in written else written.replace(".", "/"))


def _spec(document: Document) -> WorkloadEntrySpec:
    return cast("WorkloadEntrySpec", document.spec)
