"""`xds-server render`: a node's description in, the resources it would be sent out, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from xds_server.errors import ConfigurationError
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import Workload, workload
from xds_server.translate.to_json import resource_json
from xds_server.xds import type_url
from xds_server.xds.snapshot import Snapshot

_KEYS = {
    "clusters": type_url.CLUSTER,
    "endpoints": type_url.ENDPOINT,
    "listeners": type_url.LISTENER,
    "routes": type_url.ROUTE,
    "secrets": type_url.SECRET,
}


def rendered(snapshot: Snapshot) -> dict[str, list[dict[str, object]]]:
    """Every resource of a snapshot in proto-JSON, secrets redacted, by the plural of its type and sorted by name."""
    return {key: [resource_json(r) for r in snapshot.of_type(url).values()] for key, url in _KEYS.items()}


def read_node(path: Path, default_namespace: str) -> Workload:
    """The workload that a file describes: the `node` of an Envoy bootstrap, or a whole bootstrap.

    Raises:
        ConfigurationError: the file cannot be read as one; says what is missing.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(_no_yaml(path, error)) from None
    return node_workload(document, default_namespace, str(path))


def _no_yaml(path: Path, error: yaml.YAMLError) -> str:
    """Where in the file, as editors write it, and what."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{path}:{mark.line + 1}:{mark.column + 1} is no YAML: {error.problem}"
    return f"{path} is no YAML: {' '.join(str(error).split())}"


def node_workload(document: object, default_namespace: str, source: str) -> Workload:
    """The workload that a `node`, or a bootstrap around one, says it is.

    Args:
        document: plain values, as YAML gives them.
        default_namespace: when the node names none.
        source: where the document is from, for the message.

    Raises:
        ConfigurationError: there is no node with an id in it.
    """
    node = document.get("node", document) if isinstance(document, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(node.get("id"), str) or not node["id"]:
        raise ConfigurationError(
            f"{source} holds no node: write the `node` of an Envoy bootstrap, with at least an `id` that is a string "
            "(xds-server bootstrap --name NAME prints one)"
        )
    metadata, locality = node.get("metadata"), node.get("locality")
    return workload(
        node["id"],
        default_namespace=default_namespace,
        metadata=metadata if isinstance(metadata, Mapping) else None,
        locality=_locality(locality) if isinstance(locality, Mapping) else Locality(),
    )


def _locality(fields: Mapping[str, object]) -> Locality:
    return Locality(*(str(fields.get(part) or "") for part in ("region", "zone", "sub_zone")))
