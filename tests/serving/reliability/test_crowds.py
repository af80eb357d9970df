"""Callers that are slow, many, huge, or more than the endpoint can serve."""

import contextlib
import resource
import select
import socket
import time
import zlib
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.serving.endpoint import Process
from tests.serving.reliability.traffic import PATH, Memory, Traffic, Truth, figures, until

pytestmark = pytest.mark.simulation
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
OFF = {"ENDPOINT_GRPC_PORT": "off"}


@contextlib.contextmanager
def crowd(process: Process, size: int, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections; each says something and falls silent."""
    there = []
    try:
        for _ in range(size):
            connection = socket.create_connection(("127.0.0.1", process.port), timeout=5)
            connection.sendall(says)
            there.append(connection)
        yield there
    finally:
        for connection in there:
            connection.close()


def hung_up(connections: list[socket.socket]) -> int:
    """On how many the endpoint hung up, perhaps with a last word."""
    watch = select.poll()
    for connection in connections:
        watch.register(connection, select.POLLIN)
    return len(watch.poll(0))


def allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the system allows {hard:,} open files, {wanted:,} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@contextlib.contextmanager
def greedy(process: Process, size: int) -> Iterator[list[socket.socket]]:
    """So many callers ask for 10,000 predictions and do not take them."""
    body = b'{"rows": [' + b",".join([b'{"distance": 1.5, "carrier": "AA"}'] * 10_000) + b"]}"
    with contextlib.ExitStack() as stack:
        there = [stack.enter_context(socket.socket()) for _ in range(size)]
        for connection in there:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", process.port))
            connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield there


def hung_up_on_all(process: Process, connections: list[socket.socket]) -> bool:
    """As the endpoint sees it: these callers would have to read first."""
    theirs = psutil.Process(process.workers()[0]).net_connections()
    return not {one.getsockname()[1] for one in connections} & {one.raddr.port for one in theirs if one.raddr}


def test_slow_callers_are_sent_away_and_the_others_are_served(truth):
    """500 with half a head, 500 with half a body, 500 that say nothing, 20 that do not take their answers."""
    allow_files(3_000)
    half_head, half_body = HEAD.encode() + b"X-Slow: ", HEAD.encode() + b"Content-Length: 100\r\n\r\n{"
    with Process(truth.home, OFF) as process, Memory(process.workers()[0]) as memory:
        with (
            greedy(process, 20) as deaf,
            crowd(process, 500, half_head) as heads,
            crowd(process, 500, half_body) as bodies,
            crowd(process, 500) as silent,
            Traffic(process.port, truth, callers=4) as seen,
        ):
            time.sleep(3)
            for connection in heads:  # a byte now and then
                connection.sendall(b"x")
            left = until(lambda: all(hung_up(each) == 500 for each in (heads, bodies, silent)), 30)
            until(lambda: hung_up_on_all(process, deaf), 20)
        figures(f"1,520 slow callers: gone after {left + 3:.0f} s; others {seen.statuses}")
        figures(f"p99 {seen.percentile(0.99) * 1e3:.0f} ms, memory +{memory.grown:.0f} MB")
        assert set(seen.statuses) == {200}
        assert not seen.wrong
        assert memory.grown < 250


def test_ten_thousand_idle_connections_disturb_nobody(truth):
    allow_files(11_000)
    with Process(truth.home, OFF) as process, Memory(process.workers()[0]) as memory:
        with Traffic(process.port, truth, callers=4) as seen, crowd(process, 10_000):
            before = len(seen.answered)
            time.sleep(3)
            assert len(seen.answered) > before
        figures(
            f"10,000 connections: {seen.statuses}, p99 {seen.percentile(0.99) * 1e3:.0f} ms, +{memory.grown:.0f} MB"
        )
        assert set(seen.statuses) == {200}
        assert not seen.wrong
        assert memory.grown < 400


def test_a_gigabyte_is_refused_without_being_read(truth):
    """Announced; in chunks that announce nothing; packed into a megabyte."""
    chunk = b"%x\r\n%b\r\n" % (1_000_000, b" " * 1_000_000)
    with Process(truth.home, OFF) as process, Memory(process.workers()[0]) as memory:
        with Traffic(process.port, truth, callers=2) as seen:
            for head, part, parts in (
                ("Content-Length: 1000000000\r\n", b" " * 1_000_000, 1_000),
                ("Transfer-Encoding: chunked\r\n", chunk, 1_000),
            ):
                assert _status_of(process, head, part, parts) == 413
            packed = _gzip_of_a_gigabyte()
            answer = httpx.post(process.url + PATH, content=packed, headers={"content-encoding": "gzip"}, timeout=30)
            assert answer.status_code == 413
        figures(f"three times a gigabyte: memory +{memory.grown:.0f} MB, others {seen.statuses}")
        assert set(seen.statuses) == {200}
        assert not seen.wrong
        assert memory.grown < 150


def _status_of(process: Process, head: str, part: bytes, parts: int) -> int:
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as connection:
        connection.sendall(f"{HEAD}{head}\r\n".encode())
        with contextlib.suppress(OSError):  # it hangs up before all is sent, as it should
            for _ in range(parts):
                connection.sendall(part)
                if hung_up([connection]):
                    break
        return int(connection.recv(100)[9:12])


def _gzip_of_a_gigabyte() -> bytes:
    packing = zlib.compressobj(9, wbits=31)
    return b"".join([*(packing.compress(b" " * 1_000_000) for _ in range(1_000)), packing.flush()])


@pytest.mark.parametrize(
    ("rows", "hidden"), [(64, (1_500, 1_500)), (1_000, (8,))], ids=["of arithmetic", "of reading and writing"]
)
def test_a_storm_of_five_times_what_can_be_served(truth, tmp_path, rows, hidden):
    """Who is turned away is told when to come again; who is not has his answer soon; then all is as before."""
    truth = Truth(tmp_path, rows=rows)
    truth.publish(2, hidden=hidden)
    with Process(truth.home, OFF) as process, Memory(process.workers()[0]) as memory:
        with Traffic(process.port, truth, callers=8) as calm:
            time.sleep(3)
        rate = 5 * len(calm.answered) / 3
        with Traffic(process.port, truth, callers=1_000, rate=rate) as storm:
            time.sleep(6)
        began = time.monotonic()
        until(lambda: _answers_within(process, truth, 0.25), 10)
        recovered = time.monotonic() - began
        with Traffic(process.port, truth, callers=1) as after:
            time.sleep(2)
    figures(f"capacity {rate / 5:.0f}/s, p99 {calm.percentile(0.99) * 1e3:.0f} ms; {rate:.0f}/s asked: ")
    figures(f"{storm.statuses}, p99 of answers {storm.percentile(0.99) * 1e3:.0f} ms, memory +{memory.grown:.0f} MB")
    figures(f"recovered after {recovered:.1f} s: {after.statuses}, p99 {after.percentile(0.99) * 1e3:.0f} ms")
    assert not calm.wrong + storm.wrong + after.wrong
    assert set(storm.statuses) <= {200, 429, 503, 504}
    assert storm.statuses[429] > 100
    assert not storm.untold  # each is told when to come again
    assert storm.percentile(0.99) < 4  # twice the deadline: callers share the cores
    assert memory.grown < 300
    assert set(after.statuses) == {200}


def _answers_within(process: Process, truth: Truth, seconds: float) -> bool:
    began = time.monotonic()
    answer = httpx.post(process.url + PATH, content=truth.bodies[0], timeout=10)
    return answer.status_code == 200 and time.monotonic() - began < seconds
