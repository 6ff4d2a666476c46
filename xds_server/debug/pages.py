"""The plain page at `/`: every endpoint, and what it is for. The table here is the list that the routes are made of."""

from __future__ import annotations

from dataclasses import dataclass

import jinja2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `example` is its path with a query that shows what it takes."""

    path: str
    purpose: str
    example: str = ""


ENDPOINTS = (
    Endpoint("/ready", "200 once the first load is done, 503 before: for health checks that gate traffic"),
    Endpoint("/healthz", "200 while the process answers: for health checks that restart"),
    Endpoint("/metrics", "counts and latencies in Prometheus' text format"),
    Endpoint(
        "/debug/traffic",
        "who calls whom, how often, how fast and how often in vain, as the proxies tell it",
        "/debug/traffic?format=json",
    ),
    Endpoint(
        "/debug/syncz", "per proxy: what was sent, what it took, its last error", "/debug/syncz?namespace=default"
    ),
    Endpoint(
        "/debug/config_dump",
        "what one proxy is sent, in the form of Envoy's /config_dump, secrets redacted",
        "/debug/config_dump?proxyID=NODE_ID",
    ),
    Endpoint("/debug/configz", "the policy documents in force", "/debug/configz?kind=VirtualService"),
    Endpoint("/debug/problems", "what is wrong with the policies, as `xds-server check -o json` says it"),
    Endpoint("/debug/validation", "which Envoy validates changes before they are sent, and what it keeps out"),
    Endpoint("/debug/ca", "who signs certificates and who is believed, a root rotation under way, what expires when"),
    Endpoint(
        "/traces",
        "what was traced of late, a page for each trace; with --telemetry-listen",
        "/traces?service=S&failed=true",
    ),
    Endpoint(
        "/debug/traces", "the same as JSON: a list, or one trace as a tree", "/debug/traces?service=S&failed=true"
    ),
    Endpoint(
        "/debug/logs",
        "access log entries, a JSON object in each line; with follow=true each new one as it comes",
        "/debug/logs?service=S&failed=true&tail=100",
    ),
    Endpoint("/debug/list", "this list as JSON"),
)

_INDEX = jinja2.Environment(autoescape=True).from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>xds-server</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  td { padding: .3rem 1.5rem .3rem 0; vertical-align: top }
  code { font-size: .95em }
</style>
<h1>xds-server {{ version }}</h1>
<p>
{% if generation %}Serving generation {{ generation }}.{% else %}Not ready: the policies are not loaded yet.{% endif %}
{{ proxies }} connected, {{ errors }} to mend.</p>
<table>
{% for endpoint in endpoints %}
  <tr>
    <td><a href="{{ endpoint.path }}"><code>{{ endpoint.path }}</code></a></td>
    <td>{{ endpoint.purpose }}{% if endpoint.example %}<br><code>{{ endpoint.example }}</code>{% endif %}</td>
  </tr>
{% endfor %}
</table>
""")


def index(*, version: str, generation: int, proxies: int, errors: int) -> str:
    """The page as HTML.

    Args:
        version: of the server.
        generation: in force; 0 when nothing is loaded yet.
        proxies: connected streams.
        errors: problems that are errors.
    """
    return _INDEX.render(
        version=version,
        generation=generation,
        proxies=_counted(proxies, "stream", "streams"),
        errors=_counted(errors, "error", "errors"),
        endpoints=ENDPOINTS,
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
