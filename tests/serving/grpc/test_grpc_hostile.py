"""The gRPC door against peers that break HTTP/2 or its limits: the connection ends, the endpoint goes on."""

import socket
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.grpc import frames as http2
from serving.grpc.frames import PREFACE, frame, packed_headers
from serving.grpc.messages import MESSAGES, SERVICE
from tests.serving.endpoint import Process
from tests.serving.graphs import contract, make_bundle, number, release

PATH = f"/{SERVICE}/ServerLive".encode()
CALL = [
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH), (b":authority", b"x"),
    (b"content-type", b"application/grpc"), (b"te", b"trailers"),
]  # fmt: skip
EMPTY = b"\0\0\0\0\0"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Iterator[Process]:
    home = tmp_path_factory.mktemp("home")
    digest = make_bundle(home / "bundles", contract([number("distance")]))
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    with Process(home, {"ENDPOINT_BODY_MB": "1", "ENDPOINT_BODIES_MB": "3"}) as process:
        yield process


@pytest.fixture
def meet(endpoint) -> Iterator[Callable[[], "Peer"]]:
    """Makes connections; they end with the test."""
    peers: list[Peer] = []

    def one() -> Peer:
        peers.append(Peer(endpoint))
        return peers[-1]

    yield one
    for peer in peers:
        peer.socket.close()


