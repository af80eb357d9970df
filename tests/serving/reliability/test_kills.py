"""kill -9 of a worker, of the whole service, of the server above the workers. Nobody lends a hand."""

import os
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.serving.endpoint import Process
from tests.serving.reliability.traffic import Traffic, figures, logged, until

FLUSH = 0.5
SETTINGS = {"ENDPOINT_WORKERS": "3", "ENDPOINT_FLUSH_SECONDS": str(FLUSH), "ENDPOINT_GRPC_PORT": "off"}
pytestmark = pytest.mark.simulation


def worker_of(request_id: str) -> str:
    return request_id.partition("-")[0]


def test_a_killed_worker_loses_only_its_own_requests(truth):
    with Process(truth.home, SETTINGS) as process:
        until(lambda: len(process.workers()) == 3, 30)
        time.sleep(3)  # every worker has loaded
        with Traffic(process.port, truth, callers=12) as seen:
            time.sleep(2)
            victim = process.workers()[0]
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: len(process.workers()) == 3 and victim not in process.workers(), 30)
            back = time.monotonic() - killed
            time.sleep(2)
    broken = {name: count for name, count in seen.statuses.items() if name != 200}
    figures(f"worker killed: {seen.statuses}, another came after {back:.1f} s")
    assert not seen.wrong
    assert set(broken) <= {"IncompleteReadError", "ConnectionResetError"}
    assert sum(broken.values()) <= 12  # at most what each caller had under way
    found = logged(truth.home)
    lost = [(when, name) for when, name in seen.answered if name not in found]
    figures(f"lost {len(lost)} rows of {len(seen.answered)}")
    assert len({worker_of(name) for _, name in lost}) <= 1  # the victim's
    assert all(killed - 2 * FLUSH <= when <= killed + 0.1 for when, name in lost)


def test_a_killed_service_loses_at_most_one_flush(truth):
    with Process(truth.home, SETTINGS) as process:
        until(lambda: len(process.workers()) == 3, 30)
        with Traffic(process.port, truth, callers=12) as seen:
            time.sleep(3)
            for pid in (process.process.pid, *process.workers()):
                os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
        process.process.wait()
    found = logged(truth.home)
    lost = [when for when, name in seen.answered if name not in found]
    oldest = killed - min(lost, default=killed)
    figures(f"service killed: lost {len(lost)} of {len(seen.answered)} answers, the oldest {oldest:.2f} s before")
    assert not seen.wrong
    assert not [count for count in found.values() if count != 1]
    assert all(when >= killed - FLUSH - 0.3 for when in lost)  # 0.3 s: the write itself, on a busy machine
    assert list((truth.home / "predictions").rglob("*.open"))
    with Process(truth.home, SETTINGS) as process:
        until(lambda: not list((truth.home / "predictions").rglob("*.open")), 10)
        assert httpx.get(f"{process.url}/readyz").status_code == 200
    assert logged(truth.home) == found


def test_workers_without_their_server_make_room_for_the_next_one(truth):
    """Else they would hold the port, and what keeps the service alive could not start it again."""
    with Process(truth.home, SETTINGS) as process:
        until(lambda: len(process.workers()) == 3, 30)
        workers = process.workers()
        with Traffic(process.port, truth, callers=4) as seen:
            time.sleep(1)
            os.kill(process.process.pid, signal.SIGKILL)
            process.process.wait()
            gone = until(lambda: not any(psutil.pid_exists(worker) for worker in workers), 15)
    figures(f"workers without their server left after {gone:.1f} s; {seen.statuses}")
    assert not seen.wrong
    found = logged(truth.home)
    assert all(name in found for _, name in seen.answered)  # they left in order
    assert not list(Path(truth.home / "predictions").rglob("*.open"))
