"""Log lines: one form for everybody's events, and never a private key."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from xds_server.log import configure_logging, redact_keys
from xds_server.settings import LogFormat, LogLevel

CANARY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged as JSON during a test; logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.INFO, stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_an_event_is_one_json_object_with_its_fields(lines: io.StringIO) -> None:
    structlog.get_logger("xds_server.test").info("response sent", node_id="n", resources=3)

    event = json.loads(lines.getvalue())
    assert event["event"] == "response sent"
    assert (event["node_id"], event["resources"], event["level"]) == ("n", 3, "info")
    assert event["logger"] == "xds_server.test"
    assert event["timestamp"].endswith("Z")


def test_other_libraries_log_in_the_same_form(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("Started on %s", "port")

    event = json.loads(lines.getvalue())
    assert (event["event"], event["level"]) == ("Started on port", "warning")


def test_what_is_below_the_level_is_not_written(lines: io.StringIO) -> None:
    structlog.get_logger().debug("quiet")
    logging.getLogger("uvicorn.error").info("Started server process")

    assert lines.getvalue() == ""


def test_console_form_is_no_json() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(LogFormat.CONSOLE, LogLevel.INFO, stream)
    structlog.get_logger().info("policies loaded", documents=3)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()

    assert "policies loaded" in stream.getvalue()
    assert "documents=3" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    "value",
    [
        PEM,
        PEM.encode(),
        PEM.replace("\n", "\\n"),
        f"text around {PEM} goes on",
        PEM[: len(PEM) // 2],
        {"nested": [PEM]},
        (PEM,),
        ValueError(PEM),
    ],
    ids=["text", "bytes", "escaped", "inside", "cut-off", "nested", "tuple", "exception"],
)
def test_private_key_is_redacted_wherever_it_stands(value: object) -> None:
    """Envoy's refusal of a Secret quotes the whole key; so may an exception."""
    event = redact_keys(None, "info", {"event": "x", "value": value})

    assert CANARY not in repr(event)
    assert "[redacted private key]" in repr(event)


def test_private_key_in_a_traceback_is_redacted(lines: io.StringIO) -> None:
    try:
        raise ValueError(PEM)
    except ValueError:
        structlog.get_logger().exception("signing failed")

    event = json.loads(lines.getvalue())
    assert "Traceback" in event["exception"]
    assert CANARY not in lines.getvalue()


def test_certificates_are_not_secret() -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"

    assert redact_keys(None, "info", {"event": certificate}) == {"event": certificate}
