"""/traces and /debug/traces: what was traced of late, and one trace as a tree, as pages and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import jinja2

from xds_server.telemetry.span import Branch, Span, Trace

MOST_LISTED = 100

_PAGES = jinja2.Environment(autoescape=True)
_STYLE = """\
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% }
  th { text-align: left; font-weight: 600 }
  td, th { padding: .25rem 1rem .25rem 0; vertical-align: middle; border-bottom: 1px solid #8883 }
  .number { text-align: right; font-variant-numeric: tabular-nums }
  .lane { width: 40%; padding-right: 0 }
  .bar { height: .7rem; min-width: 2px; background: #4a7ebb; border-radius: 2px }
  .failed { color: #b3261e }
  .failed .bar { background: #b3261e }
  .name { white-space: nowrap }
  code { font-size: .95em }
</style>
"""
_PAGES.globals["style"] = _STYLE
_LIST = _PAGES.from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>traces</title>
{{ style|safe }}
<h1>Traces</h1>
<p>{{ received }} spans received, the latest {{ traces|length }} traces{% if failed %} that failed{% endif %}
{%- if service %} of {{ service }}{% endif %}.
{% if failed %}<a href="/traces?{{ {"service": service}|urlencode }}">whether they failed or not</a>
{%- else %}<a href="/traces?{{ {"service": service, "failed": "true"}|urlencode }}">only what failed</a>{% endif %},
<a href="/debug/traces?{{ {"service": service, "failed": failed|lower}|urlencode }}">as JSON</a>,
<a href="/">everything else</a></p>
<table>
<tr><th>began<th>what<th>services<th class="number">spans<th class="number">took
{% for trace in traces %}
<tr{% if trace.failed %} class="failed"{% endif %}>
  <td>{{ trace.began }}</td>
  <td><a href="/traces?id={{ trace.id }}">{{ trace.name or trace.id }}</a>{% if trace.failed %} failed{% endif %}</td>
  <td>{{ trace.services|join(", ") }}</td>
  <td class="number">{{ trace.spans }}</td>
  <td class="number">{{ "%.2f"|format(trace.milliseconds) }} ms</td>
</tr>
{% else %}
<tr><td colspan="5">{% if service or failed %}None of those that are kept. {% endif -%}
{% if not received %}No proxy has told of one. They do when a Telemetry or MeshConfig names a provider of spans for them
that leads here, for the share of requests that it says: 1 % by default.{% endif %}</td></tr>
{% endfor %}
</table>
""")
_TREE = _PAGES.from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>trace {{ trace.id }}</title>
{{ style|safe }}
<h1>Trace <code>{{ trace.id }}</code></h1>
<p>{{ trace.began }}, {{ "%.2f"|format(trace.milliseconds) }} ms, {{ trace.spans }} spans.
<a href="/traces">all</a> <a href="/debug/traces?id={{ trace.id }}">JSON</a></p>
<table>
<tr><th>service<th>operation<th>status<th class="number">took<th class="lane">
{% for row in rows %}
<tr{% if row.failed %} class="failed"{% endif %}>
  <td class="name" style="padding-left: {{ row.depth * 1.5 }}rem">{{ row.service }} <small>{{ row.kind }}</small></td>
  <td>{{ row.name }}</td>
  <td>{{ row.status }}{% if row.failed %} failed{% endif %}
    {%- if row.why %}<br><small>{{ row.why }}</small>{% endif %}</td>
  <td class="number">{{ "%.2f"|format(row.milliseconds) }} ms</td>
  <td class="lane">
    <div class="bar" style="margin-left: {{ row.left|round(2) }}%; width: {{ row.width|round(2) }}%"></div>
  </td>
</tr>
{% endfor %}
</table>
""")


def traces_page(traces: Iterable[Trace], received: int, service: str, *, failed: bool = False) -> str:
    """The list as HTML; `failed` says that it has only what did."""
    return _LIST.render(
        traces=[trace_summary(trace) for trace in traces], received=received, service=service, failed=failed
    )


def trace_page(trace: Trace) -> str:
    """One trace as HTML."""
    rows = [_row(branch, trace) for tree in trace.trees() for branch in tree]
    return _TREE.render(trace=trace_summary(trace), rows=rows)


def trace_summary(trace: Trace) -> dict[str, object]:
    """What the list says of a trace."""
    return {
        "id": trace.trace_id,
        "began": datetime.fromtimestamp(trace.start / 1e9, UTC).isoformat(timespec="milliseconds"),
        "name": trace.spans[0].name,
        "services": list(trace.services),
        "spans": len(trace.spans),
        "milliseconds": _milliseconds(trace.end - trace.start),
        "failed": trace.failed,
    }


def trace_tree(trace: Trace) -> dict[str, object]:
    """One trace, its spans as trees: more than one where the span that led to some is not known."""
    return {**trace_summary(trace), "trees": [_tree(branch, trace.start) for branch in trace.trees()]}


def _tree(branch: Branch, start: int) -> dict[str, object]:
    span = branch.span
    return {
        "id": span.span_id,
        "parent": span.parent_id,
        "service": span.service,
        "name": span.name,
        "kind": str(span.kind),
        "status": span.status,
        "failed": span.failed,
        "why": list(span.why),
        "after_milliseconds": _milliseconds(span.start - start),
        "milliseconds": _milliseconds(span.end - span.start),
        "tags": dict(span.tags),
        "children": [_tree(child, start) for child in branch.children],
    }


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the page; `left` and `width` are percent of the whole trace."""

    depth: int
    service: str
    kind: str
    name: str
    status: str
    failed: bool
    why: str
    milliseconds: float
    left: float
    width: float


def _row(branch: Branch, trace: Trace) -> _Row:
    span, whole = branch.span, max(trace.end - trace.start, 1)
    return _Row(
        depth=branch.depth,
        service=span.service,
        kind=str(span.kind),
        name=span.name,
        status=span.status,
        failed=span.failed,
        why="; ".join(span.why),
        milliseconds=_took(span),
        left=100 * (span.start - trace.start) / whole,
        width=100 * (span.end - span.start) / whole,
    )


def _took(span: Span) -> float:
    return _milliseconds(span.end - span.start)


def _milliseconds(nanoseconds: int) -> float:
    return nanoseconds / 1e6
