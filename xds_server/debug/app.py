"""The debug endpoints as one ASGI application: read-only, JSON but for the pages for people, never a traceback.

The sources are asked on the event loop, where what they tell of changes. What takes long (a dump of a thousand
clusters) is then made of frozen values in a worker thread, because the streams live on the same loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import ParamSpec

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from xds_server.debug import pages
from xds_server.debug.config_dump import config_dump
from xds_server.debug.configz import config_objects
from xds_server.debug.logs import log_lines
from xds_server.debug.metrics import CONTENT_TYPE, Metrics
from xds_server.debug.sources import Sources
from xds_server.debug.syncz import sync_status
from xds_server.debug.traces import MOST_LISTED, trace_page, trace_summary, trace_tree, traces_page
from xds_server.debug.traffic import traffic_page, traffic_rows
from xds_server.debug.traffic_metrics import traffic_exposition
from xds_server.problem import Problem, Severity
from xds_server.telemetry.log_buffer import Wanted
from xds_server.telemetry.span import Trace
from xds_server.telemetry.traces import MOST_SPANS, KeptTraces, Traces

P = ParamSpec("P")


def debug_app(sources: Sources, metrics: Metrics) -> Starlette:
    """The application; `pages.ENDPOINTS` says what each endpoint is for. GET and HEAD only."""
    endpoints = _Endpoints(sources, metrics)
    answers: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/": endpoints.index,
        "/ready": endpoints.ready,
        "/healthz": endpoints.healthz,
        "/metrics": endpoints.metrics,
        "/debug/traffic": endpoints.traffic,
        "/debug/syncz": endpoints.syncz,
        "/debug/config_dump": endpoints.config_dump,
        "/debug/configz": endpoints.configz,
        "/debug/problems": endpoints.problems,
        "/debug/validation": endpoints.validation,
        "/debug/ca": endpoints.authorities,
        "/traces": endpoints.traces_page,
        "/debug/traces": endpoints.traces,
        "/debug/logs": endpoints.logs,
        "/debug/list": endpoints.list,
    }
    return Starlette(
        routes=[Route(path, answer, methods=["GET"]) for path, answer in answers.items()],
        exception_handlers={HTTPException: _refusal, Exception: _failure},
    )


class _Endpoints:
    """One method per path."""

    def __init__(self, sources: Sources, metrics: Metrics) -> None:
        self._sources = sources
        self._metrics = metrics

    async def index(self, _request: Request) -> Response:
        sources = self._sources
        return HTMLResponse(
            pages.index(
                version=sources.version,
                generation=sources.generation(),
                proxies=len(sources.proxies()),
                errors=sum(problem.severity is Severity.ERROR for problem in sources.problems()),
            )
        )

    async def ready(self, _request: Request) -> Response:
        generation = self._sources.generation()
        if not generation:
            return JSONResponse({"ready": False, "reason": "the policies are not loaded yet"}, status_code=503)
        return JSONResponse({"ready": True, "generation": generation})

    async def healthz(self, _request: Request) -> Response:
        return JSONResponse({"healthy": True})

    async def metrics(self, _request: Request) -> Response:
        own, sight, policies = self._metrics.exposition(), self._sources.traffic(), self._sources.telemetry()
        return Response(own + await run_in_threadpool(traffic_exposition, sight, policies), media_type=CONTENT_TYPE)

    async def traffic(self, request: Request) -> Response:
        sight = self._sources.traffic()
        if request.query_params.get("format") == "json":
            return await _json(traffic_rows, sight)
        return HTMLResponse(await run_in_threadpool(traffic_page, sight))

    async def syncz(self, request: Request) -> Response:
        return await _json(sync_status, self._sources.proxies(), request.query_params.get("namespace"))

    async def config_dump(self, request: Request) -> Response:
        node_id = request.query_params.get("proxyID")
        if not node_id:
            raise HTTPException(400, "say which proxy: /debug/config_dump?proxyID=NODE_ID; /debug/syncz lists them")
        snapshot = self._sources.snapshot_of(node_id)
        if snapshot is None:
            raise HTTPException(404, f"no proxy with the node id {node_id!r} is connected; /debug/syncz lists them")
        return await _json(config_dump, snapshot, self._sources.resource_json)

    async def configz(self, request: Request) -> Response:
        documents, kind = self._sources.documents(), request.query_params.get("kind")
        return await _json(config_objects, documents, kind)

    async def problems(self, _request: Request) -> Response:
        return await _json(_as_dicts, tuple(self._sources.problems()))

    async def validation(self, _request: Request) -> Response:
        return JSONResponse(asdict(self._sources.validation()))

    async def authorities(self, _request: Request) -> Response:
        return JSONResponse(self._sources.authorities())

    async def traces_page(self, request: Request) -> Response:
        traces, trace = self._traces(), self._asked_trace(request)
        if trace is not None:
            return HTMLResponse(await run_in_threadpool(trace_page, trace))
        service, failed = request.query_params.get("service", ""), request.query_params.get("failed") == "true"
        page = run_in_threadpool(_traces_page, traces.kept(), traces.received, service, failed=failed)
        return HTMLResponse(await page)

    async def traces(self, request: Request) -> Response:
        trace, asked = self._asked_trace(request), request.query_params
        if trace is not None:
            return await _json(trace_tree, trace)
        limit = _number(asked.get("limit", ""))
        most = MOST_LISTED if limit is None else min(limit, MOST_SPANS)
        service, failed = asked.get("service", ""), asked.get("failed") == "true"
        return await _json(_trace_list, self._traces().kept(), most, service=service, failed=failed)

    async def logs(self, request: Request) -> Response:
        buffer = self._sources.logs
        if buffer is None:
            raise HTTPException(404, _NOTHING_RECEIVED)
        asked = request.query_params
        failed, tail = asked.get("failed") == "true", _number(asked.get("tail", ""))
        wanted = Wanted(service=asked.get("service", ""), failed=failed, tail=tail)
        lines = log_lines(buffer, wanted, follow=asked.get("follow") == "true")
        return StreamingResponse(lines, media_type="application/jsonl")

    def _traces(self) -> Traces:
        if self._sources.traces is None:
            raise HTTPException(404, _NOTHING_RECEIVED)
        return self._sources.traces

    def _asked_trace(self, request: Request) -> Trace | None:
        """The trace that a request names; None when it names none."""
        trace_id = request.query_params.get("id")
        if trace_id is None:
            return None
        trace = self._traces().of(trace_id)
        if trace is None:
            raise HTTPException(404, f"no trace {trace_id!r} is kept; /debug/traces lists them")
        return trace

    async def list(self, _request: Request) -> Response:
        return JSONResponse([asdict(endpoint) for endpoint in pages.ENDPOINTS])


async def _json(make: Callable[P, object], *inputs: P.args, **named: P.kwargs) -> Response:
    """What `make` gives, made and written as JSON in a worker thread."""
    return await run_in_threadpool(lambda: JSONResponse(make(*inputs, **named)))


def _number(text: str) -> int | None:
    """What somebody asks for at most; None where that is no number."""
    return int(text[:_DIGITS]) if text.isdecimal() else None


def _as_dicts(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [asdict(problem) for problem in problems]


def _traces_page(kept: KeptTraces, received: int, service: str, *, failed: bool) -> str:
    return traces_page(kept.latest(MOST_LISTED, service=service, failed=failed), received, service, failed=failed)


def _trace_list(kept: KeptTraces, most: int, *, service: str, failed: bool) -> list[dict[str, object]]:
    return [trace_summary(trace) for trace in kept.latest(most, service=service, failed=failed)]


_DIGITS = 9
"""Of a number that somebody asks for: more than there can be of anything."""
_NOTHING_RECEIVED = "nothing is received; start the server with --telemetry-listen, and tell proxies by a Telemetry"


async def _refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


async def _failure(_request: Request, _error: Exception) -> Response:
    """Our own defect: uvicorn logs the traceback, the caller gets one sentence."""
    return JSONResponse({"error": "internal error; the server's log says more"}, status_code=500)
