"""Everything an operator may set, as one frozen model: made once by the command line, passed in, never global.

Each field's flag and environment variable are in `cli.py`; what is said here is what the value means.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from xds_server.errors import ConfigurationError


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


ListenAddress = Annotated[Address, BeforeValidator(_address)]


class Settings(BaseModel):
    """What `xds-server serve` was told. Times are in seconds. Make it with `Settings.of` for errors fit to be read.

    Attributes:
        policies: files and directories of policy documents.
        listen: plaintext gRPC; port 15010 is Istio's.
        debug_listen: HTTP: debug endpoints and metrics; port 15014 is Istio's.
        insecure: let `listen` and `debug_listen` be reached from other machines though nobody is authenticated.
        default_namespace: of documents without metadata.namespace and of nodes that name none.
        root_namespace: whose policies hold for the whole mesh (Istio's istio-system).
        debounce, debounce_ceiling: a change is taken up when it has been quiet for the first, at most the second after
            it began (PILOT_DEBOUNCE_AFTER, PILOT_DEBOUNCE_MAX).
        scan_interval: how often files are compared even when nothing announced a change; some mounts never announce.
        gate: let a real Envoy validate every change before it is sent, where the binary can be found.
        max_delete_fraction: a change that takes away more than this part of all documents at once is held back.
        allow_mass_delete: take it up all the same.
        stalled_stream: a peer that leaves a response unanswered for so long is disconnected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    policies: tuple[Path, ...] = Field(min_length=1)
    listen: ListenAddress = Address("127.0.0.1", 15010)
    debug_listen: ListenAddress = Address("127.0.0.1", 15014)
    insecure: bool = False
    default_namespace: str = Field(default="default", min_length=1)
    root_namespace: str = Field(default="default", min_length=1)
    debounce: float = Field(default=0.1, ge=0)
    debounce_ceiling: float = Field(default=10.0, gt=0)
    scan_interval: float = Field(default=2.0, gt=0)
    gate: bool = True
    max_delete_fraction: float = Field(default=0.5, gt=0, le=1)
    allow_mass_delete: bool = False
    stalled_stream: float = Field(default=60.0, gt=0)
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

    @model_validator(mode="after")
    def _refuse_to_serve_strangers(self) -> Settings:
        for flag, address in (("--listen", self.listen), ("--debug-listen", self.debug_listen)):
            if not address.is_loopback and not self.insecure:
                raise ValueError(
                    f"{flag} {address} can be reached from other machines and nobody would be asked who they are; "
                    f"listen on 127.0.0.1:{address.port}, or add --insecure if the network is private"
                )
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
