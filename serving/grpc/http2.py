"""HTTP/2 connections for calls with one message in and one out: streams, windows, limits. Knows no gRPC and no model.

A call costs two parsed frames and one write. Every limit holds per connection and is enforced here: open streams,
header bytes, body bytes (within the budget of all bodies), resets, settings, rest, bytes that wait to be sent.
"""

import asyncio
import struct
import time
from typing import Any

from serving.doors.bodies import Budget, too_large, too_many_bodies
from serving.doors.pressure import most_connections
from serving.grpc import frames as h2
from serving.grpc.frames import Broken, Headers, frame, header_block, unpadded
from serving.grpc.outgoing import LARGEST_WINDOW, Answers, Outgoing, Stream
from serving.problems import RequestRefused

_OWN_WINDOW = 2**30  # the budget of bodies is what limits
_MOST_STREAMS = 1_000
_MOST_RESETS = 1_000  # of a peer that cancels more than it lets be answered
_MOST_SETTINGS = 1_000  # frames of them in the life of a connection
_LONGEST_REST = 600.0  # seconds without a call


class Http2Connection(asyncio.Protocol):
    """One peer. `connections` is the set of all, to which it belongs while it is open."""

    def __init__(self, answers: Answers, connections: set["Http2Connection"], *, body: int, budget: Budget) -> None:
        self._answers, self._connections, self._most, self._budget = answers, connections, body, budget
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._greeted = self._leaving = False
        self._headers = Headers()
        self._continued: tuple[int, int, bytes] | None = None
        self._streams: dict[int, Stream] = {}
        self._last = self._resets = self._received = self._settings = 0
        self._kinds = {
            h2.DATA: self._on_data, h2.HEADERS: self._on_headers, h2.CONTINUATION: self._on_continuation,
            h2.RESET: self._on_reset, h2.SETTINGS: self._on_settings, h2.PUSH: self._on_push,
            h2.PING: self._on_ping, h2.WINDOW: self._on_window,
        }  # fmt: skip

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._out = Outgoing(transport, self._streams, self._forget)
        self._began = self._active = self._unread_since = time.monotonic()
        self._unread = 0  # bytes that the peer does not take
        if len(self._connections) >= most_connections():
            transport.abort()
        self._connections.add(self)
        settings = ((3, _MOST_STREAMS), (4, LARGEST_WINDOW), (6, h2.MOST_HEADERS))
        content = b"".join(struct.pack(">HL", *pair) for pair in settings)
        transport.write(frame(h2.SETTINGS, 0, 0, content) + frame(h2.WINDOW, 0, 0, struct.pack(">L", _OWN_WINDOW)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        for stream in tuple(self._streams.values()):
            self._drop(stream)

    def data_received(self, data: bytes) -> None:
        whole = self._rest + data if self._rest else data
        try:
            self._rest = whole[self._read(whole) :]
        except Broken as err:
            self._rest = b""
            self._go_away(err.code, str(err).encode())
            self._transport.close()

    def pause_writing(self) -> None:
        self._out.paused = True

    def resume_writing(self) -> None:
        self._out.paused = False
        self._out.send_waiting()

    def leave(self) -> None:
        """Tell the peer to go elsewhere; what it asked is answered, then the connection ends."""
        self._leaving = True
        self._go_away(h2.NO_ERROR, b"draining")
        self._end_if_done()

    def sweep(self, slowest: float) -> None:
        """Let go of callers who do not send what they announced, or do not take what they asked for."""
        now, too_old = time.monotonic(), time.monotonic() - slowest
        if not self._greeted and self._began < too_old:
            self._transport.abort()
        unread = self._transport.get_write_buffer_size()
        if not unread or unread != self._unread:
            self._unread, self._unread_since = unread, now
        elif self._unread_since < too_old:
            self._transport.abort()
        if self._streams:
            self._active = now
        elif self._active < now - _LONGEST_REST:
            self.leave()
        for stream in tuple(self._streams.values()):
            if stream.task is None and stream.began < too_old:
                slow = RequestRefused(f"the message took longer than {slowest:g} s", status=408, kind="slow")
                self._refuse(stream, slow)
            elif stream.unsent and stream.began < too_old - slowest:
                self._out.write(frame(h2.RESET, 0, stream.id, struct.pack(">L", h2.CANCEL)))
                self._drop(stream)

    def _read(self, data: bytes) -> int:
        """Every whole frame; the place where the next one begins."""
        place, end = 0, len(data)
        if not self._greeted:
            if data[:24] != h2.PREFACE[:end]:
                raise Broken(h2.PROTOCOL, "this port speaks HTTP/2 only")
            if end < 24:
                return 0
            self._greeted, place = True, 24
        while end - place >= 9:
            high, low, kind, flags, stream = h2.HEAD.unpack_from(data, place)
            size = high << 8 | low
            if size > h2.LONGEST_FRAME:
                raise Broken(h2.FRAME_SIZE, "a frame is too large")
            begin = place + 9
            if begin + size > end:
                break
            if self._continued and kind != h2.CONTINUATION:
                raise Broken(h2.PROTOCOL, "a block of headers was left open")
            place = begin + size
            if handle := self._kinds.get(kind):
                handle(flags, stream & LARGEST_WINDOW, data[begin:place])
        return place

    def _on_headers(self, flags: int, number: int, content: bytes) -> None:
        content = header_block(flags, content)
        if flags & h2.END_HEADERS:
            self._on_block(flags, number, content)
        else:
            self._continued = (flags, number, content)

    def _on_continuation(self, flags: int, number: int, content: bytes) -> None:
        if not self._continued or self._continued[1] != number:
            raise Broken(h2.PROTOCOL, "a continuation of nothing")
        first, _, block = self._continued
        block += content
        if len(block) > h2.MOST_HEADERS or not content:
            raise Broken(h2.CALM, "too many headers")
        self._continued = None if flags & h2.END_HEADERS else (first, number, block)
        if flags & h2.END_HEADERS:
            self._on_block(first, number, block)

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        headers = self._headers.unpack(block)
        stream = self._streams.get(number)
        if stream is None:
            if not number & 1:
                raise Broken(h2.PROTOCOL, "a stream with an even number")
            if number <= self._last:
                return  # trailers of a stream that was answered before its end
            self._last = number
            if self._leaving or len(self._streams) >= _MOST_STREAMS:
                self._out.write(frame(h2.RESET, 0, number, struct.pack(">L", h2.REFUSED)))
                return
            stream = self._streams[number] = Stream(number, headers, self._out.first_window)
        elif not flags & h2.END_STREAM:
            raise Broken(h2.PROTOCOL, "headers in the middle of a stream")
        elif stream.task:
            raise Broken(h2.PROTOCOL, "headers after the end of a stream")
        if flags & h2.END_STREAM:
            self._on_whole(stream)

    def _on_data(self, flags: int, number: int, content: bytes) -> None:
        self._received += len(content)
        if self._received > _OWN_WINDOW // 2:
            self._out.write(frame(h2.WINDOW, 0, 0, struct.pack(">L", self._received)))
            self._received = 0
        stream = self._streams.get(number)
        if stream is None or stream.task:
            if number > self._last or stream:
                raise Broken(h2.PROTOCOL, "data for no open stream")
            return  # it was answered or cancelled meanwhile
        content = unpadded(flags, content)
        stream.add(content)
        stream.size += len(content)
        self._budget.left -= len(content)
        if stream.size > self._most:
            self._refuse(stream, too_large(self._most))
        elif self._budget.left < 0:
            self._refuse(stream, too_many_bodies(429))
        elif flags & h2.END_STREAM:
            self._on_whole(stream)

    def _on_reset(self, flags: int, number: int, content: bytes) -> None:
        if stream := self._streams.get(number):
            self._drop(stream)
            self._resets += 1
            if self._resets > _MOST_RESETS:
                raise Broken(h2.CALM, "too many cancelled streams")

    def _on_settings(self, flags: int, number: int, content: bytes) -> None:
        if flags & h2.ACK:
            return
        if len(content) % 6:
            raise Broken(h2.FRAME_SIZE, "settings of an odd size")
        self._settings += 1
        if self._settings > _MOST_SETTINGS:
            raise Broken(h2.CALM, "too many settings")
        windows = [value for name, value in struct.iter_unpack(">HL", content) if name == 4]
        if windows and max(windows) > LARGEST_WINDOW:
            raise Broken(h2.FLOW, "a window is too large")
        self._out.write(frame(h2.SETTINGS, h2.ACK, 0))
        if windows:
            self._out.widen_all(windows[-1])

    def _on_push(self, flags: int, number: int, content: bytes) -> None:
        raise Broken(h2.PROTOCOL, "a client pushes nothing")

    def _on_ping(self, flags: int, number: int, content: bytes) -> None:
        if len(content) != 8:
            raise Broken(h2.FRAME_SIZE, "a ping has 8 bytes")
        if not flags & h2.ACK:
            self._out.write(frame(h2.PING, h2.ACK, 0, content))

    def _on_window(self, flags: int, number: int, content: bytes) -> None:
        if len(content) != 4:
            raise Broken(h2.FRAME_SIZE, "a window update has 4 bytes")
        more = int.from_bytes(content, "big") & LARGEST_WINDOW
        if not more or not self._out.widen(self._streams.get(number) if number else None, more, whole=not number):
            raise Broken(h2.FLOW, "a window is too large, or grows by nothing")

    def _on_whole(self, stream: Stream) -> None:
        stream.task = self._loop.create_task(self._answer(stream))

    async def _answer(self, stream: Stream) -> None:
        body, stream.body = bytes(stream.body), b""
        reply = await self._answers.answer(stream.headers, body)
        self._resets = max(0, self._resets - 1)
        self._out.send(stream, reply)

    def _refuse(self, stream: Stream, err: RequestRefused) -> None:
        """An answer before the request's end; the rest of it is not wanted."""
        self._out.send(stream, self._answers.refused(err))
        self._out.write(frame(h2.RESET, 0, stream.id, struct.pack(">L", h2.NO_ERROR)))

    def _drop(self, stream: Stream) -> None:
        if stream.task:
            stream.task.cancel()
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._out.drop(stream)
        if self._streams.pop(stream.id, None):
            self._budget.left += stream.size
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._leaving and not self._streams:
            self._transport.close()

    def _go_away(self, code: int, reason: bytes) -> None:
        self._transport.write(frame(h2.GOAWAY, 0, 0, struct.pack(">LL", self._last, code) + reason))
