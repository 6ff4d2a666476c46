"""How names of headers are spelt in HTTP/1: in small letters, or as they came. Both ends of a proxy must be told."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.http.header_formatters.preserve_case import v3 as preserve_case_v3

from xds_server.translate.encode import any_of


def http1_options(*, keeps_case: bool) -> core_v3.Http1ProtocolOptions:
    """HTTP/1 as Envoy has it, which with `keeps_case` spells names as they came. HTTP/2 knows small letters only."""
    return core_v3.Http1ProtocolOptions(header_key_format=_AS_THEY_CAME if keeps_case else None)


_AS_THEY_CAME = core_v3.Http1ProtocolOptionsHeaderKeyFormat(
    stateful_formatter=core_v3.TypedExtensionConfig(
        name="preserve_case", typed_config=any_of(preserve_case_v3.PreserveCaseFormatterConfig())
    )
)
