"""How large an Arrow IPC stream becomes when it is unpacked, read from its own headers before anything is unpacked.

Buffers may be compressed one by one; each then begins with its unpacked size. PyArrow bounds none of it: 15 KB can
become half a gigabyte. What is read here is a few numbers of each message's flatbuffer.
"""

import struct
from typing import NamedTuple

import pyarrow as pa

_BUFFER = struct.Struct("<qq")  # where it begins in the body, how long it is
_BATCHES = ("record batch", "dictionary")
_HEADER, _DICTIONARY_DATA, _BUFFERS, _COMPRESSION = 2, 1, 2, 3  # places of fields in their tables


class _Table(NamedTuple):
    """A flatbuffer's table: its fields lie where its own table of offsets says."""

    content: memoryview
    place: int

    def field(self, number: int) -> int | None:
        """Where a field lies; None where it is left out."""
        offsets = self.place - _int(self.content, self.place)
        at = 4 + 2 * number
        if at + 2 > _short(self.content, offsets):
            return None
        offset = _short(self.content, offsets + at)
        return self.place + offset if offset else None

    def target(self, number: int) -> int | None:
        """Where the table or vector lies that a field points to."""
        place = self.field(number)
        return None if place is None else place + _int(self.content, place)


def unpacked_bytes(stream: pa.Buffer) -> int:
    """The bytes that all its batches have together, unpacked. Raises struct.error where a message is broken."""
    total = 0
    for message in pa.ipc.MessageReader.open_stream(stream):
        total += len(message.body) if message.body is not None else 0
        if message.type in _BATCHES:
            total += _unpacked(message)
    return total


def _unpacked(message: pa.Message) -> int:
    content = memoryview(message.metadata)
    root = _Table(content, _int(content, 0))
    place = root.target(_HEADER)
    if place is None:
        return 0
    batch = _Table(content, place)
    if message.type == "dictionary":
        data = batch.target(_DICTIONARY_DATA)
        if data is None:
            return 0
        batch = _Table(content, data)
    vector = batch.target(_BUFFERS)
    if vector is None or batch.field(_COMPRESSION) is None:
        return 0
    body, total = memoryview(message.body), 0
    for number in range(_int(content, vector)):
        begin, size = _BUFFER.unpack_from(content, vector + 4 + number * _BUFFER.size)
        if size >= 8:
            total += max(struct.unpack_from("<q", body, begin)[0], 0)
    return total


def _int(content: memoryview, place: int) -> int:
    return struct.unpack_from("<i", content, place)[0]


def _short(content: memoryview, place: int) -> int:
    return struct.unpack_from("<H", content, place)[0]
