"""The endpoint as an ASGI application: finds the route, checks the token, turns errors into responses.

Receives every request before the application that BentoML makes, and passes on the routes that it does not have.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving.doors.context import Context
from serving.http import bento, oip, rest
from serving.http.messages import Gone, Receive, Request, Response, Scope, Send, json_response, refusal
from serving.http.openapi import document
from serving.http.page import PAGE
from serving.problems import RequestRefused

Handler = Callable[[Context, Request], Awaitable[Response]]
_MOST_PATHS, _LONGEST_PATH = 10_000, 200  # whose routes are cached; characters of one
_OWN_ONLY = b"default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_log = logging.getLogger("serving.http.app")


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    open: bool  # no token needed


class Match(NamedTuple):
    handlers: dict[str, Route]  # by method
    params: tuple[str, ...]


async def alive(context: Context, request: Request) -> Response:
    return Response(b"\n", type=b"text/plain")


async def ready(context: Context, request: Request) -> Response:
    """503 while there is no model to serve, and while the worker drains. A model's own trouble is listed."""
    content = {"ready": context.ready, "draining": context.draining}
    troubles = {name: trouble.reason for name, trouble in context.models.troubles.items()}
    return json_response(content | {"troubles": troubles | context.shut}, status=200 if context.ready else 503)


async def metrics(context: Context, request: Request) -> Response:
    content = await asyncio.to_thread(context.metrics.text)
    return Response(content, type=CONTENT_TYPE_LATEST.encode())


async def openapi(context: Context, request: Request) -> Response:
    return json_response(document(context.models))


async def docs(context: Context, request: Request) -> Response:
    """The page says nothing of a model: it asks for openapi.json as its reader, with the reader's token."""
    return Response(PAGE, type=b"text/html; charset=utf-8", headers=((b"content-security-policy", _OWN_ONLY),))


async def start(context: Context, request: Request) -> Response:
    return Response(b"", status=307, type=b"text/plain", headers=((b"location", b"/docs"),))


def _route(method: str, path: str, handler: Handler, *, open: bool = False) -> Route:
    return Route(method, re.compile(path.replace("{}", "([^/]+)")), handler, open)


ROUTES = (
    _route("POST", "/v1/models/{}/predict", rest.predict),
    _route("POST", "/v1/models/{}/explain", rest.explained),
    _route("POST", "/v1/models/{}/feedback", rest.feedback),
    _route("GET", "/v1/models/{}/card", rest.card),
    _route("POST", "/predict", bento.predict),
    _route("POST", "/explain", bento.explained),
    _route("POST", "/feedback", bento.feedback),
    _route("GET", "/releases", rest.releases),
    _route("GET", "/v2", oip.server),
    _route("GET", "/v2/health/live", oip.live, open=True),
    _route("GET", "/v2/health/ready", oip.ready, open=True),
    _route("GET", "/v2/models/stats", oip.statistics),
    _route("POST", "/v2/repository/index", oip.repository),
    _route("POST", "/v2/models/{}/infer", oip.infer),
    _route("POST", "/v2/models/{}/versions/{}/infer", oip.infer),
    _route("GET", "/v2/models/{}/ready", oip.model_ready),
    _route("GET", "/v2/models/{}/versions/{}/ready", oip.model_ready),
    _route("GET", "/v2/models/{}/stats", oip.statistics),
    _route("GET", "/v2/models/{}/versions/{}/stats", oip.statistics),
    _route("GET", "/v2/models/{}", oip.model),
    _route("GET", "/v2/models/{}/versions/{}", oip.model),
    _route("GET", "/livez", alive, open=True),
    _route("GET", "/healthz", alive, open=True),
    _route("GET", "/readyz", ready, open=True),
    _route("GET", "/metrics", metrics),
    _route("GET", "/openapi.json", openapi),
    _route("GET", "/docs", docs, open=True),
    _route("GET", "/", start, open=True),
)


_PREDICTIONS = (rest.predict, oip.infer)  # a refusal of any other route leaves no request without its prediction


class EndpointApplication:
    """`worker` makes its parts when the server starts; `inner` answers the routes that are not ours."""

    def __init__(self, inner: Any, worker: Any) -> None:
        self._inner, self._worker = inner, worker
        self._paths: dict[str, Match] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
            return
        path = scope["path"]
        found = self._paths.get(path) or self._find(path)
        if scope["type"] != "http" or not found.handlers:
            await self._pass_on(scope, receive, send)
            return
        context: Context = self._worker.context
        request = Request(scope, receive, found.params)
        if context.arrived is not None:
            context.arrived(request.headers.get(b"traceparent"), request.headers.get(b"tracestate"))
        try:
            response = await _answer(context, request, found)
        except Gone:
            return
        if context.draining:
            response.close = True
        await response.send(send)

    def _find(self, path: str) -> Match:
        handlers, params = {}, ()
        for route in ROUTES:
            match = route.pattern.fullmatch(path)
            if match and route.method not in handlers:
                handlers[route.method] = route
                params = params or match.groups()  # the server has decoded them
        found = Match(handlers, params)
        if handlers and len(path) <= _LONGEST_PATH:
            if len(self._paths) >= _MOST_PATHS:
                self._paths.clear()
            self._paths[path] = found
        return found

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """BentoML's own routes, behind the same tokens."""
        if scope["type"] == "http":
            try:
                self._worker.context.tokens.check(dict(scope["headers"]).get(b"authorization"))
            except RequestRefused as err:
                await refusal(err).send(send)
                return
        await self._inner(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Our parts start after BentoML's and end before them."""

        async def receiving() -> Any:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._worker.stop()
            return message

        async def sending(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._worker.start()
            await send(message)

        await self._inner(scope, receiving, sending)


async def _answer(context: Context, request: Request, found: Match) -> Response:
    route = found.handlers.get(request.method)
    if route is None:
        if request.method == "HEAD" and "GET" in found.handlers:
            route = found.handlers["GET"]
        else:
            allowed = ", ".join(sorted(found.handlers))
            return _with_header(
                refusal(RequestRefused(f"the method is {allowed}", status=405, kind="method")),
                (b"allow", allowed.encode()),
            )
    try:
        if not route.open:
            context.tokens.check(request.headers.get(b"authorization"))
        if route.method == "POST":
            request.began = context.pressure.arrived(request.began)
        return await route.handler(context, request)
    except RequestRefused as err:
        if route.handler in _PREDICTIONS and err.status != 401:
            context.engine.note_refusal(found.params[0], err)
        return refusal(err)
    except Exception:  # noqa: BLE001 - the process border: a bug is logged with its trace, the caller gets no inside view
        _log.exception("%s %s failed", request.method, request.path[:200])
        context.engine.meters.of("", "", "").count("errors", "internal")
        return refusal(RequestRefused("the endpoint failed; its log has the details", status=500, kind="internal"))


def _with_header(response: Response, header: tuple[bytes, bytes]) -> Response:
    response.headers = (*response.headers, header)
    return response
