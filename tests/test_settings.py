"""What an operator may set, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from xds_server.errors import ConfigurationError
from xds_server.settings import Address, Authentication, Endpoint, LogFormat, Settings
from xds_server.xds.type_url import PUSH_ORDER, ROUTE, SHORT_NAMES

ROOT = Path("policies")


def test_defaults_are_istios_ports_on_loopback() -> None:
    settings = Settings.of(policies=(ROOT,))

    assert str(settings.listen) == "127.0.0.1:15010"
    assert str(settings.debug_listen) == "127.0.0.1:15014"
    assert (settings.debounce, settings.debounce_ceiling) == (0.1, 10.0)
    assert settings.log_format is LogFormat.AUTO


def test_changes_are_validated_and_gated_unless_told_otherwise() -> None:
    settings = Settings.of(policies=(ROOT,))

    assert (settings.gate, settings.validation, settings.envoy) == (True, True, None)


def test_none_means_the_default() -> None:
    assert Settings.of(policies=(ROOT,), listen=None, debounce=None) == Settings.of(policies=(ROOT,))


def test_settings_cannot_be_changed() -> None:
    settings = Settings.of(policies=(ROOT,))

    with pytest.raises(ValidationError, match="frozen"):
        settings.insecure = True  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:15010", "127.0.0.1", 15010), ("[::1]:0", "::1", 0), ("xds-server:15010", "xds-server", 15010)],
)
def test_address_is_host_and_port(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["15010", ":15010", "localhost", "::1:15010", "a:b", "a:70000", "a:-1", ""])
def test_what_is_no_address_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--listen: .*(HOST:PORT|port between)"):
        Settings.of(policies=(ROOT,), listen=text)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://collector:4317", Endpoint(Address("collector", 4317), is_tls=False)),
        ("http://collector/", Endpoint(Address("collector", 4317), is_tls=False)),
        ("https://[::1]:443", Endpoint(Address("::1", 443), is_tls=True)),
    ],
)
def test_a_collector_is_named_by_a_url(text: str, endpoint: Endpoint) -> None:
    assert Settings.of(policies=(ROOT,), otlp_endpoint=text).otlp_endpoint == endpoint


@pytest.mark.parametrize(
    "text", ["collector:4317", "http://", "http://a:b", "http://a/v1/traces", "ftp://a:1", "http://me:secret@a:1", ""]
)
def test_what_is_no_url_of_a_collector_is_refused_without_repeating_it(text: str) -> None:
    """Somebody may have put a password into it."""
    with pytest.raises(ConfigurationError, match="--otlp-endpoint: it is no address of a collector") as refused:
        Settings.of(policies=(ROOT,), otlp_endpoint=text)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert Settings.of(policies=(ROOT,), listen=f"{host}:1").listen.is_loopback


@pytest.mark.parametrize("flag", ["listen", "debug_listen", "telemetry_listen"])
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "xds-server"])
def test_other_machines_are_served_unasked_only_when_told_to(flag: str, host: str) -> None:
    """An accident must not publish a mesh."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.of(policies=(ROOT,), auth=Authentication.NONE, **{flag: f"{host}:15010"})

    assert f"--{flag.replace('_', '-')} {host}:15010" in str(refused.value)
    assert "127.0.0.1:15010" in str(refused.value)
    assert "--insecure" in str(refused.value)
    assert Settings.of(policies=(ROOT,), insecure=True, **{flag: f"{host}:15010"}).insecure


@pytest.mark.parametrize(
    ("listen", "advice"),
    [("127.0.0.1:15010", "add --insecure if"), ("0.0.0.0:15010", "add --insecure --auth certificate if")],
)
def test_advice_to_open_another_port_does_not_open_the_xds_port(listen: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Settings.of(policies=(ROOT,), listen=listen, telemetry_listen="0.0.0.0:4317")


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ({}, Authentication.NONE),
        ({"listen": "0.0.0.0:1"}, Authentication.CERTIFICATE),
        ({"listen": "0.0.0.0:1", "insecure": True}, Authentication.NONE),
        ({"listen": "0.0.0.0:1", "insecure": True, "auth": Authentication.CERTIFICATE}, Authentication.CERTIFICATE),
        ({"auth": Authentication.TOKEN}, Authentication.TOKEN),
    ],
    ids=str,
)
def test_envoys_from_other_machines_need_certificates_unless_told_otherwise(
    values: dict[str, object], how: Authentication
) -> None:
    assert Settings.of(policies=(ROOT,), **values).authentication is how


def test_state_is_kept_where_the_users_other_programs_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")

    assert Settings.of(policies=(ROOT,)).state_dir == Path("/state/xds-server")


def test_trust_domain_and_its_aliases_are_one_value() -> None:
    trust = Settings.of(policies=(ROOT,), trust_domain="new.org", trust_domain_aliases=("old.org",)).trust

    assert tuple(trust) == ("new.org", "old.org")
    with pytest.raises(ConfigurationError, match=r"--trust-domain: 'A B'"):
        Settings.of(policies=(ROOT,), trust_domain="A B")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("debounce", -1),
        ("scan_interval", 0),
        ("max_delete_fraction", 0),
        ("max_delete_fraction", 1.5),
        ("policies", ()),
    ],
)
def test_impossible_values_are_refused_by_their_flag(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"--{name.replace('_', '-')}: "):
        Settings.of(**{"policies": (ROOT,), name: value})


def test_ceiling_below_the_delay_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--debounce-ceiling"):
        Settings.of(policies=(ROOT,), debounce=5, debounce_ceiling=1)


@pytest.mark.parametrize("order", ["SDS,CDS,EDS,LDS,RDS", "CDS,EDS,SDS,LDS,RDS"])
def test_secrets_may_be_pushed_at_any_place(order: str) -> None:
    settings = Settings.of(policies=(ROOT,), push_order=order)

    assert [SHORT_NAMES[url] for url in settings.types_in_order] == order.split(",")


def test_pushes_leave_in_the_order_of_the_specification_unless_told_otherwise() -> None:
    assert Settings.of(policies=(ROOT,)).types_in_order == PUSH_ORDER


@pytest.mark.parametrize("order", ["CDS,EDS,LDS,RDS", "CDS,EDS,LDS,RDS,RDS", "CDS,EDS,LDS,RDS,SDS,VHDS", "", "cds"])
def test_push_order_names_each_type_once(order: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--push-order: .* must name each of CDS, EDS, LDS, RDS, SDS once"):
        Settings.of(policies=(ROOT,), push_order=order)


def test_push_order_that_would_drop_requests_takes_a_second_word() -> None:
    routes_first = {"policies": (ROOT,), "push_order": "RDS,CDS,EDS,LDS,SDS"}

    with pytest.raises(ConfigurationError, match="RDS must not come before CDS, unless there is no gate"):
        Settings.of(**routes_first)
    assert Settings.of(**routes_first, gate=False).types_in_order[0] == ROUTE


def test_endpoints_never_come_before_their_clusters() -> None:
    """Clusters would warm for 15 s each time."""
    with pytest.raises(ConfigurationError, match="EDS must not come before CDS"):
        Settings.of(policies=(ROOT,), push_order="EDS,CDS,LDS,RDS,SDS", gate=False)
