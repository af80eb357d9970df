"""A load generator: keep-alive connections, one request in flight on each, raw sockets and epoll.

    python load.py '{"port": 3001, "path": "/…", "body": "file", "headers": {}, "connections": 32, "seconds": 3}'

Prints requests a second, latencies and what was not 200, as JSON. Standard library only, so that any server can
be measured from any environment.
"""

import json
import select
import socket
import sys
import time
from pathlib import Path


class Connection:
    """One caller that asks again as soon as it has its answer."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._began = 0.0
        self._received = bytearray()
        self._whole = 0

    def ask(self) -> None:
        self._received.clear()
        self._whole = 0
        self._began = time.perf_counter()
        self.socket.sendall(self._request)

    def answered(self) -> tuple[float, bytes] | None:
        """Seconds and status, once the whole answer is there."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server hung up")
        self._received += part
        if not self._whole:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._whole = end + 4 + _length(bytes(self._received[: end + 2]))
        if len(self._received) < self._whole:
            return None
        return time.perf_counter() - self._began, bytes(self._received[9:12])


def _length(head: bytes) -> int:
    place = head.lower().find(b"content-length:")
    if place < 0:
        raise ValueError(f"no content-length in {head!r}")
    return int(head[place + 15 : head.find(b"\r\n", place)])


def run(asked: dict) -> dict:
    body = Path(asked["body"]).read_bytes() if asked.get("body") else b""
    method = "POST" if body else "GET"
    headers = {"Host": "localhost", **asked.get("headers", {})} | ({"Content-Length": len(body)} if body else {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"{method} {asked['path']} HTTP/1.1\r\n{lines}\r\n".encode() + body
    connections = {}
    poll = select.epoll()
    for _ in range(asked["connections"]):
        connection = Connection(asked["port"], request)
        connections[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    seconds, statuses = [], {}
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
                statuses[answer[1]] = statuses.get(answer[1], 0) + 1
                connections[handle].ask()
    seconds.sort()
    return {
        "rps": len(seconds) / (now - began),
        "requests": len(seconds),
        "p50_ms": 1_000 * seconds[len(seconds) // 2],
        "p99_ms": 1_000 * seconds[int(len(seconds) * 0.99)],
        "max_ms": 1_000 * seconds[-1],
        "statuses": {status.decode(): count for status, count in statuses.items()},
    }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
