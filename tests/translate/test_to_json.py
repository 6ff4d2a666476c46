"""Proto-JSON from encoded bytes, against the protobuf runtime's own `json_format`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.rbac import v3 as rbac_v3
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.message_pool import default_message_pool
from google.protobuf import any_pb2, duration_pb2, json_format, struct_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from xds_server.translate.sensitive import SENSITIVE_FIELDS
from xds_server.translate.to_json import message_json, resource_json
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

CLASSES: dict[str, type[betterproto2.Message]] = {
    "envoy.config.cluster.v3.Cluster": cluster_v3.Cluster,
    "envoy.config.endpoint.v3.ClusterLoadAssignment": endpoint_v3.ClusterLoadAssignment,
    "envoy.config.listener.v3.Listener": listener_v3.Listener,
    "envoy.config.route.v3.RouteConfiguration": route_v3.RouteConfiguration,
    "envoy.extensions.transport_sockets.tls.v3.Secret": tls_v3.Secret,
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": hcm_v3.HttpConnectionManager,
    "envoy.extensions.filters.http.rbac.v3.RBAC": rbac_v3.Rbac,
    "envoy.extensions.filters.http.router.v3.Router": router_v3.Router,
}
CANARY = "canary-of-a-private-key"
NUMBERS: dict[int, tuple[object, object]] = {
    FieldDescriptor.CPPTYPE_INT32: (-7, 0),
    FieldDescriptor.CPPTYPE_INT64: (-(2**40), 0),
    FieldDescriptor.CPPTYPE_UINT32: (2**32 - 1, 0),
    FieldDescriptor.CPPTYPE_UINT64: (2**63, 0),
    FieldDescriptor.CPPTYPE_DOUBLE: (0.1, float("inf")),
    FieldDescriptor.CPPTYPE_FLOAT: (0.1, float("nan")),
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
}
SPECIAL = {
    "google.protobuf.Any": (wrappers_pb2.StringValue(value="s"), struct_pb2.Struct()),
    "google.protobuf.Duration": (duration_pb2.Duration(seconds=1, nanos=500_000_000), duration_pb2.Duration(nanos=-1)),
}


@pytest.fixture(scope="module", autouse=True)
def _descriptors() -> None:
    for name in CLASSES:
        module = {
            "Cluster": "cluster",
            "ClusterLoadAssignment": "endpoint",
            "Listener": "listener",
            "RouteConfiguration": "route",
            "Secret": "secret",
            "HttpConnectionManager": "http_connection_manager",
            "RBAC": "rbac",
            "Router": "router",
        }[name.rpartition(".")[2]]
        importlib.import_module(f"{name.rpartition('.')[0]}.{module}_pb2")


def runtime_class(name: str) -> type[Message]:
    """The protobuf runtime's class of a message."""
    return GetMessageClass(Default().FindMessageTypeByName(name))


def fill(message: Message, depth: int, flavour: int) -> None:
    """Set every field down to `depth`; of a oneof, the last field that is tried stays."""
    for field in message.DESCRIPTOR.fields[:: 1 if flavour == 0 else -1]:
        fill_field(message, field, depth, flavour)


def fill_field(message: Message, field: Any, depth: int, flavour: int) -> None:
    """Set one field to a value of its type."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        fill_map(message, field, depth, flavour)
    elif field.message_type is None:
        value = scalar(field, flavour)
        if field.is_repeated:
            getattr(message, field.name).extend([value, value])
        else:
            setattr(message, field.name, value)
    elif depth > 0:
        target = getattr(message, field.name)
        if field.is_repeated:
            fill_message(target.add(), depth - 1, flavour)
        else:
            target.SetInParent()
            fill_message(target, depth - 1, flavour)


def fill_map(message: Message, field: Any, depth: int, flavour: int) -> None:
    """One entry with a key and one whose key is the default."""
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    target = getattr(message, field.name)
    for name in (scalar(key, 0), type(scalar(key, 0))()):
        if value.message_type is None:
            target[name] = scalar(value, flavour)
        elif depth > 0:
            fill_message(target[name], depth - 1, flavour)


def fill_message(message: Message, depth: int, flavour: int) -> None:
    """Well-known types get values that mean something; every other message is filled field by field."""
    special = SPECIAL.get(message.DESCRIPTOR.full_name)
    if isinstance(message, any_pb2.Any):
        message.Pack(SPECIAL["google.protobuf.Any"][flavour])
    elif isinstance(message, struct_pb2.Struct):
        message.update({"a": 1, "b": [True, None, {"c": 0.5}], "": ""})
    elif isinstance(message, struct_pb2.Value):
        message.string_value = "v"
    elif special is not None:
        message.CopyFrom(special[flavour])
    else:
        fill(message, depth, flavour)


def scalar(field: Any, flavour: int) -> object:
    """A value that shows (0) or the default, or the odd one, of its type (1)."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (b"\xff\x00b", b"")[flavour]
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return ("text é", "")[flavour]
    if field.enum_type is not None:
        return field.enum_type.values[-1 if flavour == 0 else 0].number
    return NUMBERS[field.cpp_type][flavour]


