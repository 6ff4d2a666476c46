"""MeshConfig.extensionProviders: who takes spans and access logs, by a name that Telemetry uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, SecretStr, StrictInt

from xds_server.policy.http_words import has_control_character, header_value_error, is_header_name
from xds_server.policy.model import Finding, PolicyEnum, PolicyModel, refusal
from xds_server.policy.values import Bool, Duration, Int, PortNumber, is_dns_label, is_host_name, only_one

Anything = dict[str, JsonValue]


def _service(value: str) -> str:
    namespace, slash, host = value.rpartition("/")
    if (slash and not is_dns_label(namespace)) or not is_host_name(host):
        raise refusal(Finding(f'"{value}" is not a service', "write its host, or NAMESPACE/HOST"))
    return value


ServiceName = Annotated[str, AfterValidator(_service)]
"""The host of a service, or "namespace/host"."""


class ServiceProvider(PolicyModel):
    """One that is a service of the mesh."""

    service: ServiceName
    port: PortNumber


class HttpHeader(PolicyModel):
    """A header of what is sent to a provider, as written or from the server's environment; often a secret."""

    name: str = Field(min_length=1)
    value: SecretStr | None = None
    env_name: str | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Proto's oneof, and what Envoy cannot send."""
        yield from only_one(self, "value", "env_name")
        if not is_header_name(self.name):
            yield Finding(f'"{self.name}" is not the name of a header', at=("name",))
        if self.value is not None and (error := header_value_error(self.value.get_secret_value())):
            yield Finding(error, at=("value",))


class HttpExport(PolicyModel):
    """OTLP over HTTP."""

    path: str = ""
    timeout: Duration | None = None
    headers: tuple[HttpHeader, ...] = ()


class GrpcExport(PolicyModel):
    """OTLP over gRPC."""

    timeout: Duration | None = None
    initial_metadata: tuple[HttpHeader, ...] = ()


class ResourceDetectors(PolicyModel):
    """What says who the spans are of, besides the service's name."""

    environment: Anything | None = None
    dynatrace: Anything | None = None


class ServiceAttributeEnrichment(PolicyEnum):
    """How a proxy's service is called in its spans."""

    ISTIO_CANONICAL = "ISTIO_CANONICAL"
    OTEL_SEMANTIC_CONVENTIONS = "OTEL_SEMANTIC_CONVENTIONS"


class DynatraceApi(ServiceProvider):
    """Where Dynatrace tells how much to sample."""

    http: HttpExport


class DynatraceSampler(PolicyModel):
    """Dynatrace's adaptive sampling; without `http_service` it is asked where the spans go."""

    tenant: str = Field(min_length=1)
    cluster_id: Annotated[StrictInt, Field(ge=-(2**31), le=2**31 - 1)]
    root_spans_per_minute: Int = 0
    http_service: DynatraceApi | None = None


class OpenTelemetryTracing(ServiceProvider):
    """OTLP, by gRPC unless `http` says otherwise."""

    max_tag_length: Int = 0
    http: HttpExport | None = None
    grpc: GrpcExport | None = None
    resource_detectors: ResourceDetectors | None = None
    dynatrace_sampler: DynatraceSampler | None = None
    service_attribute_enrichment: ServiceAttributeEnrichment = ServiceAttributeEnrichment.ISTIO_CANONICAL

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        yield from only_one(self, "http", "grpc")
        sampler = self.dynatrace_sampler
        if sampler is not None and sampler.http_service is None and self.http is None:
            message = "needs httpService where spans go by gRPC: Dynatrace is asked by HTTP"
            yield Finding(
                message, "write httpService: {service: ..., port: ..., http: {...}}", at=("dynatraceSampler",)
            )


class TraceContextOption(PolicyEnum):
    """The headers by which Zipkin's tracer takes and gives the context of a trace."""

    USE_B3 = "USE_B3"
    USE_B3_WITH_W3C_PROPAGATION = "USE_B3_WITH_W3C_PROPAGATION"


class ZipkinTracing(ServiceProvider):
    """Zipkin's own protocol, version 2, in JSON."""

    max_tag_length: Int = 0
    enable_64bit_trace_id: Bool = False
    path: str = ""
    trace_context_option: TraceContextOption = TraceContextOption.USE_B3
    timeout: Duration | None = None
    headers: tuple[HttpHeader, ...] = ()


class DatadogTracing(ServiceProvider):
    """Datadog's agent."""

    max_tag_length: Int = 0


