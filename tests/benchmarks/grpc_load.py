"""A gRPC load generator: one call in flight on each connection, raw sockets and epoll.

    python grpc_load.py '{"port": 3002, "path": "/Service/Method", "body": "file", "connections": 32, "seconds": 3}'

Prints what `load.py` prints; a call counts as 200 where a message came back. Standard library only.
"""

import json
import select
import socket
import struct
import sys
import time
from pathlib import Path

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END, _END_HEADERS, _ACK = 1, 4, 1
_LARGE = 1 << 30  # bytes that the server may send before it is told to go on
_LONGEST = 16_384


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + content


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that the server's table remembers."""
    if len(name) > 126 or len(value) > 126:
        raise ValueError(f"a header of this load is at most 126 bytes long, not {name!r}: {value!r}")
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Connection:
    """One caller that asks again as soon as it has its answer."""

    def __init__(self, port: int, path: str, message: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings, window = frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _LARGE)), struct.pack(">I", _LARGE)
        self.socket.sendall(_PREFACE + settings + frame(_WINDOW, 0, 0, window))
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost",
                   "te": "trailers", "content-type": "application/grpc", "user-agent": "load"}  # fmt: skip
        self._first = b"".join(_literal(name.encode(), value.encode()) for name, value in headers.items())
        # Each of them went into the table; 62 is the place of the last.
        self._again = bytes(0x80 | (61 + len(headers) - place) for place in range(len(headers)))
        self._message = b"\0" + struct.pack(">I", len(message)) + message
        self._stream, self._began, self._used = 1, 0.0, 0
        self._received = bytearray()
        self._has_message = False

    def ask(self) -> None:
        self._has_message = False
        number, message = self._stream, self._message
        out = [frame(_HEADERS, _END_HEADERS, number, self._first if number == 1 else self._again)]
        for begin in range(0, len(message), _LONGEST):
            last = begin + _LONGEST >= len(message)
            out.append(frame(_DATA, _END if last else 0, number, message[begin : begin + _LONGEST]))
        self._stream += 2
        self._began = time.perf_counter()
        self.socket.sendall(b"".join(out))

    def answered(self) -> tuple[float, bool] | None:
        """Seconds, and whether a message came, once the whole answer is there."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server hung up")
        self._received += part
        ended = False
        while len(self._received) >= 9:
            end = 9 + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                break
            ended |= self._on_frame(self._received[3], self._received[4], bytes(self._received[9:end]))
            del self._received[:end]
        return (time.perf_counter() - self._began, self._has_message) if ended else None

    def _on_frame(self, kind: int, flags: int, content: bytes) -> bool:
        """Does it end the call?"""
        if kind == _GOAWAY:
            raise ConnectionError(repr(content))
        if kind == _SETTINGS and not flags & _ACK:
            self.socket.sendall(frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self.socket.sendall(frame(_PING, _ACK, 0, content))
        elif kind == _DATA:
            self._has_message = True
            self._used += len(content)
            if self._used > _LARGE // 2:
                self.socket.sendall(frame(_WINDOW, 0, 0, struct.pack(">I", self._used)))
                self._used = 0
        return kind == _RESET or (kind in (_DATA, _HEADERS) and bool(flags & _END))


def run(asked: dict) -> dict:
    body = Path(asked["body"]).read_bytes()
    connections, poll = {}, select.epoll()
    for _ in range(asked["connections"]):
        connection = Connection(asked["port"], asked["path"], body)
        connections[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    seconds, statuses = [], {"200": 0, "failed": 0}
    began = time.perf_counter()
    end = began + asked["seconds"]
    most = asked.get("requests") or float("inf")
    for connection in connections.values():
        connection.ask()
    while (now := time.perf_counter()) < end and len(seconds) < most:
        for handle, _ in poll.poll(1):
            answer = connections[handle].answered()
            if answer:
                seconds.append(answer[0])
                statuses["200" if answer[1] else "failed"] += 1
                connections[handle].ask()
    seconds.sort()
    return {
        "rps": len(seconds) / (now - began),
        "requests": len(seconds),
        "p50_ms": 1_000 * seconds[len(seconds) // 2],
        "p99_ms": 1_000 * seconds[int(len(seconds) * 0.99)],
        "max_ms": 1_000 * seconds[-1],
        "statuses": {status: count for status, count in statuses.items() if count},
    }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
