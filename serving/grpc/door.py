"""gRPC on the worker's own event loop: its port, tokens, deadlines, and errors as status codes.

Knows the transport, not the protocol that is spoken over it. Unary calls only; answers are not compressed.
"""

import asyncio
import logging
import os
import re
import struct
import time
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any
from urllib.parse import quote

import psutil
from google.protobuf.message import DecodeError

from serving.doors.bodies import SLOWEST, unpack
from serving.doors.context import Context, Door
from serving.doors.options import LONGEST_DEADLINE
from serving.grpc.frames import packed_headers
from serving.grpc.http2 import Http2Connection
from serving.grpc.messages import SERVICE
from serving.grpc.oip import METHODS, Call, Method
from serving.grpc.outgoing import Reply
from serving.problems import RequestRefused

_HANDSHAKE = 10.0  # seconds for that of TLS
_AGAIN = 1.0  # seconds until a taken port is tried again
_LONGEST_MESSAGE = 1_500  # characters; a client takes 8 KB of headers
_INVALID, _UNIMPLEMENTED = 3, 12
_CODES = {401: 16, 404: 5, 405: _UNIMPLEMENTED, 408: 4, 413: 8, 429: 8, 500: 13, 503: 14, 504: 4}  # HTTP → gRPC
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS = {b"H": 3_600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_OK = b"\x88"  # :status 200
_FIRST = _OK + packed_headers(
    [(b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity,deflate,gzip")]
)
_LAST = packed_headers([(b"grpc-status", b"0")])
_log = logging.getLogger("serving.grpc")


class GrpcDoor:
    """Open from `start` to `stop`. A taken port is reported in `door.trouble` and tried again."""

    def __init__(self, context: Context, door: Door, tls: SSLContext | None) -> None:
        self._context, self._door = context, door
        self._tls = {"ssl": tls, "ssl_handshake_timeout": _HANDSHAKE} if tls else {}
        self._answers = GrpcAnswers(context)
        self._connections: set[Http2Connection] = set()
        self._server: Any = None
        self._minding: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._open()
        self._minding = asyncio.create_task(self._mind())

    async def stop(self) -> None:
        """Accept no new call and let the running ones end."""
        if self._minding:
            self._minding.cancel()
        if self._server:
            self._server.close()
        for connection in tuple(self._connections):
            connection.leave()
        end = time.monotonic() + self._context.settings.deadline
        while self._connections and time.monotonic() < end:
            await asyncio.sleep(0.01)

    async def _mind(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            if self._door.trouble:
                await self._open()
            for connection in tuple(self._connections):
                connection.sweep(SLOWEST)

    async def _open(self) -> None:
        door, shared = self._door, self._context.settings.workers > 1
        try:
            if shared:
                _check_ours(door.port)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                self._connection, door.host, door.port, reuse_port=shared or None, backlog=2_048, **self._tls
            )
            door.trouble = None
        except OSError as err:
            if door.trouble is None:
                _log.error("no gRPC on %s:%s: %s", door.host, door.port, err)
            door.trouble = f"no gRPC on {door.host}:{door.port}: {err}; ENDPOINT_GRPC_PORT names another, or off"

    def _connection(self) -> Http2Connection:
        context = self._context
        body = context.settings.body + _PREFIX.size
        return Http2Connection(self._answers, self._connections, body=body, budget=context.budget)


def _check_ours(port: int) -> None:
    """The workers of one service share the port. The system would let another service of ours share it too."""
    parent = psutil.Process().parent()
    family = {process.pid for process in parent.children()} if parent else {os.getpid()}
    for found in psutil.net_connections("tcp"):
        listens = found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,)
        if listens and found.pid not in family:
            raise OSError(f"the port is taken by process {found.pid}")


_PREFIX = struct.Struct(">BL")  # is it compressed, how long is it


class GrpcAnswers:
    """Finds the method that a call names and frames its answer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._methods = {f"/{SERVICE}/{name}".encode(): method for name, method in METHODS.items()}

    async def answer(self, headers: Mapping[bytes, bytes], body: bytes) -> Reply:
        began = time.perf_counter()
        path = headers.get(b":path", b"")
        try:
            began = self._context.pressure.arrived(began)
            method = self._method(headers, path)
            message = method.request.FromString(self._message(headers, body))
            call = Call(headers, _left(headers.get(b"grpc-timeout")), began)
            content = await method.handler(self._context, call, message)
            return Reply(_FIRST, _PREFIX.pack(0, len(content)) + content, _LAST)
        except RequestRefused as err:
            return self.refused(err)
        except DecodeError as err:
            return self.refused(RequestRefused(f"the message cannot be read: {err}"))
        except Exception:  # noqa: BLE001 - the process border, as in `http/app.py`
            _log.exception("%s failed", path[:200])
            self._context.engine.meters.of("", "", "").count("errors", "internal")
            reason = "the endpoint failed; its log has the details"
            return self.refused(RequestRefused(reason, status=500, kind="internal"))

    def refused(self, err: RequestRefused) -> Reply:
        """Status and message, and for callers who may try again the pause that gRPC's own retries read."""
        message = quote(str(err)[:_LONGEST_MESSAGE], safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")[: 2 * _LONGEST_MESSAGE]
        headers = [
            (b"content-type", b"application/grpc"),
            (b"grpc-status", b"%d" % _CODES.get(err.status, _INVALID)),
            (b"grpc-message", message.encode()),
            (b"kind", err.kind.encode()),
        ]
        if err.retry_after is not None:
            headers.append((b"grpc-retry-pushback-ms", b"%d" % round(err.retry_after * 1_000)))
        return Reply(_OK + packed_headers(headers))

    def _method(self, headers: Mapping[bytes, bytes], path: bytes) -> Method:
        context = self._context
        if context.arrived is not None:
            context.arrived(headers.get(b"traceparent"), headers.get(b"tracestate"))
        method = self._methods.get(path)
        if method is None or not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            name = path[:100].decode("latin-1")
            raise RequestRefused(f"there is no method {name} for application/grpc", status=405, kind="method")
        if not method.open:
            context.tokens.check(headers.get(b"authorization"))
        return method

    def _message(self, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        if len(body) < _PREFIX.size:
            raise RequestRefused("a call brings one message")
        compressed, size = _PREFIX.unpack_from(body)
        content = body[_PREFIX.size :]
        if compressed > 1 or size != len(content):
            raise RequestRefused(f"a call brings one message, whole: {size} bytes are announced, {len(content)} came")
        if not compressed:
            return content
        return unpack(content, headers.get(b"grpc-encoding", b"identity"), self._context.settings.body)


def _left(timeout: bytes | None) -> float | None:
    """Seconds of `grpc-timeout`. Clients of some languages send hours by themselves: those mean no hurry."""
    if timeout is None:
        return None
    match = _TIMEOUT.fullmatch(timeout)
    if match is None:
        raise RequestRefused(f"grpc-timeout is {timeout[:20]!r}")
    return min(int(match[1]) * _SECONDS[match[2]], LONGEST_DEADLINE / 1_000)
