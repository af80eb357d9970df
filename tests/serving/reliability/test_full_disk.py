"""A disk that is full: answers go on, losses are counted, and writing resumes when there is room again."""

import subprocess
import time

import httpx
import pytest

from tests.serving.endpoint import Process
from tests.serving.reliability.traffic import Memory, Traffic, figures, logged, until

pytestmark = pytest.mark.simulation


@pytest.fixture
def small_disk(tmp_path):
    """Half a megabyte for the log."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def lost_rows(process: Process, cause: str) -> float:
    lines = httpx.get(f"{process.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if "log_lost" in line and f'"{cause}"' in line)


def test_a_full_disk_stops_the_log_and_nothing_else(truth, small_disk):
    settings = {"ENDPOINT_GRPC_PORT": "off", "ENDPOINT_FLUSH_SECONDS": "0.2", "ENDPOINT_SEGMENT_MB": "0.1"}
    with Process(truth.home, settings) as process, Memory(process.workers()[0]) as memory:
        with Traffic(process.port, truth, callers=4) as seen:
            until(lambda: lost_rows(process, "disk") > 0, 40)
            time.sleep(1)
            assert httpx.get(f"{process.url}/readyz").status_code == 200
        time.sleep(1)
        lost, kept = lost_rows(process, "disk"), logged(truth.home)
        assert lost + kept.total() == len(seen.answered)  # each answer is in the log, or counted as lost
        for path in small_disk.rglob("*.arrow"):
            path.unlink()  # somebody makes room
        with Traffic(process.port, truth, callers=1) as after:
            time.sleep(1)
        time.sleep(1)
        assert lost_rows(process, "disk") == lost
        found = logged(truth.home)
        assert all(name in found for _, name in after.answered)
    figures(f"disk full: {seen.statuses}, {kept.total()} rows kept, {lost:.0f} counted as lost, +{memory.grown:.0f} MB")
    assert set(seen.statuses) == {200}
    assert set(after.statuses) == {200}
    assert not seen.wrong + after.wrong
    assert memory.grown < 100
