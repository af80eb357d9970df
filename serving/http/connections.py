"""The server's HTTP connections: as many as files allow, and none that holds its place without getting on.

uvicorn bounds the time between two requests. Here the time is bounded in which the head of a request arrives and
in which its answer is taken; that of a body is bounded where it is read.
"""

import asyncio
import os
import resource
import socket
from asyncio import Transport
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SPARE_FILES = 256  # for bundles, the log, the stores
_AT_ONCE = 512  # new connections in one turn of the event loop
_open: "set[Connection]" = set()
_acceptors: "list[Acceptor]" = []


class Connection(HttpToolsProtocol):
    """One of many, known to the sweep."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _open.add(self)
        if len(_open) > most_connections():
            transport.abort()
        if not _acceptors:
            _acceptors.append(Acceptor(self.loop, self._another, listening(transport.get_extra_info("sockname")[1])))

    def _another(self) -> "Connection":
        return Connection(self.config, self.server_state, self.app_state)

    def connection_lost(self, exc: Exception | None) -> None:
        _open.discard(self)
        super().connection_lost(exc)


class Acceptor:
    """uvloop takes one new connection in each turn, so under load they would wait for minutes: this takes the rest."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Callable[[], asyncio.Protocol], door: socket.socket | None
    ) -> None:
        self._loop, self._connection, self._door = loop, connection, door
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
            came.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._connection, came))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)


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
    while _acceptors:
        _acceptors.pop().close()


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


def most_connections() -> int:
    return max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES, _SPARE_FILES)
