"""The console of `make run`: a Supervisor event listener that prints the output of each service under its name.

Knows Supervisor's events and nothing of the services.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TextIO
from zlib import crc32

from supervisor.childutils import get_headers, listener

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_WIDTH = 12
_LINE_END = re.compile(r"\r\n|\r|\n")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ONLY_IN_THE_FILE = " - DEBUG - "
# What the file keeps and a person skips: date, zone, logger and level of ordinary news; job and id of a run.
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d) [+-]\d{4} - [\w.-]+ - (?:INFO - )?")
_RUN = re.compile(r"\w+ - [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} - ")


@dataclass
class Console:
    """Turns events into lines. Text without a line's end waits for the rest of its line."""

    logs: str
    coloured: bool
    _begun: dict[str, str] = field(default_factory=dict)

    def lines(self, event: str, payload: str) -> Iterator[str]:
        head, _, text = payload.partition("\n")
        facts = get_headers(head)
        name = facts.get("processname", "")
        if event.startswith("PROCESS_LOG"):
            yield from self._split_lines(name, text)
        elif event.startswith("PROCESS_STATE") and name != "console":
            yield from self._report_change(name, event.removeprefix("PROCESS_STATE_"), facts)

    def _split_lines(self, name: str, text: str) -> Iterator[str]:
        *whole, rest = _LINE_END.split(self._begun.pop(name, "") + text)
        if rest:
            self._begun[name] = rest
        yield from (self._line(name, _short(line)) for line in whole if line and _ONLY_IN_THE_FILE not in line)

    def _report_change(self, name: str, state: str, facts: Mapping[str, str]) -> Iterator[str]:
        if state in ("EXITED", "BACKOFF", "STOPPED") and name in self._begun:
            yield self._line(name, self._begun.pop(name))
        news = self._describe_state(name, state, facts)
        if news:
            yield self._line(name, news)

    def _describe_state(self, name: str, state: str, facts: Mapping[str, str]) -> str:
        if state == "EXITED":
            return "ended" if facts["expected"] == "1" else "died; starting it again"
        if state == "BACKOFF":
            return f"could not start; try {int(facts['tries']) + 1} in {facts['tries']} s"
        if state == "FATAL":
            return f"given up. Its log: {self.logs}/{name}.log. Correct the cause, then restart `make run`"
        return {"STARTING": "starting", "STOPPING": "stopping", "STOPPED": "stopped"}.get(state, "")

    def _line(self, name: str, text: str) -> str:
        label = f"{name:<{_WIDTH}}|"
        if self.coloured:
            label = f"\x1b[{_COLOURS[crc32(name.encode()) % len(_COLOURS)]}m{label}\x1b[0m"
        return f"{label} {text if self.coloured else _ANSI.sub('', text)}\n"


def _short(line: str) -> str:
    plain = _ANSI.sub("", line)
    return _RUN.sub("", _STAMP.sub(r"\1 ", plain), 1) if _STAMP.match(plain) else line


def serve(console: Console, events: TextIO, out: TextIO) -> None:
    """Answer Supervisor event by event until it closes the pipe."""
    while True:
        listener.ready(sys.stdout)
        headers = get_headers(events.readline())
        if not headers:
            return
        out.writelines(console.lines(headers["eventname"], events.read(int(headers["len"]))))
        out.flush()
        listener.ok(sys.stdout)


if __name__ == "__main__":
    # Lengths are in characters as sent, so line ends must stay as they are.
    with open(0, encoding="utf-8", newline="") as stream:
        tty = os.environ.get("MLOPS_COLOUR") == "1"
        serve(Console(f"{os.environ['MLOPS_HOME']}/logs", tty), stream, sys.stderr)
