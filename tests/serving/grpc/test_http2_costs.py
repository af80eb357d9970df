"""What a peer may cost over HTTP/2: time of the event loop, memory of a body in small frames, silent connections."""

import asyncio
import struct
import time
import tracemalloc
from collections.abc import Mapping
from typing import Any

from serving.doors.bodies import Budget
from serving.grpc import frames as h2
from serving.grpc.frames import PREFACE, frame, packed_headers
from serving.grpc.http2 import Http2Connection
from serving.grpc.outgoing import Reply

OPENING = packed_headers([(b":method", b"POST")])


class Transport:
    def __init__(self) -> None:
        self.sent, self.open = bytearray(), True

    def write(self, content: bytes) -> None:
        self.sent += content

    unread = 0

    def get_write_buffer_size(self) -> int:
        return self.unread

    def close(self) -> None:
        self.open = False

    abort = close


class LargeAnswers:
    async def answer(self, headers: Mapping[bytes, bytes], body: bytes) -> Reply:
        return Reply(b"\x88", bytes(200_000), b"\x88")

    def refused(self, err: Any) -> Reply:
        return Reply(b"\x88")


def connected(connections: set[Http2Connection], *, body: int = 16_000_000) -> tuple[Http2Connection, Transport]:
    connection = Http2Connection(LargeAnswers(), connections, body=body, budget=Budget(256_000_000))
    transport = Transport()
    connection.connection_made(transport)
    connection.data_received(PREFACE + frame(h2.SETTINGS, 0, 0))
    return connection, transport


def seconds(connection: Http2Connection, content: bytes) -> float:
    began = time.perf_counter()
    connection.data_received(content)
    return time.perf_counter() - began


def opened(flags: int) -> bytes:
    return b"".join(frame(h2.HEADERS, h2.END_HEADERS | flags, number, OPENING) for number in range(1, 2_001, 2))


def test_settings_cost_no_more_with_a_thousand_streams():
    async def run() -> tuple[float, float]:
        content = frame(h2.SETTINGS, 0, 0, struct.pack(">HL", 4, 65_535) * 2_730)
        few, many = connected(set())[0], connected(set())[0]
        many.data_received(opened(0))
        return min(seconds(few, content) for _ in range(5)), min(seconds(many, content) for _ in range(5))

    few, many = asyncio.run(run())
    assert many < 20 * few  # it was a thousand times as much


def test_windows_that_grow_by_nothing_much_cost_little():
    """A thousand answers wait for their windows; the connection's grows by a byte, again and again."""

    async def run() -> tuple[float, float]:
        connection, _ = connected(set())
        connection.data_received(frame(h2.SETTINGS, 0, 0, struct.pack(">HL", 4, 0)) + opened(h2.END_STREAM))
        for _ in range(20):
            await asyncio.sleep(0)
        grows = frame(h2.WINDOW, 0, 0, struct.pack(">L", 1)) * 5_000
        empty = frame(h2.PING, h2.ACK, 0, bytes(8)) * 5_000
        return min(seconds(connection, empty) for _ in range(3)), min(seconds(connection, grows) for _ in range(3))

    pings, windows = asyncio.run(run())
    assert windows < 20 * pings


def test_a_body_in_small_frames_takes_no_more_room():
    async def run() -> int:
        connection, _ = connected(set())
        connection.data_received(frame(h2.HEADERS, h2.END_HEADERS, 1, OPENING))
        piece = frame(h2.DATA, 0, 1, b"ab") * 20_000
        tracemalloc.start()
        for _ in range(10):
            connection.data_received(piece)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return held

    assert asyncio.run(run()) < 4 * 400_000


def test_every_answer_comes_whole_however_the_windows_open():
    async def run() -> bytearray:
        connection, transport = connected(set())
        connection.data_received(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, OPENING))
        connection.data_received(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, OPENING))
        await asyncio.sleep(0.01)
        for number in (0, 1, 3, 0, 3, 1, 0):
            connection.data_received(frame(h2.WINDOW, 0, number, struct.pack(">L", 150_000)))
        return transport.sent

    sent, place, bodies = asyncio.run(run()), 0, {1: 0, 3: 0}
    while place < len(sent):
        size, kind, stream = int.from_bytes(sent[place : place + 3], "big"), sent[place + 3], sent[place + 8]
        if kind == h2.DATA:
            bodies[stream] += size
        place += 9 + size
    assert bodies == {1: 200_000, 3: 200_000}


def test_a_silent_connection_is_closed_and_one_in_use_is_not():
    async def run() -> tuple[bool, bool]:
        silent, used = connected(set()), connected(set())
        used[0].data_received(frame(h2.HEADERS, h2.END_HEADERS, 1, OPENING))
        for connection, _ in (silent, used):
            connection._active -= 10_000
            connection.sweep(20)
        return silent[1].open, used[1].open

    assert asyncio.run(run()) == (False, True)


def test_more_connections_than_files_are_refused(monkeypatch):
    async def run() -> bool:
        monkeypatch.setattr("serving.grpc.http2.most_connections", lambda: 3)
        everyone: set[Any] = {object() for _ in range(3)}
        return connected(everyone)[1].open

    assert asyncio.run(run()) is False


def test_a_peer_that_takes_nothing_is_hung_up_on():
    async def run() -> list[bool]:
        slow, deaf = connected(set()), connected(set())
        for step in range(3):
            slow[1].unread, deaf[1].unread = 500 - step, 500
            for connection, _ in (slow, deaf):
                connection._unread_since -= 30
                connection.sweep(20)
        return [slow[1].open, deaf[1].open]

    assert asyncio.run(run()) == [True, False]
