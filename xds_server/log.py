"""Logging, set up once by the command line: structlog, one line per event, on standard error.

An event is a short fixed phrase with fields: `log.info("response sent", node_id=..., type_url=...)`. What other
libraries log through the standard library comes out in the same form. Private keys never do: every value of every
event passes `redact_keys` last.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import IO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from xds_server.settings import LogFormat, LogLevel

_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL)


def configure_logging(form: LogFormat, level: LogLevel, stream: IO[str] | None = None) -> None:
    """Set up structlog and the standard library's logging for this process; `stream` is standard error by default."""
    stream = sys.stderr if stream is None else stream
    on_terminal = stream.isatty()
    is_console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and on_terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_console else "iso", utc=not is_console),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_keys,
                structlog.dev.ConsoleRenderer(colors=on_terminal)
                if is_console
                else structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # They tell of their every step; ours say what matters of it.
    for name in ("uvicorn", "watchdog", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def redact_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: PEM private keys anywhere in an event become "[redacted private key]"."""
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item) for item in value]
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return _KEY.sub("[redacted private key]", text)
