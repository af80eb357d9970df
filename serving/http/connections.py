"""The server's HTTP connections: as many as files allow, and none that holds its place without getting on.

uvicorn bounds the time between two requests. Here the time is bounded in which the head of a request arrives and
in which its answer is taken, and the bytes of heads, chunk sizes and trailers; a body is bounded where it is read.
"""

import asyncio
import os
import socket
import ssl
from asyncio import Transport
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.doors.pressure import most_connections

_AT_ONCE = 512  # new connections in one turn of the event loop
_HANDSHAKE = 10.0  # seconds for that of TLS
_MOST_BARE = 65_536  # bytes of one request that are no body
_BARE_BESIDE_BODY = 8  # of them for each byte of the body: its chunks may be small
_MOST_UNREAD = 32_000_000  # bytes of a body that come after its answer
_open: "set[Connection]" = set()
_acceptors: "WeakKeyDictionary[ServerState, Acceptor]" = WeakKeyDictionary()  # closed ones too: none opens again


class Connection(HttpToolsProtocol):
    """One of many, known to the sweep."""

    _measured: Any = None  # the scope of the request whose bytes `_bare` counts
    _bare = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _open.add(self)
        if len(_open) > most_connections():
            transport.abort()
        if self.server_state not in _acceptors:
            door = listening(transport.get_extra_info("sockname")[1])
            _acceptors[self.server_state] = Acceptor(self.loop, self._another, door, tls=self.config.ssl)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        taken = 0 if before is None else len(before.body)
        super().data_received(data)
        cycle, scope = self.cycle, self.scope
        if scope is not self._measured:  # a request began within these bytes
            self._measured, self._bare = scope, 0
            return
        body = 0 if cycle is None else len(cycle.body) - (taken if cycle is before else 0)
        self._bare += len(data) - _BARE_BESIDE_BODY * body
        if self._bare > _MOST_BARE:
            self._refuse_length()

    def _refuse_length(self) -> None:
        """Ends a connection whose request is longer than any honest one, besides its body."""
        if self.scope is None or "path" not in self.scope:
            self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()
        elif not self.cycle.response_complete or self._bare > _MOST_UNREAD:
            self.transport.abort()

    def _another(self) -> "Connection":
        return Connection(self.config, self.server_state, self.app_state)

    def connection_lost(self, exc: Exception | None) -> None:
        _open.discard(self)
        super().connection_lost(exc)


_REASON = b"the head of a request may have at most %d bytes" % _MOST_BARE
_HEAD_TOO_LARGE = b"HTTP/1.1 431 \r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_REASON),
    _REASON,
)


class Acceptor:
    """uvloop takes one new connection in each turn, so under load they would wait for minutes: this takes the rest."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Callable[[], asyncio.Protocol],
        door: socket.socket | None,
        *,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop, self._connection, self._door = loop, connection, door
        self._tls: dict[str, Any] = {"ssl": tls, "ssl_handshake_timeout": _HANDSHAKE} if tls else {}
        self._coming: set[asyncio.Task[Any]] = set()
        self._open()

    def close(self) -> None:
        if self._door:
            self._loop.remove_reader(self._door)
            self._door.close()
            self._door = None

    def _open(self) -> None:
        if self._door:
            self._loop.add_reader(self._door, self._accept, self._door)

    def _accept(self, door: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                came, _ = door.accept()
            except BlockingIOError:
                return
            except OSError:  # no files are left: look again later
                self._loop.remove_reader(door)
                self._loop.call_later(1.0, self._open)
                return
            if len(_open) + len(self._coming) >= most_connections():  # handshakes count too
                came.close()
                continue
            came.setblocking(False)
            task = self._loop.create_task(self._take(came))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _take(self, came: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connection, came, **self._tls)
        except OSError:  # it speaks no TLS, brings no certificate that counts, or hung up
            came.close()


def listening(port: int) -> socket.socket | None:
    """A copy of the socket of this process that waits for connections on a port."""
    for name in os.listdir("/proc/self/fd"):
        try:
            handle = os.dup(int(name))
        except OSError:  # the handle of this very listing
            continue
        try:
            copy = socket.socket(fileno=handle)
        except OSError:  # no socket
            os.close(handle)
            continue
        if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and copy.getsockname()[1] == port:
            copy.setblocking(False)
            return copy
        copy.close()
    return None


def stop_accepting() -> None:
    """Those who come now find another worker."""
    for acceptor in _acceptors.values():
        acceptor.close()


class _State(NamedTuple):
    """Differs as soon as a connection gets on."""

    request: Any
    unread: int  # bytes of the answer that the caller has not taken
    since: float


class Sweep:
    """Hangs up on connections that stood still for `seconds`. Called on the event loop, now and then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[Any, _State] = {}

    def __call__(self, now: float, connections: Iterable[Any] = _open) -> int:
        """How many were closed."""
        seen, closed = {}, 0
        for connection in tuple(connections):
            unread = connection.transport.get_write_buffer_size()
            if not unread and not _awaits_head(connection):
                continue
            before = self._seen.get(connection)
            if before is None or before.request is not connection.cycle or before.unread != unread:
                before = _State(connection.cycle, unread, now)
            if now - before.since < self._seconds:
                seen[connection] = before
            else:
                connection.transport.abort()
                closed += 1
        self._seen = seen
        return closed


def _awaits_head(connection: Any) -> bool:
    """Neither does a request run, nor does uvicorn's own clock tick."""
    idle = connection.cycle is None or connection.cycle.response_complete
    return idle and connection.timeout_keep_alive_task is None
