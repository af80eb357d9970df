"""What HTTP/2 is made of: numbers of the protocol, frames, packed headers."""

import struct
from collections.abc import Iterable, Mapping

from hpack import Decoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL, FLOW, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION, CALM = 0, 1, 3, 6, 7, 8, 9, 11
LONGEST_FRAME = 16_384  # bytes, ours and the peer's
MOST_HEADERS = 32_768  # bytes, packed and unpacked
HEAD = struct.Struct(">HBBBL")
_KEPT = 64


class Broken(Exception):
    """The peer broke the protocol or a limit: the connection ends."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Headers:
    """Headers that one peer sends. It sends the same block again and again, mostly."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MOST_HEADERS)
        self._known: dict[bytes, Mapping[bytes, bytes]] = {}

    def unpack(self, block: bytes) -> Mapping[bytes, bytes]:
        found = self._known.get(block)
        return self._unpack(block) if found is None else found

    def _unpack(self, block: bytes) -> Mapping[bytes, bytes]:
        """A block that left the decoder's table as it was means the same the next time."""
        entries = self._decoder.header_table.dynamic_entries
        before = (len(entries), entries[0] if entries else None)
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except (HPACKError, IndexError, ValueError) as err:
            raise Broken(COMPRESSION, "headers that cannot be unpacked") from err
        same = len(entries) == before[0] and (entries[0] if entries else None) is before[1]
        if not same or len(self._known) >= _KEPT:
            self._known.clear()
        if same:
            self._known[block] = headers
        return headers


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return HEAD.pack(len(content) >> 8, len(content) & 0xFF, kind, flags, stream) + content


def packed_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as literals that no table remembers."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size, coded = size - 127, bytearray((127,))
    while size >= 128:
        coded.append(size & 0x7F | 0x80)
        size >>= 7
    coded.append(size)
    return bytes(coded) + text


def unpadded(flags: int, content: bytes) -> bytes:
    if not flags & PADDED:
        return content
    if not content or content[0] >= len(content):
        raise Broken(PROTOCOL, "more padding than frame")
    return content[1 : len(content) - content[0]]


def header_block(flags: int, content: bytes) -> bytes:
    """What a HEADERS frame holds besides padding and priority."""
    content = unpadded(flags, content)
    return content[5:] if flags & PRIORITISED else content
