"""The real process under load: BentoML's server, several workers, kills, swaps, a stop."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from tests.serving.endpoint import Process
from tests.serving.graphs import category, contract, make_bundle, number, release

CONTRACT = contract([number("distance"), category("carrier")])
PREDICT = "/v1/models/delay/predict"
CONTENT = {"rows": [{"distance": 1.5, "carrier": "AA"}]}


@pytest.fixture
def home(tmp_path) -> Path:
    publish(tmp_path, 1)
    return tmp_path


def publish(home: Path, generation: int) -> None:
    digest = make_bundle(home / "bundles", CONTRACT, seed=generation)
    write_release(
        home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0), generation=generation)
    )


class Load:
    """Callers on keep-alive connections until told to stop; what they saw."""

    def __init__(self, url: str, callers: int = 8) -> None:
        self.url, self.statuses, self.answers = url, Counter(), []
        self.seconds: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(callers)))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self, callers: int) -> None:
        async with httpx.AsyncClient(timeout=20) as client:
            await asyncio.gather(*(self._call(client) for _ in range(callers)))

    async def _call(self, client: httpx.AsyncClient) -> None:
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                answer = await client.post(self.url, json=CONTENT)
            except httpx.TransportError as err:
                self.statuses[type(err).__name__] += 1
                await asyncio.sleep(0.02)
                continue
            self.seconds.append(time.perf_counter() - began)
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.answers.append(answer.json())


def test_a_process_that_is_not_ready_in_time_leaves_nothing(home):
    process = Process(home, patience=0.5)
    with pytest.raises(TimeoutError), process:
        pytest.fail("it cannot be ready that soon")
    assert process.process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.process.pid, 0)


def test_swaps_under_load_drop_no_request(home):
    with Process(home) as process:
        with Load(process.url + PREDICT) as load:
            time.sleep(0.5)
            for generation in range(2, 8):
                publish(home, generation)
                time.sleep(0.4)
        told = httpx.get(process.url + "/releases").json()["models"]["delay"]
    assert told["generation"] == 7
    assert set(load.statuses) == {200}
    by_tail: dict[str, set[float]] = {}
    for answer in load.answers:
        tail = answer["request_id"].rpartition("-")[2]
        by_tail.setdefault(tail, set()).add(answer["predictions"][0]["probability"])
    assert len(by_tail) >= 4
    assert all(len(values) == 1 for values in by_tail.values())  # each generation gives its own answer only


@pytest.mark.simulation
def test_a_killed_worker_is_replaced_and_its_flushed_log_kept(home):
    with Process(home, {"ENDPOINT_WORKERS": "2", "ENDPOINT_FLUSH_SECONDS": "0.2"}) as process:
        with Load(process.url + PREDICT, callers=4) as load:
            time.sleep(1.0)
            before = len(load.answers)
            time.sleep(0.5)  # more than one flush
            victim = process.workers()[0]
            os.kill(victim, signal.SIGKILL)
            time.sleep(1.0)
        assert load.statuses[200] > before
        process.wait_ready()
        deadline = time.monotonic() + 30
        while len(process.workers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert len(process.workers()) == 2
        assert victim not in process.workers()
    logged = {
        row["request_id"]
        for path in (home / "predictions").rglob("*.arrow")
        for batch in read_batches(path)
        for row in batch.to_pylist()
    }
    answered = [answer["request_id"] for answer in load.answers]
    assert set(answered[:before]) <= logged
    lost = len(set(answered) - logged)
    assert lost <= len(answered) - before


def test_a_stop_finishes_requests_and_writes_the_log(home):
    with Process(home, {"ENDPOINT_DRAIN_SECONDS": "0.5"}) as process, httpx.Client(timeout=20) as client:
        for _ in range(20):
            assert client.post(process.url + PREDICT, json=CONTENT).status_code == 200
        statuses = Counter()
        for worker in process.workers():
            os.kill(worker, signal.SIGTERM)
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            answer = client.post(process.url + PREDICT, json=CONTENT)
            statuses[answer.status_code, answer.headers.get("connection")] += 1
        answered = 20 + sum(statuses.values())
        time.sleep(1.5)
    assert {status for status, _ in statuses} == {200}
    assert statuses[200, "close"] > 0
    rows = [b.num_rows for path in (home / "predictions").rglob("*.arrow") for b in read_batches(path)]
    assert sum(rows) >= answered
    assert not list((home / "predictions").rglob("*.open"))


@pytest.mark.simulation
def test_a_storm_of_connections_keeps_memory_bounded(home):
    """2,000 connections that stay, 100 that send a body byte by byte and never end, one that promises a gigabyte."""
    with Process(home) as process, Load(process.url + PREDICT, callers=4) as load:
        (worker,) = process.workers()
        time.sleep(1.0)
        before = psutil.Process(worker).memory_info().rss
        idle = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(2_000)]
        slow = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(100)]
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        for connection in slow:
            connection.sendall(f"{head}1000000\r\n\r\n{{".encode())
        with socket.create_connection(("127.0.0.1", process.port)) as huge:
            huge.sendall(f"{head}1000000000\r\n\r\n".encode())
            assert b"413" in huge.recv(1_000)
        time.sleep(2.0)
        after = psutil.Process(worker).memory_info().rss
        for connection in (*idle, *slow):
            connection.close()
    assert set(load.statuses) == {200}
    assert len({answer["predictions"][0]["probability"] for answer in load.answers}) == 1
    assert after - before < 100e6