class SkyWalkingTracing(ServiceProvider):
    """SkyWalking's OAP, and what it knows its clients by."""

    access_token: SecretStr = SecretStr("")

    def mistakes(self) -> Iterable[Finding]:
        """What cannot be sent."""
        if has_control_character(self.access_token.get_secret_value()):
            yield Finding("has a control character", at=("accessToken",))


class LogFormat(PolicyModel):
    """A line of text, or the fields of a JSON object."""

    text: str | None = None
    labels: Anything | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Proto's oneof."""
        yield from only_one(self, "text", "labels")


class FileAccessLog(PolicyModel):
    """A file of the proxy; "" is its standard output."""

    path: str = ""
    log_format: LogFormat | None = None
    omit_empty_values: Bool = False


class TcpAccessLogService(ServiceProvider):
    """Envoy's own gRPC service, with entries for connections."""

    log_name: str = ""
    filter_state_objects_to_log: tuple[str, ...] = ()


class HttpAccessLogService(TcpAccessLogService):
    """The same with entries for requests."""

    additional_request_headers_to_log: tuple[str, ...] = ()
    additional_response_headers_to_log: tuple[str, ...] = ()
    additional_response_trailers_to_log: tuple[str, ...] = ()


class OtelLogFormat(PolicyModel):
    """The body of a record, and its attributes."""

    text: str = ""
    labels: Anything | None = None


class OtelAccessLogService(ServiceProvider):
    """OpenTelemetry's log service, by gRPC."""

    log_name: str = ""
    log_format: OtelLogFormat | None = None


_KINDS = (
    "envoy_ext_authz_http",
    "envoy_ext_authz_grpc",
    "zipkin",
    "lightstep",
    "datadog",
    "stackdriver",
    "opencensus",
    "skywalking",
    "opentelemetry",
    "prometheus",
    "envoy_file_access_log",
    "envoy_http_als",
    "envoy_tcp_als",
    "envoy_otel_als",
    "sds",
)


class ExtensionProvider(PolicyModel):
    """One provider, which is of one kind. Those that are taken as any value serve something else, or nothing here."""

    name: str = Field(min_length=1)
    envoy_ext_authz_http: Anything | None = None
    envoy_ext_authz_grpc: Anything | None = None
    zipkin: ZipkinTracing | None = None
    lightstep: Anything | None = None
    datadog: DatadogTracing | None = None
    stackdriver: Anything | None = None
    opencensus: Anything | None = None
    skywalking: SkyWalkingTracing | None = None
    opentelemetry: OpenTelemetryTracing | None = None
    prometheus: Anything | None = None
    envoy_file_access_log: FileAccessLog | None = None
    envoy_http_als: HttpAccessLogService | None = None
    envoy_tcp_als: TcpAccessLogService | None = None
    envoy_otel_als: OtelAccessLogService | None = None
    sds: Anything | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Proto's oneof, and that something is written."""
        yield from only_one(self, *_KINDS)
        if self.kind is None:
            yield Finding("says of no kind what it is", "write opentelemetry, envoyFileAccessLog or another kind")

    @property
    def kind(self) -> Any | None:
        """What is written of the one kind that it is of."""
        return next((found for name in _KINDS if (found := getattr(self, name)) is not None), None)


def _different_names(value: tuple[ExtensionProvider, ...]) -> tuple[ExtensionProvider, ...]:
    names = [provider.name.lower() for provider in value]
    found = [
        Finding(f"a provider is called {provider.name} already", "give it another name", at=(index, "name"))
        for index, provider in enumerate(value)
        if provider.name.lower() in names[:index]
    ]
    if found:
        raise refusal(*found)
    return value


ExtensionProviders = Annotated[tuple[ExtensionProvider, ...], AfterValidator(_different_names)]
"""Each name once, whatever case it is written in: Telemetry compares without case (Istio's rule)."""


class DefaultProviders(PolicyModel):
    """Names of providers that serve where no Telemetry names one."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()


_NO_TRACER = "Envoy has no such tracer any more: use opentelemetry"
_NO_EXTERNAL = "only an AuthorizationPolicy with action CUSTOM names it, a kind that is refused here"
SERVED_BY_NOBODY = {
    "envoyExtAuthzHttp": _NO_EXTERNAL,
    "envoyExtAuthzGrpc": _NO_EXTERNAL,
    "lightstep": _NO_TRACER,
    "stackdriver": _NO_TRACER,
    "opencensus": _NO_TRACER,
    "sds": "certificates by credentialName come from `--secrets`",
}
"""Kinds of providers that nothing here could use, and why."""
