"""What the console makes of Supervisor's events, and when a service may begin."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.run.console import Console


def print_lines(console: Console, text: str, name: str = "mlflow") -> list[str]:
    head = f"processname:{name} groupname:services pid:7 channel:stdout"
    return list(console.lines("PROCESS_LOG_STDOUT", f"{head}\n{text}"))


def test_a_line_waits_for_its_end() -> None:
    console = Console("logs", coloured=False)

    assert print_lines(console, "one\ntw") == ["mlflow      | one\n"]
    assert print_lines(console, "o\n") == ["mlflow      | two\n"]


def test_lines_of_two_services_do_not_run_into_each_other() -> None:
    console = Console("logs", coloured=False)
    print_lines(console, "half ")

    assert print_lines(console, "whole\n", name="ui") == ["ui          | whole\n"]
    assert print_lines(console, "done\n") == ["mlflow      | half done\n"]


def test_debug_lines_stay_in_the_file() -> None:
    text = "2026 - dagster - DEBUG - noise\n2026 - dagster - INFO - news\n"

    assert print_lines(Console("logs", coloured=False), text) == ["mlflow      | 2026 - dagster - INFO - news\n"]


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("2026-03-01 19:52:46 +0000 - dagster.daemon - INFO - Launched 1 runs.", "19:52:46 Launched 1 runs."),
        ("2026-03-01 19:52:46 -0500 - dagster - WARNING - late", "19:52:46 WARNING - late"),
        (
            "2026-03-01 19:52:46 +0000 - dagster - INFO - m_train - "
            "6ce29ad3-34a9-4aa4-973a-85f1d516d551 - m__trained_model - epoch 2",
            "19:52:46 m__trained_model - epoch 2",
        ),
        ("\x1b[32m2026-03-01 19:52:46 +0000\x1b[0m - dagster - \x1b[34mINFO\x1b[0m - news", "19:52:46 news"),
        ("a line of another kind - INFO - stays", "a line of another kind - INFO - stays"),
    ],
)
def test_stamps_are_shortened(written: str, printed: str) -> None:
    assert print_lines(Console("logs", coloured=False), written + "\n") == [f"mlflow      | {printed}\n"]


def test_colours_are_for_terminals() -> None:
    coloured, plain = Console("logs", coloured=True), Console("logs", coloured=False)

    assert print_lines(plain, "\x1b[31mred\x1b[0m\n") == ["mlflow      | red\n"]
    assert print_lines(coloured, "\x1b[31mred\x1b[0m\n")[0].endswith(" \x1b[31mred\x1b[0m\n")
    assert print_lines(coloured, "x\n")[0].startswith("\x1b[")


@pytest.mark.parametrize(
    ("state", "facts", "news"),
    [
        ("STARTING", "tries:0", "starting"),
        ("RUNNING", "pid:7", None),
        ("EXITED", "expected:1 pid:7", "ended"),
        ("EXITED", "expected:0 pid:7", "died; starting it again"),
        ("BACKOFF", "tries:3", "could not start; try 4 in 3 s"),
        ("FATAL", "", "given up. Its log: logs/ui.log"),
        ("STOPPED", "pid:7", "stopped"),
    ],
)
def test_a_change_of_state_is_told_in_words(state: str, facts: str, news: str | None) -> None:
    payload = f"processname:ui groupname:services from_state:RUNNING {facts}"
    lines = list(Console("logs", coloured=False).lines(f"PROCESS_STATE_{state}", payload))

    assert len(lines) == (1 if news else 0)
    assert all(line.startswith(f"ui          | {news}") for line in lines)


def test_half_a_line_is_told_when_its_service_ends() -> None:
    console = Console("logs", coloured=False)
    print_lines(console, "last words", name="ui")

    lines = list(console.lines("PROCESS_STATE_EXITED", "processname:ui groupname:services expected:0 pid:7"))

    assert lines[0] == "ui          | last words\n"


def test_a_service_begins_when_what_it_needs_answers(project: Path) -> None:
    with socket.socket() as needed:
        needed.bind(("127.0.0.1", 0))
        command = [sys.executable, "-m", "infra.run.when_open", str(needed.getsockname()[1]), "echo", "began"]
        waiting = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        needed.listen()
        assert waiting.communicate(timeout=10)[0] == "began\n"