@pytest.mark.parametrize("flavour", [0, 1], ids=["values", "defaults"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_field_reads_as_the_protobuf_runtime_reads_it(name: str, flavour: int) -> None:
    message = runtime_class(name)()
    fill(message, 4, flavour)

    shown = message_json(CLASSES[name], message.SerializeToString(), redact=False)

    expected = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert shown == expected


def secret_with(canary: str) -> Resource:
    """A TLS certificate with its key inline."""
    message = runtime_class("envoy.extensions.transport_sockets.tls.v3.Secret")()
    json_format.ParseDict(
        {
            "name": "default",
            "tls_certificate": {
                "certificate_chain": {"inline_string": "public"},
                "private_key": {"inline_string": canary},
                "password": {"inline_bytes": "c2VjcmV0"},
            },
        },
        message,
    )
    return Resource(type_url.SECRET, "default", "1", message.SerializeToString())


def test_private_key_is_never_shown() -> None:
    """Keys of the Istio project went into debug dumps twice; ours cannot."""
    shown = resource_json(secret_with(CANARY))

    assert CANARY not in json.dumps(shown)
    assert shown["tls_certificate"] == {
        "certificate_chain": {"inline_string": "public"},
        "private_key": {"inline_string": "[redacted]"},
        "password": {"inline_bytes": "W3JlZGFjdGVkXQ=="},
    }


def test_key_inside_an_any_is_never_shown() -> None:
    """A certificate may be written into a cluster's transport socket instead of a Secret."""
    importlib.import_module("envoy.extensions.transport_sockets.tls.v3.tls_pb2")
    cluster = runtime_class("envoy.config.cluster.v3.Cluster")()
    json_format.ParseDict(
        {
            "transport_socket": {
                "name": "tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                    "common_tls_context": {"tls_certificates": [{"private_key": {"inline_string": CANARY}}]},
                },
            }
        },
        cluster,
    )

    shown = resource_json(Resource(type_url.CLUSTER, "c", "1", cluster.SerializeToString()))

    assert CANARY not in json.dumps(shown)


def test_header_for_a_collector_has_its_name_and_no_value() -> None:
    """Envoy's API does not mark it, and policies put tokens there."""
    header = core_v3.HeaderValue(key="x-token", value=CANARY)
    by_http = core_v3.HttpService(request_headers_to_add=[core_v3.HeaderValueOption(header=header)])
    by_grpc = core_v3.GrpcService(initial_metadata=[header])

    shown = {"key": "x-token", "value": "[redacted]"}
    assert message_json(core_v3.HttpService, bytes(by_http)) == {"request_headers_to_add": [{"header": shown}]}
    assert message_json(core_v3.GrpcService, bytes(by_grpc)) == {"initial_metadata": [shown]}
    assert CANARY in str(message_json(core_v3.GrpcService, bytes(by_grpc), redact=False))


def test_a_type_that_nobody_knows_is_an_error() -> None:
    packed = any_pb2.Any(type_url="type.googleapis.com/no.such.Type", value=b"")
    options: Any = runtime_class("envoy.config.cluster.v3.Cluster")()
    options.typed_extension_protocol_options["x"].CopyFrom(packed)

    with pytest.raises(LookupError, match=r"no\.such\.Type"):
        message_json(cluster_v3.Cluster, options.SerializeToString())


def test_every_field_that_envoy_marks_sensitive_is_in_the_table() -> None:
    sensitive = importlib.import_module("udpa.annotations.sensitive_pb2").sensitive
    site = Path(importlib.import_module("envoy").__path__[0])
    for path in site.glob("extensions/transport_sockets/tls/v3/*_pb2.py"):
        importlib.import_module(".".join(path.relative_to(site.parent).with_suffix("").parts))
    marked = set()
    for url in default_message_pool.url_to_type:
        descriptor = find(url.rpartition("/")[2])
        if descriptor is not None and ".v2." not in descriptor.full_name:
            marked |= {
                (descriptor.full_name, field.name)
                for field in descriptor.fields
                if field.GetOptions().Extensions[sensitive]
            }

    assert len(marked) >= 7
    assert marked <= SENSITIVE_FIELDS


def find(name: str) -> Descriptor | None:
    """A descriptor of the runtime's, None when nobody imported its module."""
    try:
        return Default().FindMessageTypeByName(name)
    except KeyError:
        return None
