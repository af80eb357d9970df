"""What a caller may cost before it is known: heads, trailers, chunk sizes, paths, connections while draining."""

import socket
import threading
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import chain

import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

from serving.http import connections
from serving.http.app import EndpointApplication
from tests.serving.endpoint import nothing_inside

CHUNKED = b"POST /v1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


class Server:
    """uvicorn with the endpoint's connections, on a thread; counts the bytes of bodies that it read."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.address = self._socket.getsockname()
        self.read = 0
        kept, HTTP_PROTOCOLS["auto"] = HTTP_PROTOCOLS["auto"], "serving.http.connections:Connection"
        self.server = uvicorn.Server(uvicorn.Config(self._answer, log_level="critical", interface="asgi3"))
        self.server.config.load()
        HTTP_PROTOCOLS["auto"] = kept
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(timeout=10)

    def talk(self, head: bytes, pieces: Iterable[bytes] = ()) -> bytes:
        """What came back until the server hung up or stopped answering."""
        with socket.create_connection(self.address, timeout=3) as caller:
            got = b""
            try:
                for piece in chain([head], pieces):
                    caller.sendall(piece)
                while part := caller.recv(65_536):
                    got += part
                    if got.endswith(b"ok"):
                        return got
            except TimeoutError:
                raise
            except OSError:  # it hung up
                pass
            return got

    async def _answer(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await nothing_inside(scope, receive, send)
            return
        more = True
        while more:
            message = await receive()
            self.read += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.stop()


def test_an_endless_head_is_refused_and_costs_little(server):
    tracemalloc.start()
    lines = (b"a%d: %s\r\n" % (number, b"v" * 30_000) for number in range(1_000))
    answer = server.talk(b"GET / HTTP/1.1\r\nhost: x\r\n", lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.startswith(b"HTTP/1.1 431") or not answer  # the reset may overtake the answer
    assert peak < 5_000_000


def test_endless_trailers_and_one_endless_value_are_cut_off(server):
    for flood in ([b"a%d: b\r\n" % n * 500 for n in range(400)], [b"a: ", *[b"v" * 50_000] * 100]):
        assert not server.talk(CHUNKED + b"2\r\nab\r\n0\r\n", flood).endswith(b"ok")


def test_an_honest_large_body_in_small_chunks_is_read(server):
    pieces = [b"4\r\nabcd\r\n" * 2_000] * 50
    assert server.talk(CHUNKED, [*pieces, b"0\r\n\r\n"]).endswith(b"ok")
    assert server.read == 400_000


def test_a_connection_with_many_requests_is_not_counted_as_one(server):
    head = b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"v" * 1_000 + b"\r\n\r\n"
    with socket.create_connection(server.address, timeout=3) as caller:
        for _ in range(200):
            caller.sendall(head)
            got = b""
            while not got.endswith(b"ok"):
                part = caller.recv(1_000)
                assert part, got
                got += part


def test_a_server_that_drains_does_not_accept_again(server):
    assert server.talk(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").endswith(b"ok")
    state = server.server.server_state
    acceptor = connections._acceptors[state]
    connections.stop_accepting()
    server.talk(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")  # the server's own listener is open for a moment
    assert connections._acceptors[state] is acceptor
    assert acceptor._door is None


def test_long_paths_are_not_remembered_and_decoded_once():
    app = EndpointApplication(None, None)
    for number in range(100):
        app._find(f"/v1/models/{number:06d}{'x' * 200_000}/predict")
    assert not app._paths
    assert app._find("/v1/models/%70rivate/predict").params == ("%70rivate",)
