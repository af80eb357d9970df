"""The sending half of an HTTP/2 connection: answers within the peer's windows, and no faster than it reads."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from serving.grpc.frames import DATA, END_HEADERS, END_STREAM, HEADERS, LONGEST_FRAME, frame
from serving.problems import RequestRefused

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
        self.body: list[bytes] = []
        self.size = 0
        self.task: asyncio.Task[None] | None = None
        self.unsent: memoryview = memoryview(b"")
        self.last = b""


class Outgoing:
    """`streams` are the connection's open ones; `forget` takes away one that was answered."""

    def __init__(self, transport: Any, streams: Mapping[int, Stream], forget: Callable[[Stream], None]) -> None:
        self._transport, self._streams, self._forget = transport, streams, forget
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
        self.send_waiting()

    def send_waiting(self) -> None:
        """As much as the peer's windows allow, of every stream that has something left."""
        for stream in [stream for stream in self._streams.values() if stream.unsent]:
            while stream.unsent and not self.paused:
                size = min(len(stream.unsent), LONGEST_FRAME, stream.window, self.window)
                if size <= 0:
                    break
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
