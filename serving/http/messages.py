"""Bare requests and responses over ASGI: bodies are bounded, every error has one shape.

Knows no route and no model.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from serving.doors.bodies import SLOWEST, Budget, too_large, too_many_bodies, unpack
from serving.problems import Problem, RequestRefused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
ARROW = b"application/vnd.apache.arrow.stream"
Headers = tuple[tuple[bytes, bytes], ...]


class Request:
    """One HTTP request. `began` is on the clock of `time.perf_counter`."""

    __slots__ = ("_receive", "began", "headers", "method", "params", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, params: tuple[str, ...]) -> None:
        self.scope, self._receive, self.params = scope, receive, params
        self.method, self.path = scope["method"], scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.began = time.perf_counter()

    async def body(self, most: int, budget: Budget) -> bytes:
        """The whole body, unpacked. A body whose announced length is too large is refused unread."""
        announced = self.headers.get(b"content-length")
        if announced is not None and (len(announced) > 15 or int(announced) > most):
            raise too_large(most)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body = message.get("body", b"")
        if message.get("more_body"):
            body = await self._rest(body, int(announced) if announced else None, most, budget)
        elif len(body) > most:
            raise too_large(most)
        encoding = self.headers.get(b"content-encoding")
        return body if encoding is None else unpack(body, encoding, most)

    async def _rest(self, first: bytes, announced: int | None, most: int, budget: Budget) -> bytes:
        reserved = announced if announced is not None else len(first)
        if reserved > budget.left:
            raise too_many_bodies()
        budget.left -= reserved
        parts, size = [first], len(first)
        try:
            async with asyncio.timeout(SLOWEST):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    part = message.get("body", b"")
                    size += len(part)
                    if size > most:
                        raise too_large(most)
                    if size > reserved:
                        budget.left -= size - reserved
                        reserved = size
                        if budget.left < 0:
                            raise too_many_bodies()
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as err:
            raise RequestRefused(f"the body took longer than {SLOWEST:g} s", status=408, kind="slow") from err
        finally:
            budget.left += reserved


class Gone(Exception):
    """The caller hung up."""


class Response:
    __slots__ = ("body", "close", "headers", "status", "type")

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        type: bytes = JSON,
        headers: Headers = (),
        close: bool = False,
    ) -> None:
        self.body, self.status, self.type, self.headers, self.close = body, status, type, headers, close

    async def send(self, send: Send) -> None:
        headers = [(b"content-type", self.type), (b"content-length", b"%d" % len(self.body)), *self.headers]
        if self.close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_response(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS), status=status)


def refusal(err: RequestRefused) -> Response:
    """The response of an error: one sentence, and each problem with its field and row."""
    content: dict[str, Any] = {
        "error": str(err)[:2_000],
        "kind": err.kind,
        "problems": [_problem(problem) for problem in err.problems],
    }
    if err.omitted:
        content["omitted"] = err.omitted
    headers: Headers = ()
    if err.retry_after is not None:
        headers = ((b"retry-after", b"%d" % max(1, round(err.retry_after))),)
    if err.status == 401:
        headers += ((b"www-authenticate", b"Bearer"),)
    # Closing the connection is cheaper than receiving a large body that nobody reads.
    close = err.status in (408, 413) or (err.status == 503 and err.kind == "overloaded")
    return Response(orjson.dumps(content), status=err.status, headers=headers, close=close)


def _problem(problem: Problem) -> Mapping[str, Any]:
    return {"field": problem.field, "row": problem.row, "reason": problem.reason}
