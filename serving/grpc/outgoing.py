"""The sending half of an HTTP/2 connection: answers within the peer's windows, and no faster than it reads."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from serving.grpc.frames import DATA, END_HEADERS, END_STREAM, HEADERS, LONGEST_FRAME, frame
from serving.problems import RequestRefused

LARGEST_WINDOW = 2**31 - 1
_MOST_UNSENT = 1_000_000  # bytes of small frames that a peer does not read


class Reply(NamedTuple):
    """`first` and `last` are packed headers; without data `first` ends the stream."""

    first: bytes
    data: bytes = b""
    last: bytes = b""


class Answers(Protocol):
    async def answer(self, headers: Mapping[bytes, bytes], body: bytes) -> Reply: ...

    def refused(self, err: RequestRefused) -> Reply: ...


class Stream:
    __slots__ = ("began", "body", "headers", "id", "last", "size", "task", "unsent", "window")

    def __init__(self, id: int, headers: Mapping[bytes, bytes], window: int) -> None:
        self.id, self.headers, self.window = id, headers, window
        self.began = time.monotonic()
        self.body: bytes | bytearray = b""
        self.size = 0
        self.task: asyncio.Task[None] | None = None
        self.unsent: memoryview = memoryview(b"")
        self.last = b""

    def add(self, content: bytes) -> None:
        """One more piece of the body. Most bodies are one piece; many small ones take no more room than one."""
        if not self.body:
            self.body = content
            return
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += content


class Outgoing:
    """`streams` are the connection's open ones; `forget` takes away one that was answered."""

    def __init__(self, transport: Any, streams: Mapping[int, Stream], forget: Callable[[Stream], None]) -> None:
        self._transport, self._streams, self._forget = transport, streams, forget
        self._waiting: dict[int, Stream] = {}  # that have more to send than the windows allow
        self.window = self.first_window = 65_535
        self.paused = False

    def send(self, stream: Stream, reply: Reply) -> None:
        number, size = stream.id, len(reply.data)
        if not size:
            self.write(frame(HEADERS, END_HEADERS | END_STREAM, number, reply.first))
            self._forget(stream)
            return
        first = frame(HEADERS, END_HEADERS, number, reply.first)
        if size <= min(LONGEST_FRAME, stream.window, self.window) and not self.paused:
            self.window -= size
            last = frame(HEADERS, END_HEADERS | END_STREAM, number, reply.last)
            self.write(b"".join((first, frame(DATA, 0, number, reply.data), last)))
            self._forget(stream)
            return
        self.write(first)
        stream.unsent, stream.last = memoryview(reply.data), reply.last
        self._waiting[number] = stream
        self._send_rest(stream)

    def widen(self, stream: Stream | None, more: int, *, whole: bool) -> bool:
        """Takes a wider window: of the connection, or of a stream (None: it has ended). False where it is too wide."""
        if whole:
            shut = self.window <= 0
            self.window += more
            if shut:
                self.send_waiting()
            return self.window <= LARGEST_WINDOW
        if stream is None:
            return True
        stream.window += more
        self._send_rest(stream)
        return stream.window <= LARGEST_WINDOW

    def widen_all(self, first_window: int) -> None:
        """Takes another first window, which changes that of every open stream."""
        if more := first_window - self.first_window:
            self.first_window = first_window
            for stream in self._streams.values():
                stream.window += more
            self.send_waiting()

    def send_waiting(self) -> None:
        """As much as the peer's windows allow, of every stream that has something left."""
        for stream in tuple(self._waiting.values()):
            if self.window <= 0 or self.paused:
                return
            self._send_rest(stream)

    def drop(self, stream: Stream) -> None:
        """Sends no more of a stream that has ended."""
        self._waiting.pop(stream.id, None)

    def _send_rest(self, stream: Stream) -> None:
        if not stream.unsent:
            return
        while stream.unsent and not self.paused:
            size = min(len(stream.unsent), LONGEST_FRAME, stream.window, self.window)
            if size <= 0:
                return
            self.write(frame(DATA, 0, stream.id, bytes(stream.unsent[:size])))
            stream.unsent = stream.unsent[size:]
            stream.window -= size
            self.window -= size
        if not stream.unsent:
            self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, stream.last))
            self._forget(stream)

    def write(self, content: bytes) -> None:
        self._transport.write(content)
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._transport.abort()  # it asks and does not read
