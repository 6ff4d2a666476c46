"""Options that several commands share: those that describe a node, and where the state is."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from xds_server.bootstrap import Api
from xds_server.errors import ConfigurationError
from xds_server.mesh.workload import NodeType
from xds_server.settings import Address


def setting(name: str, text: str, *flags: str, metavar: str | None = None) -> Any:
    """An option of `serve` that may also stand in the environment, as its help says by a rule."""
    return typer.Option(*flags, envvar=f"XDS_SERVER_{name}", show_envvar=False, help=text, metavar=metavar)


class Mode(enum.StrEnum):
    """How traffic reaches the sidecar."""

    REDIRECT = "redirect"
    NONE = "none"


Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="KEY=VALUE", help="A label, which selectors and sourceLabels see. May be repeated."
    ),
]
Ip = Annotated[str, typer.Option("--ip", help="Address of the workload, where it is known.")]
ServiceAccount = Annotated[str, typer.Option("--service-account", help="Service account of the workload.")]
LocalityText = Annotated[
    str,
    typer.Option("--locality", metavar="REGION/ZONE/SUBZONE", help="Where it runs; later parts may be left out."),
]
Type = Annotated[
    NodeType,
    typer.Option("--type", help="sidecar: beside one application. router: alone, it opens what Gateways say."),
]
InterceptionMode = Annotated[
    Mode,
    typer.Option("--mode", help="redirect: iptables capture all traffic. none: no privileges, listeners on loopback."),
]
HttpProxyPort = Annotated[
    int,
    typer.Option(
        "--http-proxy-port", min=0, max=65535, help="With --mode none: be an HTTP proxy for the application here."
    ),
]
BindAddress = Annotated[
    str,
    typer.Option("--bind-address", help="With --mode none: where listeners for services bind. By default 127.0.0.1."),
]
Group = Annotated[str, typer.Option("--group", metavar="NAME", help="Register it under this WorkloadGroup.")]
Ports = Annotated[
    list[str] | None,
    typer.Option("--port", metavar="NAME=NUMBER", help="With --group: where it listens, if not where its group says."),
]
DnsCapture = Annotated[bool, typer.Option("--dns-capture", help="Answer DNS queries for names of services.")]
XdsAddresses = Annotated[
    str,
    typer.Option("--xds-address", metavar="HOST:PORT[,HOST:PORT]", help="The control plane, or its replicas."),
]
AdminPort = Annotated[int, typer.Option("--admin-port", min=0, max=65535, help="Envoy's admin page, on loopback.")]
ApiVariant = Annotated[Api, typer.Option("--api", help="Variant of the xDS protocol.")]
StateDir = Annotated[
    Path | None,
    setting("STATE_DIR", "Keys and what must outlive the server. By default in the user's state.", "--state-dir"),
]
TrustDomainName = Annotated[
    str, setting("TRUST_DOMAIN", "First part of every identity.", "--trust-domain", metavar="NAME")
]


def labels(pairs: list[str] | None) -> dict[str, str]:
    """Labels from KEY=VALUE each.

    Raises:
        ConfigurationError: one has another form.
    """
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ConfigurationError(f"--label {pair!r} is no label; write KEY=VALUE, such as --label app=web")
        found[key] = value
    return found


def ports(pairs: list[str] | None) -> dict[str, int]:
    """Port numbers by name from NAME=NUMBER each.

    Raises:
        ConfigurationError: one has another form.
    """
    found = {}
    for pair in pairs or []:
        name, _, number = pair.partition("=")
        if not name or not number.isdecimal() or not 0 < int(number) < 65536:
            raise ConfigurationError(f"--port {pair!r} is no port; write NAME=NUMBER, such as --port http=8080")
        found[name] = int(number)
    return found


def addresses(option: str, text: str) -> tuple[Address, ...]:
    """Addresses from HOST:PORT, separated by commas.

    Raises:
        ConfigurationError: one is none; names the option.
    """
    try:
        return tuple(Address.parse(one) for one in text.split(","))
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from None
