"""Metrics of several workers as one: counters add up and outlive a worker, gauges do not."""

import os
import subprocess
import sys

import numpy as np

from serving.telemetry.meter import Labels, Meters
from serving.telemetry.metrics import SharedMetrics, claim_metrics_folder

WHOLE = Labels("", "", "")


def worker(folder, name: str, pid: int, *, answers: int) -> SharedMetrics:
    meters = Meters()
    meter = meters.of("delay", "1.0.0", "champion")
    for _ in range(answers):
        meter.answered((0.0015, 2, np.array([0.25, 0.95])))
    meter.count("errors", "model", by=answers)
    return SharedMetrics(meters, lambda: {"waiting": {WHOLE: 3.0}, "workers": {WHOLE: 1.0}}, folder, name, pid)


def gone() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def value(text: str, series: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(series + " ")]
    return float(line.rpartition(" ")[2])


def test_workers_are_added_up(tmp_path):
    first = worker(tmp_path, "a", os.getpid(), answers=3)
    worker(tmp_path, "b", os.getpid(), answers=4).write()
    first.write()
    text = first.text().decode()
    labels = '{arm="champion",model="delay",version="1.0.0"}'
    assert value(text, f"endpoint_request_seconds_count{labels}") == 7
    assert value(text, 'endpoint_request_seconds_bucket{arm="champion",le="0.002",model="delay",version="1.0.0"}') == 7
    assert value(text, 'endpoint_request_seconds_bucket{arm="champion",le="0.001",model="delay",version="1.0.0"}') == 0
    assert value(text, f"endpoint_rows_sum{labels}") == 14
    assert value(text, f"endpoint_confidence_count{labels}") == 14
    assert value(text, 'endpoint_errors_total{arm="champion",kind="model",model="delay",version="1.0.0"}') == 7
    assert value(text, 'endpoint_waiting{arm="",model="",version=""}') == 6


def test_what_a_dead_worker_counted_stays_and_its_gauges_go(tmp_path):
    worker(tmp_path, "dead", gone(), answers=4).write()
    mine = worker(tmp_path, "a", os.getpid(), answers=3)
    mine.write()
    text = mine.text().decode()
    assert value(text, 'endpoint_request_seconds_count{arm="champion",model="delay",version="1.0.0"}') == 7
    assert value(text, 'endpoint_workers{arm="",model="",version=""}') == 1


def test_a_file_that_is_half_there_is_left_out(tmp_path):
    (tmp_path / "endpoint-1-x.json").write_text('{"meters": [')
    mine = worker(tmp_path, "a", os.getpid(), answers=1)
    mine.write()
    assert b"endpoint_request_seconds_count" in mine.text()


def test_without_a_folder_a_worker_tells_its_own(tmp_path):
    mine = worker(None, "a", os.getpid(), answers=2)
    mine.write()
    assert value(mine.text().decode(), 'endpoint_workers{arm="",model="",version=""}') == 1


def test_each_service_has_a_folder_and_removes_it(tmp_path):
    left, other = tmp_path / str(gone()), tmp_path / str(os.getpid())
    for folder in (left, other):
        folder.mkdir()
        (folder / "endpoint-1-a.json").write_text("{}")
    assert claim_metrics_folder(tmp_path) == tmp_path / str(os.getppid())
    assert not left.exists()
    assert other.exists()
