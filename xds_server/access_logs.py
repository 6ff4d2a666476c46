"""`xds-server logs`: the access log entries that a running server has, a line for each, with what their flags mean.

What callers chose, such as a path, is printed without anything that a terminal would obey.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from xds_server.errors import ConfigurationError
from xds_server.settings import Address
from xds_server.telemetry.log_buffer import ALL, Wanted
from xds_server.telemetry.response_flags import BY_SHORT, in_words

Entry = Mapping[str, Any]
"""One entry, as /debug/logs has it."""
_WELL = {"", "OK"}
"""Statuses of gRPC that are nothing to speak of."""
_IN_WORDS = {"via_upstream": "the service answered so"}
"""Envoy's words for why it answered as it did that say little to others."""
_PATIENCE = 10.0
"""Seconds to wait for a server that is not followed."""


def entries(server: Address, *, wanted: Wanted = ALL, follow: bool = False) -> Iterator[Entry]:
    """What a server's debug port tells of those that are wanted; with `follow` for as long as it runs.

    Raises:
        ConfigurationError: there is no server, it receives nothing, or it ended while it was followed.
    """
    asked = {"service": wanted.service, "failed": str(wanted.failed).lower(), "follow": str(follow).lower()}
    query = asked if wanted.tail is None else {**asked, "tail": str(wanted.tail)}
    with _opened(server, urllib.parse.urlencode(query), None if follow else _PATIENCE) as answer:
        try:
            yield from map(json.loads, answer)
        except (http.client.HTTPException, OSError, json.JSONDecodeError):
            raise _gone(server) from None
    if follow:
        raise _gone(server)


def _opened(server: Address, query: str, patience: float | None) -> http.client.HTTPResponse:
    url = f"http://{server}/debug/logs?{query}"
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=patience)
    except urllib.error.HTTPError as error:
        raise ConfigurationError(f"http://{server}/: {_reason(error)}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConfigurationError(f"no server answers at {server} ({reason}); say where: --server HOST:PORT") from None
    except http.client.HTTPException:
        message = f"what answers at {server} is no debug port; say where that is: --server HOST:PORT"
        raise ConfigurationError(message) from None
    return answer


def _gone(server: Address) -> ConfigurationError:
    return ConfigurationError(f"the server at {server} has gone in the middle; what comes next is not heard")


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return str(error)


def line(entry: Entry) -> Text:
    """When, between whom, what, how it ended, how long it took; and why, where something went wrong."""
    at = datetime.fromtimestamp(entry["time"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    text = Text.assemble(
        (at, "dim"), "  ", _status(entry), "  ", (f"{entry['seconds'] * 1000:7.1f} ms", "dim"), "  ", _between(entry),
        "  ", _what(entry),
    )  # fmt: skip
    why = [*(f"{flag} {in_words(flag)}{_look(flag)}" for flag in entry["flags"]), *_said(entry)]
    if why:
        text.append("\n" + " " * 14)
        text.append("; ".join(_plain(each) for each in why), "yellow")
    return text


def _status(entry: Entry) -> tuple[str, str]:
    status = int(entry["status"])
    is_refusal = status >= 400 or entry["grpc"] not in _WELL
    style = "bold red" if entry["failed"] else "yellow" if is_refusal else "green"
    return f"{status or '-':>3}", style


def _between(entry: Entry) -> Text:
    """Who sent it to whom; of what came in plainly the proxy knows the caller's address alone."""
    own = _plain(entry["service"]).removesuffix(".default")
    if str(entry["cluster"]).startswith("inbound|"):
        return Text.assemble((own, "bold"), " ← ", _plain(entry["principal"] or entry["caller"]))
    return Text.assemble(own, " → ", (_plain(entry["called"]) or "nowhere", "bold"))


def _what(entry: Entry) -> str:
    if entry["protocol"] == "TCP" or not entry["method"]:
        return f"{entry['protocol'] or 'connection'}, {entry['received']} bytes in, {entry['sent']} out"
    tries = f"  ({entry['attempts']} attempts)" if entry["attempts"] > 1 else ""
    return f"{entry['method']} {_plain(entry['path'])}{tries}"


def _look(flag: str) -> str:
    found = BY_SHORT.get(flag)
    return f" ({found.look})" if found and found.look else ""


def _said(entry: Entry) -> Iterator[str]:
    """Why it was answered so, where it failed: that the service said so, or Envoy's own words."""
    if entry["grpc"] not in _WELL:
        yield f"gRPC {entry['grpc']}" + (f": {entry['grpc_message']}" if entry["grpc_message"] else "")
    if entry["failed"]:
        yield from (_IN_WORDS.get(entry[name], str(entry[name])) for name in ("details", "failure") if entry[name])


def _plain(text: object) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(text))
