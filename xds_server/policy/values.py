"""Shapes that several kinds use: durations, string matches, ports, host names, labels, and the rules for each.

Each type here is what its name says once it is validated; a broken rule is worded for the author of the policy.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

import re2
from pydantic import AfterValidator, Field, PlainValidator, StrictBool, StrictFloat, StrictInt

from xds_server.ip_address import is_ip_address
from xds_server.policy.model import Finding, PolicyModel, refusal

Bool = StrictBool
Int = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
"""A count: proto's int32 and uint32, never negative in Istio's API."""
Long = Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]
Double = Annotated[StrictFloat, Field(allow_inf_nan=False)]
PortNumber = Annotated[StrictInt, Field(ge=1, le=65535)]
PercentInt = Annotated[StrictInt, Field(ge=0, le=100)]
PercentDouble = Annotated[Double, Field(ge=0, le=100)]
HttpStatus = Annotated[StrictInt, Field(ge=200, le=599)]
"""Istio takes 600 too, for which Envoy refuses the whole virtual host."""

_NANOSECONDS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ns": 1,
}
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|us|µs|μs|ns|m|s)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> timedelta:
    """Go's duration text ("10s", "1.5s", "100ms", "1h2m") as Istio reads it; never negative.

    Raises:
        PydanticCustomError: it is no duration.
    """
    if text == "0":
        return timedelta()
    if not _DURATION.fullmatch(text):
        raise refusal(Finding(f'"{text}" is not a duration', _duration_fix(text)))
    nanoseconds = sum(Decimal(n) * _NANOSECONDS[unit] for n, unit in _DURATION_PART.findall(text))
    if nanoseconds % 1000:
        raise refusal(Finding("must be whole milliseconds", _whole_milliseconds(nanoseconds / 10**6)))
    try:
        return timedelta(microseconds=int(nanoseconds) // 1000)
    except OverflowError:
        raise refusal(Finding(f'"{text}" is longer than any duration can be')) from None


def _duration_fix(text: str) -> str:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return f"write {text}s"
    return "write a number and a unit (h, m, s or ms), such as 1.5s"


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    fix = _duration_fix(str(value)) if type(value) in {int, float} else _duration_fix("")
    raise refusal(Finding("must be a duration with its unit", fix))


def _at_least_a_millisecond(value: timedelta) -> timedelta:
    if value < _MILLISECOND:
        raise refusal(Finding("must be 1ms or longer"))
    return _in_milliseconds(value)


def _in_milliseconds(value: timedelta) -> timedelta:
    if value % _MILLISECOND:
        raise refusal(Finding("must be whole milliseconds", _whole_milliseconds(value / _MILLISECOND)))
    return value


def _whole_milliseconds(count: float | Decimal) -> str:
    """What to write; never 0, which means something else or nothing at all."""
    return f"write {max(round(count), 1)}ms"


Duration = Annotated[timedelta, PlainValidator(_duration), AfterValidator(_at_least_a_millisecond)]
"""1 ms or longer, in whole milliseconds (Istio's ValidateDuration)."""
DurationOrZero = Annotated[timedelta, PlainValidator(_duration), AfterValidator(_in_milliseconds)]
"""As Duration, where 0s has a meaning of its own: no timeout, or a session cookie."""


@lru_cache(maxsize=1024)
def _regex_error(pattern: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return ""


def _regex(value: str) -> str:
    if not value:
        raise refusal(Finding("an empty expression matches what is empty only", "write exact, or leave it out"))
    if reason := _regex_error(value):
        raise refusal(Finding(f"is not an RE2 regular expression: {reason}", "see github.com/google/re2/wiki/Syntax"))
    return value


Regex = Annotated[str, AfterValidator(_regex)]
"""RE2 syntax, checked by RE2 itself: Envoy refuses a whole route table for one bad expression."""


class StringMatch(PolicyModel):
    """exact, prefix or regex; with none of them, "is there at all", where Istio allows that."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    def mistakes(self) -> Iterable[Finding]:
        """At most one of the three."""
        yield from only_one(self, "exact", "prefix", "regex")

    @property
    def is_present_match(self) -> bool:
        """Whether only presence is asked for."""
        return self.exact is None and self.prefix is None and self.regex is None


def _regex_or_any(value: str) -> str:
    return value if value == "*" else _regex(value)


class AbsentMatch(StringMatch):
    """What a header may not be. Here "*", which is no regular expression, means any value at all (Istio)."""

    regex: Annotated[str, AfterValidator(_regex_or_any)] | None = None


class PortSelector(PolicyModel):
    """A port by its number."""

    number: PortNumber


class Percent(PolicyModel):
    """0 to 100, fractions allowed. Left out, it is 0, as in proto."""

    value: PercentDouble = 0.0

    def mistakes(self) -> Iterable[Finding]:
        """Envoy counts in millionths."""
        if 0 < self.value < 0.0001:
            yield Finding("must be 0, or 0.0001 to 100", "write 0.0001", at=("value",))


def only_one(model: PolicyModel, *names: str) -> Iterable[Finding]:
    """The mistake that more than one of these fields (in Python's spelling) is written, as proto's oneof forbids."""
    written = [name for name in names if name in model.model_fields_set and getattr(model, name) is not None]
    if len(written) > 1:
        spelled = [str(type(model).model_fields[name].alias) for name in written]
        yield Finding(f"only one of {', '.join(spelled)} may be set", "keep one of them", at=(spelled[-1],))


_LABEL = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_HOST_LABEL = re.compile(r"[a-zA-Z0-9_](?:[-_a-zA-Z0-9]*[a-zA-Z0-9_])?")  # Docker's names may have underscores
_QUALIFIED = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_KEY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*/)?({_QUALIFIED})")
_LABEL_VALUE = re.compile(rf"(?:{_QUALIFIED})?")


def is_dns_label(text: str) -> bool:
    """Letters, digits and dashes, at most 63 (Istio's IsDNS1123Label)."""
    return len(text) <= 63 and _DNS_LABEL.fullmatch(text) is not None


def _is_host_label(text: str) -> bool:
    return len(text) <= 63 and _HOST_LABEL.fullmatch(text) is not None


def is_host_name(text: str, *, wildcard: bool = False) -> bool:
    """A DNS name, short or full; with `wildcard` also "*", "*.example.com" and "*-suffix.example.com"."""
    if not 0 < len(text) <= 255:
        return False
    first, *rest = text.removesuffix(".").split(".")
    if wildcard and first.startswith("*"):
        first = first.removeprefix("*").removeprefix("-") or "x"
    return all(_is_host_label(label) for label in [first, *rest])


def is_whole_wildcard(text: str) -> bool:
    """Whether a wildcard in it stands for whole labels: "*" or "*.example.com", not "*-a.example.com"."""
    return "*" not in text or text == "*" or text.startswith("*.")


def _host(value: str) -> str:
    if not is_host_name(value, wildcard=True) and not is_ip_address(value):
        raise refusal(Finding(f'"{value}" is not a host name', _host_fix(value)))
    return value


def _host_fix(text: str) -> str:
    bare = re.sub(r"^[a-z]+://", "", text).split("/")[0]
    name, _, port = bare.partition(":")
    if port.isdigit() and is_host_name(name):
        return f"write {name}; a port has a field of its own"
    return f"write {bare}" if is_host_name(bare) else "write a DNS name such as reviews or api.example.com"


Host = Annotated[str, AfterValidator(_host)]
"""A DNS name, perhaps with a wildcard first label, or an IP address."""


def _destination_host(value: str) -> str:
    if value == "*":
        raise refusal(Finding("traffic cannot be sent to every host", "name one service"))
    return _host(value)


DestinationHost = Annotated[str, AfterValidator(_destination_host)]
"""Where requests are sent: a Host other than "*"."""


def _dns_label(value: str) -> str:
    if not is_dns_label(value):
        raise refusal(Finding(f'"{value}" is not a name', "use letters, digits and dashes, at most 63"))
    return value


DnsLabel = Annotated[str, AfterValidator(_dns_label)]


_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
"""SPIFFE-ID, section 2.1."""


def _trust_domain(value: str) -> str:
    if not _TRUST_DOMAIN.fullmatch(value):
        fix = "write small letters, digits, '.', '-' and '_', without spiffe:// and paths"
        raise refusal(Finding(f'"{value}" is no trust domain', fix))
    return value


TrustDomainName = Annotated[str, AfterValidator(_trust_domain)]


def _address(value: str) -> str:
    if not is_ip_address(value):
        raise refusal(Finding(f'"{value}" is not an IP address'))
    return value


IpAddress = Annotated[str, AfterValidator(_address)]


def _subnet(value: str) -> str:
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        raise refusal(Finding(f'"{value}" is neither an IP address nor a CIDR range')) from None
    return value


Subnet = Annotated[str, AfterValidator(_subnet)]
"""An IP address or a CIDR range."""


def _labels(value: dict[str, str]) -> dict[str, str]:
    found = [mistake for key, text in value.items() for mistake in _label_mistakes(key, text)]
    if found:
        raise refusal(*found)
    return value


def _label_mistakes(key: str, value: str) -> Iterable[Finding]:
    name = _LABEL_KEY.fullmatch(key)
    if name is None or len(name[1]) > 63:
        yield Finding(f'"{key}" is not a label name', "use letters, digits, - _ . and at most one /", at=(key,))
    if len(value) > 63 or _LABEL_VALUE.fullmatch(value) is None:
        wildcard = "a wildcard is not allowed in a label: " if "*" in value else ""
        yield Finding(f'{wildcard}"{value}" is not a label value', "use letters, digits, - _ .", at=(key,))


Labels = Annotated[dict[str, str], AfterValidator(_labels)]
"""Label names and values by Kubernetes' rules; no wildcards."""


class WorkloadSelector(PolicyModel):
    """Which workloads of the namespace: those that carry all labels; none given means all."""

    labels: Labels = Field(default_factory=dict)


class LabelSelector(PolicyModel):
    """Which workloads a security policy is for: those that carry all labels; none given means all (type.v1beta1)."""

    match_labels: Labels = Field(default_factory=dict)


_PROTOCOLS = (
    "HTTP",
    "HTTP2",
    "GRPC",
    "GRPC-Web",
    "HTTP_PROXY",
    "HTTPS",
    "TLS",
    "TCP",
    "Mongo",
    "Redis",
    "MySQL",
    "UDP",
)
_PROTOCOL_BY_NAME = {name.lower(): name for name in _PROTOCOLS}


def _protocol(value: str) -> str:
    if value and value.lower() not in _PROTOCOL_BY_NAME:
        raise refusal(Finding(f'"{value}" is not a protocol', f"write one of {', '.join(_PROTOCOLS)}"))
    return _PROTOCOL_BY_NAME.get(value.lower(), "")


Protocol = Annotated[str, AfterValidator(_protocol)]
"""A protocol in Istio's own spelling, whatever case it was written in; "" means detect it."""


def _export_to(value: tuple[str, ...]) -> tuple[str, ...]:
    return _exported(value, nobody=False)


def _service_export_to(value: tuple[str, ...]) -> tuple[str, ...]:
    return _exported(value, nobody=True)


def _exported(value: tuple[str, ...], *, nobody: bool) -> tuple[str, ...]:
    words = {".", "*", "~"} if nobody else {".", "*"}
    found = [
        Finding(f'"{entry}" is neither a namespace nor {" nor ".join(sorted(words))}', at=(index,))
        for index, entry in enumerate(value)
        if entry not in words and not is_dns_label(entry)
    ]
    found += [Finding(f'"{entry}" is listed twice', at=(i,)) for i, entry in enumerate(value) if entry in value[:i]]
    found += [
        Finding(f'"{alone}" says it all', "keep it alone, or leave it out", at=(value.index(alone),))
        for alone in ("*", "~")
        if alone in value and len(set(value)) > 1
    ]
    if found:
        raise refusal(*found)
    return value


ExportTo = Annotated[tuple[str, ...], AfterValidator(_export_to)]
"""Namespaces that may see it; "." is its own, "*" all; () is the mesh's default."""
ServiceExportTo = Annotated[tuple[str, ...], AfterValidator(_service_export_to)]
"""As ExportTo, and "~" for nobody."""


def _gateway_names(value: tuple[str, ...]) -> tuple[str, ...]:
    fix = "write the name of a Gateway, or NAMESPACE/NAME"
    found = [
        Finding(f'"{name}" is not a gateway', fix, at=(i,)) for i, name in enumerate(value) if not _is_gateway(name)
    ]
    if found:
        raise refusal(*found)
    return value


def _is_gateway(text: str) -> bool:
    namespace, slash, name = text.rpartition("/")
    return is_host_name(name) and (not slash or namespace == "." or is_dns_label(namespace))


GatewayNames = Annotated[tuple[str, ...], AfterValidator(_gateway_names)]
"""Names of Gateways, or "mesh" for all sidecars; () is the mesh where a VirtualService says so."""


def unix_path_mistakes(address: str, at: tuple[str | int, ...]) -> Iterable[Finding]:
    """What is wrong with "unix://" and the path behind it; an "@" starts an abstract socket."""
    path = address.removeprefix("unix://")
    if path.startswith("@"):
        return
    if not path.startswith("/"):
        yield Finding("a unix socket needs an absolute path", "write unix:///path/to/socket", at=at)
    elif path.endswith("/"):
        yield Finding("a unix socket may not be a directory", f"write unix://{path.rstrip('/')}", at=at)


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise refusal(Finding("must be base64 text"))
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raise refusal(Finding("is not base64", "write plain text under string instead")) from None


Base64 = Annotated[bytes, PlainValidator(_bytes)]
"""Proto-JSON's bytes: base64 text."""


def duplicates(values: Iterable[object]) -> Iterable[tuple[int, object]]:
    """(index, value) of each value that stood before."""
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index, value
        seen.add(value)
