"""/debug/traffic: who calls whom, and how that goes, as a table for people and as JSON."""

from __future__ import annotations

import jinja2

from xds_server.signals.edge import Edge, Side
from xds_server.signals.quantity import Count, Level
from xds_server.signals.window import Row, Sight, rows

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_BESIDE = (
    ("ejected_endpoints", "ejected now", True),
    ("grpc_errors", "gRPC errors", True),
    ("pending_requests", "pending now", False),
    ("retries", "retries", False),
    ("timeouts", "timeouts", False),
    ("overflows", "overflows", True),
    ("ejections", "ejections", False),
    ("connect_failures", "connections failed", True),
)
"""(field of a row, its name on the page, whether it is bad): what is 0 in most rows, and takes no column there."""

_PAGE = jinja2.Environment(autoescape=True).from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<title>traffic - xds-server</title>
<style>
  body { font: 13px/1.4 system-ui, sans-serif; margin: 1.5rem }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums }
  th, td { padding: .25rem .5rem; text-align: right; vertical-align: top; white-space: nowrap }
  th { border-bottom: 1px solid #999; font-weight: 600 }
  .name { text-align: left; white-space: normal; overflow-wrap: anywhere }
  td.name { min-width: 7rem }
  .told { text-align: left }
  .group { border-left: 1px solid #bbb }
  tbody tr:nth-child(even) { background: #f4f4f4 }
  .bad { color: #b00020; font-weight: 600 }
  .quiet { color: #777 }
  span { white-space: nowrap }
</style>
<h1>Traffic</h1>
<p>As {{ reporters }} {{ "proxy tells" if reporters == 1 else "proxies tell" }} it,
those with the most errors first; {{ table|length }} {{ "pair" if table|length == 1 else "pairs" }}{% if folded %},
<b>and more that are counted together as &ldquo;other&rdquo;: see --traffic-edges</b>{% endif %}.
Times are milliseconds. <a href="?format=json">As JSON</a>, <a href="/">everything else</a>.</p>
<table>
<thead>
  <tr>
    <th colspan="3" class="name">calls</th>
    <th colspan="5" class="group">in the last {{ seconds }} s</th>
    <th colspan="2" class="group">now</th>
    <th colspan="4" class="group">since the server started</th>
  </tr>
  <tr>
    <th class="name">from</th><th class="name">to</th><th class="told">told by</th>
    <th class="group">requests/s</th><th>errors</th><th>p50</th><th>p95</th><th>p99</th>
    <th class="group">active</th><th>open conn.</th>
    <th class="group">requests</th><th>errors</th><th>mTLS</th><th class="name">and what else</th>
  </tr>
</thead>
<tbody>
{% for row in table %}
  <tr>
    <td class="name">{{ row.source }}</td>
    <td class="name">{{ row.destination }}
      {%- if row.version %} <span class="quiet">{{ row.version }}</span>{% endif %}</td>
    <td class="told quiet">{{ row.reporter }}</td>
    <td class="group">{{ "%.1f"|format(row.requests_per_second) }}</td>
    <td{% if row.error_rate %} class="bad"{% endif %}>
      {%- if row.error_rate is none %}-{% else %}{{ "%.1f"|format(row.error_rate * 100) }} %{% endif -%}</td>
    {%- for name in ("p50", "p95", "p99") %}
    <td>{% if row[name] is none %}-
      {%- else %}{{ ("%.3g" if row[name] < 100 else "%.0f")|format(row[name]) }}{% endif %}</td>
    {%- endfor %}
    <td class="group">{{ row.active_requests }}</td><td>{{ row.active_connections }}</td>
    <td class="group">{{ row.requests }}</td>
    <td{% if row.errors %} class="bad"{% endif %}>{{ row.errors }}</td>
    <td>{% if row.tls_share is none %}-{% else %}{{ "%.0f"|format(row.tls_share * 100) }} %{% endif %}</td>
    <td class="name">
    {%- for key, words, bad in beside if row[key] %}
      <span{% if bad %} class="bad"{% endif %}>{{ words }} {{ row[key] }}</span>
    {%- endfor %}</td>
  </tr>
{% else %}
  <tr><td colspan="14" class="name">No proxy has told of any traffic. They do when their bootstrap says so:
    <code>xds-server bootstrap</code> writes that unless told otherwise by <code>--metrics-interval 0</code>.</td></tr>
{% endfor %}
</tbody>
</table>
""")


def traffic_page(sight: Sight) -> str:
    """The table as HTML; it loads itself again every 5 s."""
    return _PAGE.render(
        table=traffic_rows(sight),
        beside=_BESIDE,
        seconds=round(sight.seconds),
        folded=sight.folded,
        reporters=sight.reporters,
    )


def traffic_rows(sight: Sight) -> list[dict[str, object]]:
    """The table as JSON: one object for each pair and side. Times in milliseconds; what is not known is None."""
    return [_row(row) for row in rows(sight)]


def _row(row: Row) -> dict[str, object]:
    return {
        "source": _source(row.edge),
        "destination": row.edge.destination,
        "version": row.edge.version,
        "reporter": str(row.edge.side),
        "seconds": row.seconds,
        "requests_per_second": row.per_second,
        "error_rate": row.error_rate,
        **{name: row.recent.quantile(part) for name, part in _QUANTILES.items()},
        "active_requests": row.level(Level.ACTIVE_REQUESTS),
        "active_connections": row.level(Level.ACTIVE_CONNECTIONS),
        "pending_requests": row.level(Level.PENDING_REQUESTS),
        "ejected_endpoints": row.level(Level.EJECTED_ENDPOINTS),
        "requests": row.total.requests,
        "errors": row.errors,
        "grpc_errors": row.total.grpc_errors,
        "retries": row.count(Count.RETRIES),
        "timeouts": row.count(Count.TIMEOUTS),
        "overflows": row.overflows,
        "ejections": row.count(Count.EJECTIONS),
        "connect_failures": row.count(Count.CONNECT_FAILURES),
        "connections": row.count(Count.CONNECTIONS) + row.count(Count.OPAQUE_CONNECTIONS),
        "request_bytes": row.count(Count.REQUEST_BYTES),
        "response_bytes": row.count(Count.RESPONSE_BYTES),
        "tls_share": row.tls_share,
    }


def _source(edge: Edge) -> str:
    """Istio's form of a workload's name; where only the destination tells, nobody's."""
    return edge.source if edge.side is Side.DESTINATION else f"{edge.source}.{edge.source_namespace}"
