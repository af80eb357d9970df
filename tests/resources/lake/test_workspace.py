"""Scratch folders: one process at a time, told by name, and free again when the process dies."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from mlops_assets.resources.lake.workspace import AlreadyRunningError, Workspace

HOLDER = """
import sys, time
from mlops_assets.resources.lake.workspace import Workspace
with Workspace(folder=sys.argv[1]).alone("m", "training", "run-1"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(folder=str(tmp_path))


def test_what_was_left_is_there_for_the_next_run(workspace):
    with workspace.alone("m", "training", "run-1") as folder:
        (folder / "half").write_text("done")
    with workspace.alone("m", "training", "run-2") as folder:
        assert (folder / "half").read_text() == "done"
    assert workspace.place("m", "training") == folder


def test_other_models_and_purposes_do_not_wait(workspace):
    with workspace.alone("m", "training", "1"), workspace.alone("n", "training", "2"), workspace.alone("m", "x", "3"):
        assert workspace.cache.is_dir()


def test_a_second_thread_is_refused_and_told_who_has_it(workspace):
    told = []

    def second() -> None:
        try:
            with workspace.alone("m", "training", "run-2"):
                told.append("got in")
        except AlreadyRunningError as err:
            told.append(str(err))

    with workspace.alone("m", "training", "run-1"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "Dagster run run-1" in told[0]


def test_a_failure_inside_frees_it(workspace):
    with pytest.raises(ZeroDivisionError), workspace.alone("m", "training", "run-1"):
        raise ZeroDivisionError
    with workspace.alone("m", "training", "run-2"):
        pass


def test_a_killed_process_holds_nothing(workspace):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, workspace.folder],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(AlreadyRunningError, match=f"m: .*training already.*run run-1, process {process.pid} on"),
            workspace.alone("m", "training", "run-2"),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with workspace.alone("m", "training", "run-2") as folder:
        assert "run-2" in (folder / "holder.json").read_text()
