"""`make run`: checks that it can start, hands the services to Supervisor, and leaves no process behind.

Supervisor keeps the services alive; this is the foreground that a person starts and stops.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

SERVICES = Path(__file__).with_name("services.conf")
PORTS = {
    "UI_PORT": "Dagster's UI",
    "MLFLOW_PORT": "MLflow",
    "CODE_PORT": "the code server",
    "ENDPOINT_PORT": "the endpoint",
    "ENDPOINT_GRPC_PORT": "the endpoint's gRPC",
}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 5.0


class CannotStart(Exception):
    """Says everything that stands in the way, and what to do about it."""


def check_ports(environment: Mapping[str, str]) -> None:
    """Every port that is taken, at once, with the variable that moves it."""
    taken = [
        f"port {environment[name]} ({what}) is in use: stop what listens there, or choose another, "
        f"e.g. make run {name}={int(environment[name]) + 100}"
        for name, what in PORTS.items()
        if name in environment and not _is_free(int(environment[name]))
    ]
    if taken:
        raise CannotStart("\n".join(taken))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Two systems on one state folder would undo each other's work."""
    with (home / "run" / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise CannotStart(f"`make run` is already at work on {home}: stop it, or set MLOPS_HOME") from err
        yield


def supervise(services: Path, environment: Mapping[str, str]) -> int:
    """Run Supervisor in a session of its own until it ends or receives a signal; nothing outlives that session."""
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(services)]
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        process.terminate()

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        _repeat(process)
        return process.wait()
    finally:
        _sweep(process.pid)


def _repeat(process: "subprocess.Popen[bytes]") -> None:
    """Pass on what the console prints. A terminal that went away stops the printing, not the orderly end."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        except OSError:
            process.terminate()


def _sweep(session: int) -> None:
    """End what outlived its service, such as a step still stopping when its server had gone."""
    left = [p for p in psutil.process_iter() if p.pid != os.getpid() and _session_of(p.pid) == session]
    for p in left:
        p.terminate()
    for p in psutil.wait_procs(left, timeout=_GRACE)[1]:
        p.kill()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def main(services: Path = SERVICES) -> int:
    home = Path(os.environ["MLOPS_HOME"])
    for folder in ("logs", "run", "mlflow"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "BIN": str(Path(sys.executable).parent),
        "PROJECT": str(Path.cwd()),
        "MLOPS_COLOUR": "1" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "0",
        "PYTHONUNBUFFERED": "1",
        "SESSION_BEGAN": str(time.time()),
    }
    try:
        with only_one(home):
            check_ports(environment)
            code = supervise(services, environment)
    except CannotStart as err:
        print(f"Cannot start:\n{err}", file=sys.stderr)
        return 1
    print(f"\nStopped. State stays in {home}; `make run` goes on from there.")
    return code


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
