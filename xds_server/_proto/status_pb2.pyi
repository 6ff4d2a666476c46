import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from xds_server._proto import discovery_pb2 as _discovery_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientStatusRequest(_message.Message):
    __slots__ = ("node_matchers",)
    NODE_MATCHERS_FIELD_NUMBER: _ClassVar[int]
    node_matchers: _containers.RepeatedCompositeFieldContainer[NodeMatcher]
    def __init__(self, node_matchers: _Optional[_Iterable[_Union[NodeMatcher, _Mapping]]] = ...) -> None: ...

class NodeMatcher(_message.Message):
    __slots__ = ("node_id", "node_metadatas")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_METADATAS_FIELD_NUMBER: _ClassVar[int]
    node_id: StringMatcher
    node_metadatas: _containers.RepeatedCompositeFieldContainer[NotServed]
    def __init__(self, node_id: _Optional[_Union[StringMatcher, _Mapping]] = ..., node_metadatas: _Optional[_Iterable[_Union[NotServed, _Mapping]]] = ...) -> None: ...

class StringMatcher(_message.Message):
    __slots__ = ("exact", "prefix", "suffix", "safe_regex", "contains", "custom", "ignore_case")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    SAFE_REGEX_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    IGNORE_CASE_FIELD_NUMBER: _ClassVar[int]
    exact: str
    prefix: str
    suffix: str
    safe_regex: NotServed
    contains: str
    custom: NotServed
    ignore_case: bool
    def __init__(self, exact: _Optional[str] = ..., prefix: _Optional[str] = ..., suffix: _Optional[str] = ..., safe_regex: _Optional[_Union[NotServed, _Mapping]] = ..., contains: _Optional[str] = ..., custom: _Optional[_Union[NotServed, _Mapping]] = ..., ignore_case: _Optional[bool] = ...) -> None: ...

class NotServed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClientStatusResponse(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _containers.RepeatedCompositeFieldContainer[ClientConfig]
    def __init__(self, config: _Optional[_Iterable[_Union[ClientConfig, _Mapping]]] = ...) -> None: ...

class ClientConfig(_message.Message):
    __slots__ = ("node", "generic_xds_configs")
    class ConfigStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[ClientConfig.ConfigStatus]
        SYNCED: _ClassVar[ClientConfig.ConfigStatus]
        NOT_SENT: _ClassVar[ClientConfig.ConfigStatus]
        STALE: _ClassVar[ClientConfig.ConfigStatus]
        ERROR: _ClassVar[ClientConfig.ConfigStatus]
    UNKNOWN: ClientConfig.ConfigStatus
    SYNCED: ClientConfig.ConfigStatus
    NOT_SENT: ClientConfig.ConfigStatus
    STALE: ClientConfig.ConfigStatus
    ERROR: ClientConfig.ConfigStatus
    class GenericXdsConfig(_message.Message):
        __slots__ = ("type_url", "name", "version_info", "last_updated", "config_status", "client_status", "error_state")
        class ClientResourceStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            UNKNOWN: _ClassVar[ClientConfig.GenericXdsConfig.ClientResourceStatus]
            REQUESTED: _ClassVar[ClientConfig.GenericXdsConfig.ClientResourceStatus]
            DOES_NOT_EXIST: _ClassVar[ClientConfig.GenericXdsConfig.ClientResourceStatus]
            ACKED: _ClassVar[ClientConfig.GenericXdsConfig.ClientResourceStatus]
            NACKED: _ClassVar[ClientConfig.GenericXdsConfig.ClientResourceStatus]
        UNKNOWN: ClientConfig.GenericXdsConfig.ClientResourceStatus
        REQUESTED: ClientConfig.GenericXdsConfig.ClientResourceStatus
        DOES_NOT_EXIST: ClientConfig.GenericXdsConfig.ClientResourceStatus
        ACKED: ClientConfig.GenericXdsConfig.ClientResourceStatus
        NACKED: ClientConfig.GenericXdsConfig.ClientResourceStatus
        TYPE_URL_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        VERSION_INFO_FIELD_NUMBER: _ClassVar[int]
        LAST_UPDATED_FIELD_NUMBER: _ClassVar[int]
        CONFIG_STATUS_FIELD_NUMBER: _ClassVar[int]
        CLIENT_STATUS_FIELD_NUMBER: _ClassVar[int]
        ERROR_STATE_FIELD_NUMBER: _ClassVar[int]
        type_url: str
        name: str
        version_info: str
        last_updated: _timestamp_pb2.Timestamp
        config_status: ClientConfig.ConfigStatus
        client_status: ClientConfig.GenericXdsConfig.ClientResourceStatus
        error_state: UpdateFailureState
        def __init__(self, type_url: _Optional[str] = ..., name: _Optional[str] = ..., version_info: _Optional[str] = ..., last_updated: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., config_status: _Optional[_Union[ClientConfig.ConfigStatus, str]] = ..., client_status: _Optional[_Union[ClientConfig.GenericXdsConfig.ClientResourceStatus, str]] = ..., error_state: _Optional[_Union[UpdateFailureState, _Mapping]] = ...) -> None: ...
    NODE_FIELD_NUMBER: _ClassVar[int]
    GENERIC_XDS_CONFIGS_FIELD_NUMBER: _ClassVar[int]
    node: _discovery_pb2.Node
    generic_xds_configs: _containers.RepeatedCompositeFieldContainer[ClientConfig.GenericXdsConfig]
    def __init__(self, node: _Optional[_Union[_discovery_pb2.Node, _Mapping]] = ..., generic_xds_configs: _Optional[_Iterable[_Union[ClientConfig.GenericXdsConfig, _Mapping]]] = ...) -> None: ...

class UpdateFailureState(_message.Message):
    __slots__ = ("details",)
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    details: str
    def __init__(self, details: _Optional[str] = ...) -> None: ...
