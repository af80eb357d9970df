"""`make run` as a person meets it: readable output, restarts, a clean end, a clear word where it cannot."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.run.__main__ import PORTS

SERVICES = Path(__file__).with_name("services_for_tests.conf")


class Started:
    """A supervisor in the background, with what it has printed so far."""

    def __init__(self, home: Path, project: Path, variables: dict[str, str]) -> None:
        self.output = home / "output.txt"
        self._file = self.output.open("w")
        environment = {
            **{name: value for name, value in os.environ.items() if name not in PORTS},
            "MLOPS_HOME": str(home / "state"),
            "PYTHONPATH": str(project),
            **variables,
        }
        command = [sys.executable, "-m", "infra.run", str(SERVICES)]
        self.process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=self._file, stderr=subprocess.STDOUT
        )

    def wait_for(self, text: str, seconds: float = 20) -> str:
        deadline = time.monotonic() + seconds
        while text not in (printed := self.output.read_text()):
            assert time.monotonic() < deadline, f"{text!r} was not printed:\n{printed}"
            time.sleep(0.05)
        return printed

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def steady(self) -> psutil.Process:
        """The service that is meant to live, once it does."""
        deadline = time.monotonic() + 20
        while not (found := [p for p in self.family() if self._is_steady(p)]):
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)
        return found[0]

    def _is_steady(self, process: psutil.Process) -> bool:
        try:
            return process.cmdline()[-1:] == ["steady"]
        except psutil.Error:
            return False

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        self._file.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def started(tmp_path: Path, project: Path) -> Iterator[Started]:
    system = Started(tmp_path, project, {})
    yield system
    system.close()


def test_every_line_bears_the_name_of_its_service(started: Started) -> None:
    printed = started.wait_for("half a line and the rest")

    assert "steady      | steady says: é\n" in printed
    assert "steady      | half a line and the rest\n" in printed


def test_a_crashing_service_is_restarted_with_backoff(started: Started) -> None:
    printed = started.wait_for("given up")

    assert printed.count("crashing    | crashing says") == 3
    assert printed.index("try 2 in 1 s") < printed.index("try 3 in 2 s")
    assert "logs/crashing.log" in printed


def test_what_runs_once_ends_without_stopping_the_rest(started: Started) -> None:
    started.wait_for("once        | ended")

    assert started.steady().is_running()


def test_a_killed_service_comes_back(started: Started) -> None:
    started.wait_for("steady      | starting")
    killed = started.steady()
    killed.kill()

    started.wait_for("steady      | died; starting it again")

    assert started.steady().pid != killed.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_every_process(started: Started, number: signal.Signals) -> None:
    started.wait_for("half a line and the rest")
    family = started.family()
    assert len(family) >= 3

    started.process.send_signal(number)
    started.process.wait(30)

    assert alive(family) == []
    assert "State stays in" in started.output.read_text()


def test_a_process_that_outlives_its_service_is_ended_too(tmp_path: Path, project: Path) -> None:
    system = Started(tmp_path, project, {"STUBBORN": "1"})
    system.wait_for("child up")
    family = system.family()

    system.close()

    assert alive(family) == []


def test_two_on_one_state_folder_are_refused(started: Started, tmp_path: Path, project: Path) -> None:
    started.wait_for("steady      | starting")
    environment = {**os.environ, "MLOPS_HOME": str(tmp_path / "state")}

    second = subprocess.run(
        [sys.executable, "-m", "infra.run", str(SERVICES)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert second.returncode == 1
    assert "already at work" in second.stderr


def test_every_busy_port_is_named_with_its_variable(tmp_path: Path, project: Path) -> None:
    with socket.socket() as one, socket.socket() as two:
        for taken in (one, two):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = {"UI_PORT": str(one.getsockname()[1]), "MLFLOW_PORT": str(two.getsockname()[1])}
        system = Started(tmp_path, project, ports)
        assert system.process.wait(20) == 1

    printed = system.output.read_text()
    system.close()
    for name, port in ports.items():
        assert f"port {port}" in printed
        assert f"make run {name}=" in printed
