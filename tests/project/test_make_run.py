"""`make run` whole: real Dagster, real MLflow, the real example, from nothing to a version, twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.run.__main__ import PORTS

PATIENCE = 900.0


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class System:
    """A running system on ports of its own."""

    def __init__(self, project: Path, home: Path, output: Path) -> None:
        (home / "dagster").mkdir(parents=True, exist_ok=True)
        instance = home / "dagster" / "dagster.yaml"
        if not instance.exists():
            instance.symlink_to(project / "dagster.yaml")
        environment = {
            **os.environ,
            "MLOPS_HOME": str(home),
            "DAGSTER_HOME": str(home / "dagster"),
            "PYTHONPATH": str(project),
            "LISTEN": "127.0.0.1",
            **{name: free_port() for name in PORTS},
        }
        environment["MLOPS_ENDPOINT_URL"] = f"http://127.0.0.1:{environment['ENDPOINT_PORT']}"
        self.output = output
        self._file = output.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.run"],
            cwd=project,
            env=environment,
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    def wait_until_told(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while "first-start | ended" not in (printed := self.output.read_text()):
            assert time.monotonic() < deadline, printed
            assert self.process.poll() is None, printed
            time.sleep(0.5)
        return printed

    def stop(self) -> list[psutil.Process]:
        """Ctrl-C; returns what still lives."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self._file.close()
        return [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.simulation
@pytest.mark.timeout(2 * PATIENCE)
def test_from_nothing_to_a_live_endpoint_and_not_again(project: Path, tmp_path: Path) -> None:
    first = System(project, tmp_path / "home", tmp_path / "first.txt")
    printed = first.wait_until_told()
    assert first.stop() == []

    second = System(project, tmp_path / "home", tmp_path / "second.txt")
    printed_again = second.wait_until_told()
    assert second.stop() == []

    assert "First start: flight_delay" in printed
    assert "flight_delay 1.0.0 is live." in printed
    assert "First start" not in printed_again
    assert "flight_delay 1.0.0 is live." in printed_again
