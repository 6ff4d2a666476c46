"""Shapes that several kinds use."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from xds_server.policy.model import Finding
from xds_server.policy.values import (
    Base64,
    Bool,
    DestinationHost,
    Duration,
    DurationOrZero,
    ExportTo,
    Host,
    Int,
    Labels,
    Percent,
    PortNumber,
    Protocol,
    Regex,
    ServiceExportTo,
    StringMatch,
    Subnet,
    duplicates,
    is_host_name,
    parse_duration,
    unix_path_mistakes,
)


def read(kind: Any, value: object) -> object:
    return TypeAdapter(kind).validate_python(value)


def said(kind: object, value: object) -> list[Finding]:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return [finding for error in caught.value.errors() for finding in error["ctx"]["findings"]]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("1h2m", 3720),
        ("1h1m1s", 3661),
        (".5s", 0.5),
        ("0s", 0),
        ("0", 0),
        ("1000us", 0.001),
        ("2000000ns", 0.002),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "10 s", "-1s", "1d", "1s2", "1,5s", "99999999999999999h", "1.000000001s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        parse_duration(text)


def test_a_bare_number_is_told_its_unit() -> None:
    assert said(Duration, 5)[0].fix == "write 5s"
    assert said(Duration, "30")[0].fix == "write 30s"


def test_durations_start_at_a_millisecond_and_count_in_them() -> None:
    assert said(Duration, "0s")[0].message == "must be 1ms or longer"
    assert said(Duration, "1500us")[0].message == "must be whole milliseconds"
    assert said(Duration, "1.6ms")[0].fix == "write 2ms"
    assert said(DurationOrZero, "100us")[0].fix == "write 1ms"
    assert read(DurationOrZero, "0s") == timedelta()


@pytest.mark.parametrize("value", [0, 65536, -1])
def test_a_port_is_1_to_65535(value: int) -> None:
    with pytest.raises(ValidationError):
        read(PortNumber, value)


@pytest.mark.parametrize(("kind", "value"), [(Int, True), (Int, "5"), (Int, 5.0), (Int, -1), (Bool, "true"), (Bool, 1)])
def test_numbers_and_booleans_are_not_guessed(kind: object, value: object) -> None:
    with pytest.raises(ValidationError):
        read(kind, value)


def test_percent_is_a_fraction_of_a_hundred() -> None:
    assert Percent(value=0.1).value == 0.1
    for value in (100.1, -1, float("nan"), 0.00001):
        with pytest.raises(ValidationError):
            Percent(value=value)


def test_a_string_match_takes_one_form() -> None:
    with pytest.raises(ValidationError):
        StringMatch(exact="a", prefix="b")


def test_an_empty_string_match_asks_for_presence() -> None:
    assert StringMatch().is_present_match
    assert not StringMatch(exact="").is_present_match


@pytest.mark.parametrize("pattern", [".*", r"^(?i)a\d+\z", r"\pL+", "[[:alpha:]]"])
def test_regular_expressions_are_re2(pattern: str) -> None:
    assert read(Regex, pattern) == pattern


@pytest.mark.parametrize("pattern", ["(a", "a(?=b)", r"(a)\1", "*"])
def test_what_re2_cannot_run_is_refused(pattern: str) -> None:
    assert said(Regex, pattern)[0].message.startswith("is not an RE2 regular expression: ")


@pytest.mark.parametrize(
    "host", ["a", "a.b.svc.cluster.local", "*", "*.example.com", "*x", "10.0.0.1", "my_service", "a."]
)
def test_host_names(host: str) -> None:
    assert read(Host, host) == host


@pytest.mark.parametrize("host", ["", "a..b", "-a", "a b", "a.*", "x" * 64, ".".join(["abc"] * 70)])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    assert said(Host, host)


@pytest.mark.parametrize(
    ("host", "fix"),
    [("http://a.b/c", "write a.b"), ("a:80", "write a; a port has a field of its own")],
)
def test_a_url_is_told_its_host(host: str, fix: str) -> None:
    assert said(Host, host)[0].fix == fix


def test_traffic_goes_to_one_host() -> None:
    assert said(DestinationHost, "*")[0].message == "traffic cannot be sent to every host"
    assert not is_host_name("*.a")


def test_labels_are_kubernetes_own() -> None:
    good = {"app": "a", "topology.istio.io/zone": "z-1", "empty": ""}

    assert read(Labels, good) == good
    assert [finding.at for finding in said(Labels, {"a b": "", "c": "*", "d": "x" * 64})] == [("a b",), ("c",), ("d",)]


@pytest.mark.parametrize(
    ("written", "name"), [("http", "HTTP"), ("grpc-web", "GRPC-Web"), ("MONGO", "Mongo"), ("", "")]
)
def test_protocols_are_named_in_any_case(written: str, name: str) -> None:
    assert read(Protocol, written) == name


def test_an_unknown_protocol_is_refused() -> None:
    assert said(Protocol, "HTTP3")[0].message == '"HTTP3" is not a protocol'


@pytest.mark.parametrize("value", [["*", "a"], ["a", "a"], ["~"], ["A_b"]])
def test_export_to_is_namespaces_or_everybody(value: list[str]) -> None:
    assert said(ExportTo, value)


def test_a_service_can_be_exported_to_nobody_alone() -> None:
    assert read(ServiceExportTo, ["~"]) == ("~",)
    assert said(ServiceExportTo, ["~", "."])


def test_subnets_are_addresses_or_ranges() -> None:
    assert read(Subnet, "10.0.0.0/8") == "10.0.0.0/8"
    assert read(Subnet, "2001:db8::1") == "2001:db8::1"
    assert said(Subnet, "10.0.0.0/99")


def test_base64_is_bytes() -> None:
    assert read(Base64, "aGk=") == b"hi"
    assert said(Base64, "not base64!")


@pytest.mark.parametrize(
    ("address", "wrong"), [("unix:///a/b", 0), ("unix://@a", 0), ("unix://a", 1), ("unix:///a/", 1)]
)
def test_unix_sockets_have_absolute_paths(address: str, wrong: int) -> None:
    assert len(list(unix_path_mistakes(address, ()))) == wrong


def test_duplicates_name_the_later_one() -> None:
    assert list(duplicates(["a", "b", "a", "a"])) == [(2, "a"), (3, "a")]