class Peer:
    """A connection on which anything can be sent."""

    def __init__(self, endpoint: Process) -> None:
        self.socket = socket.create_connection(("127.0.0.1", endpoint.grpc_port), timeout=10)
        self._rest = b""

    def send(self, *frames: bytes) -> "Peer":
        self.socket.sendall(b"".join(frames))
        return self

    def greet(self, *settings: tuple[int, int]) -> "Peer":
        told = b"".join(struct.pack(">HL", *pair) for pair in settings)
        return self.send(PREFACE, frame(http2.SETTINGS, 0, 0, told))

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Until the endpoint hangs up."""
        while True:
            while len(self._rest) < 9 or len(self._rest) < 9 + int.from_bytes(self._rest[:3], "big"):
                try:
                    part = self.socket.recv(1 << 16)
                except ConnectionError:
                    return
                if not part:
                    return
                self._rest += part
            size = int.from_bytes(self._rest[:3], "big")
            kind, flags, stream = struct.unpack_from(">BBL", self._rest, 3)
            content, self._rest = self._rest[9 : 9 + size], self._rest[9 + size :]
            yield kind, flags, stream, content

    def until_end(self, stream: int) -> list[tuple[int, bytes]]:
        got = []
        for kind, flags, number_, content in self.frames():
            if number_ == stream:
                got.append((kind, content))
                if kind == http2.RESET or flags & http2.END_STREAM:
                    return got
        raise ConnectionError(got)


def call(stream: int, *, more: bool = False, headers: list = CALL) -> bytes:
    flags = http2.END_HEADERS | (0 if more else http2.END_STREAM)
    return frame(http2.HEADERS, flags, stream, packed_headers(headers))


def live(peer: Peer, stream: int) -> bool:
    peer.send(call(stream, more=True), frame(http2.DATA, http2.END_STREAM, stream, EMPTY))
    got = dict(peer.until_end(stream))
    return got[http2.DATA][5:] == b"\x08\x01"


BAD = {
    "http/1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "too large a frame": PREFACE + b"\xff\xff\xff\0\0\0\0\0\1",
    "an even stream": PREFACE + call(2),
    "data for no stream": PREFACE + frame(http2.DATA, 0, 5, b"x"),
    "headers that cannot be unpacked": PREFACE + frame(http2.HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"),
    "an open block": PREFACE + frame(http2.HEADERS, 0, 1, b"") + frame(http2.PING, 0, 0, b"x" * 8),
    "a continuation of nothing": PREFACE + frame(http2.CONTINUATION, 4, 1, b""),
    "endless headers": PREFACE + frame(http2.HEADERS, 0, 1, b"\0") + frame(http2.CONTINUATION, 0, 1, b"a" * 16_000) * 4,
    "a bomb of headers": PREFACE + frame(http2.HEADERS, 4, 1, b"\x40\1a\x7f\xa1\x1e" + b"x" * 4_000 + b"\xbe" * 9_000),
    "a window that grows by nothing": PREFACE + frame(http2.WINDOW, 0, 0, bytes(4)),
    "a window that overflows": PREFACE + frame(http2.WINDOW, 0, 0, struct.pack(">L", 2**31 - 1)),
    "a first window that is too large": PREFACE + frame(http2.SETTINGS, 0, 0, struct.pack(">HL", 4, 2**31)),
    "settings of an odd size": PREFACE + frame(http2.SETTINGS, 0, 0, b"x"),
    "settings without end": PREFACE + frame(http2.SETTINGS, 0, 0) * 1_100,
    "a short ping": PREFACE + frame(http2.PING, 0, 0, b"x"),
    "a push": PREFACE + frame(http2.PUSH, 4, 1, b"x" * 8),
    "more padding than frame": PREFACE + call(1, more=True) + frame(http2.DATA, http2.PADDED, 1, b"\xff"),
    "a second end": PREFACE + call(1) + call(1),
    "rapid resets": PREFACE + b"".join(
        call(n, more=True) + frame(http2.RESET, 0, n, bytes(4)) for n in range(1, 2_100, 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_peer_that_breaks_the_protocol_is_sent_away(meet, content):
    kinds = [kind for kind, *_ in meet().send(content).frames()]  # ends, because the endpoint hangs up
    assert not kinds or kinds[-1] == http2.GOAWAY
    assert live(meet().greet(), 1)


def test_noise_in_any_place_never_stops_the_endpoint(meet):
    draw = np.random.default_rng(0)
    whole = PREFACE + frame(http2.SETTINGS, 0, 0) + call(1, more=True) + frame(http2.DATA, 1, 1, EMPTY)
    for _ in range(200):
        noisy = bytearray(whole)
        for place in draw.integers(24, len(whole), 3):
            noisy[place] = draw.integers(256)
        peer = meet()
        peer.send(bytes(noisy)).socket.close()
    assert live(meet().greet(), 1)


def test_padding_continuations_and_single_bytes_are_parsed(meet):
    peer, block = meet().greet(), packed_headers(CALL)
    content = (
        frame(http2.HEADERS, http2.PADDED | http2.PRIORITISED, 1, b"\3" + bytes(5) + block[:20] + bytes(3))
        + frame(http2.CONTINUATION, http2.END_HEADERS, 1, block[20:])
        + frame(http2.PRIORITY, 0, 1, bytes(5))
        + frame(99, 0, 1, b"unknown kinds are passed over")
        + frame(http2.DATA, http2.PADDED | http2.END_STREAM, 1, b"\2" + EMPTY + b"xx")
    )
    for place in range(len(content)):
        peer.send(content[place : place + 1])
    assert dict(peer.until_end(1))[http2.DATA][5:] == b"\x08\x01"
    assert live(peer, 3)  # trailing frames left the connection whole


def test_a_large_answer_waits_for_the_peers_windows(meet):
    rows = 9_000
    tensor = {"name": "distance", "datatype": "FP64", "shape": [rows]}
    packed = MESSAGES["InferInputTensor"](**tensor).SerializeToString()
    body = MESSAGES["ModelInferRequest"](
        model_name="delay", inputs=[packed], raw_input_contents=[np.ones(rows).tobytes()]
    ).SerializeToString()
    message = b"\0" + struct.pack(">L", len(body)) + body
    headers = [(name, f"/{SERVICE}/ModelInfer".encode() if name == b":path" else value) for name, value in CALL]
    parts = [message[place : place + 16_000] for place in range(0, len(message), 16_000)]
    peer = meet().greet((4, 1_000))  # a window of 1,000 bytes for each stream
    peer.send(call(1, more=True, headers=headers), *(frame(http2.DATA, 0, 1, part) for part in parts[:-1]))
    peer.send(frame(http2.DATA, http2.END_STREAM, 1, parts[-1]))
    got, allowed = b"", 1_000
    for kind, flags, stream, content in peer.frames():
        if kind == http2.DATA:
            got += content
            assert len(got) <= allowed
            if len(got) == allowed:
                allowed += 7_000
                update = struct.pack(">L", 7_000)
                peer.send(frame(http2.WINDOW, 0, 1, update), frame(http2.WINDOW, 0, 0, update))
        if stream == 1 and flags & http2.END_STREAM and kind == http2.HEADERS:
            break
    answer = MESSAGES["ModelInferResponse"].FromString(got[5:])
    assert len(np.frombuffer(answer.raw_output_contents[0], "<f4")) == rows


def test_endless_bodies_return_the_budget_they_used(meet):
    part = frame(http2.DATA, 0, 1, b"x" * 16_000)
    greedy = [meet().greet().send(call(1, more=True), part * 60) for _ in range(4)]
    last = dict(greedy[-1].until_end(1))
    assert b"too many bodies" in last[http2.HEADERS]
    for peer in greedy:
        peer.socket.close()
    assert live(meet().greet(), 1)


def test_a_message_is_measured_before_it_is_read(meet):
    peer = meet().greet().send(call(1, more=True), frame(http2.DATA, 0, 1, b"x" * 16_000) * 63)
    assert b"a body may have" in dict(peer.until_end(1))[http2.HEADERS]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", b"one message"),
        (b"\0\0\0\0\5ab", b"5 bytes are announced"),
        (b"\1\0\0\0\3abc", b"unpacked"),
        (b"\7\0\0\0\0", b"one message"),
    ],
)
def test_what_is_no_message_is_refused(meet, data, says):
    headers = [*CALL, (b"grpc-encoding", b"gzip")]
    peer = meet().greet().send(call(1, more=True, headers=headers), frame(http2.DATA, 1, 1, data))
    assert says in dict(peer.until_end(1))[http2.HEADERS]


def test_streams_of_a_peer_are_bounded(meet):
    peer = meet().greet().send(*(call(number_, more=True) for number_ in range(1, 2_003, 2)))
    assert peer.until_end(2_001) == [(http2.RESET, struct.pack(">L", http2.REFUSED))]
