"""The ledger's file: durable, append-only, honest after a kill."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.domain.registry.ledger import Draft, LedgerAction
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError
from tests.kit.samples import MOMENT, sample

ROOT = Path(__file__).parents[3]


def draft(cause: str, **given) -> Draft:
    return sample(Draft, **{"action": LedgerAction.PROMOTED, "subject": "1", "cause": cause, **given})


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(folder=str(tmp_path / "ledger"))


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "ledger" / "m.jsonl"


def test_entries_come_back_in_order(ledger):
    made = [ledger.append("m", draft(f"c{i}"), now=MOMENT + timedelta(hours=i)) for i in range(3)]
    assert ledger.entries("m") == made
    assert [entry.sequence for entry in made] == [1, 2, 3]
    assert ledger.verify("m") == []
    assert ledger.entries("another") == []


def test_the_same_cause_is_entered_once(ledger):
    first = ledger.append("m", draft("c"), now=MOMENT)
    again = ledger.append("m", draft("c", reason="said again"), now=MOMENT + timedelta(days=1))
    assert again == first
    assert len(ledger.entries("m")) == 1


def test_each_model_has_its_own_ledger(ledger):
    ledger.append("m", draft("c"), now=MOMENT)
    assert ledger.append("n", draft("c"), now=MOMENT).sequence == 1


def test_a_changed_line_is_refused_with_its_number_and_a_remedy(ledger, file):
    for i in range(3):
        ledger.append("m", draft(f"c{i}", reason=f"reason {i}"), now=MOMENT)
    file.write_text(file.read_text().replace("reason 1", "reason 9"))
    assert {problem.line for problem in ledger.verify("m")} == {2}
    with pytest.raises(LedgerBrokenError, match=r"line 2 was changed.*Restore the file"):
        ledger.entries("m")
    with pytest.raises(LedgerBrokenError):
        ledger.append("m", draft("c9"), now=MOMENT)
    assert len(file.read_text().splitlines()) == 3


def test_a_half_written_line_is_recorded_as_a_repair(ledger, file):
    one = ledger.append("m", draft("c0"), now=MOMENT)
    whole = file.read_bytes()
    half = b'{"action":"promoted","act'
    file.write_bytes(whole + half)
    assert "half-written" in ledger.verify("m")[0].what
    assert ledger.entries("m") == [one]  # readers see whole lines only
    two = ledger.append("m", draft("c1"), now=MOMENT)
    entries = ledger.entries("m")
    assert [entry.action for entry in entries] == [LedgerAction.PROMOTED, LedgerAction.REPAIR, LedgerAction.PROMOTED]
    assert entries[1].numbers == {"line": 2.0, "bytes": float(len(half))}
    assert entries[2] == two
    assert file.read_bytes().startswith(whole)
    assert file.with_suffix(".torn").read_bytes() == half + b"\n"
    assert ledger.verify("m") == []


def test_a_file_that_begins_with_a_half_line_is_repaired_too(ledger, file):
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"act')
    ledger.append("m", draft("c"), now=MOMENT)
    assert [entry.action for entry in ledger.entries("m")] == [LedgerAction.REPAIR, LedgerAction.PROMOTED]


def test_entries_cut_off_are_found_by_noted_heads(ledger, file):
    entries = [ledger.append("m", draft(f"c{i}"), now=MOMENT) for i in range(2)]
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert ledger.verify("m") == []
    assert ledger.verify("m", heads={2: entries[1].hash})


def test_who_served_reads_the_file(ledger):
    ledger.append("m", draft("c0", subject="1"), now=MOMENT)
    ledger.append("m", draft("c1", subject="2"), now=MOMENT + timedelta(days=2))
    server = ledger.entry_in_force("m", MOMENT + timedelta(days=1))
    assert server is not None
    assert server.subject == "1"
    assert ledger.entry_in_force("m", MOMENT - timedelta(days=1)) is None
    assert ledger.champion_at("m", MOMENT + timedelta(days=3)).subject == "2"


def _append_many(folder: str, worker: int) -> None:
    ledger = Ledger(folder=folder)
    for i in range(10):
        ledger.append("m", draft(f"{worker}:{i}"), now=MOMENT)
        ledger.append("m", draft(f"shared {i}"), now=MOMENT)


def test_processes_that_append_at_once_make_one_chain(ledger, tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append_many, args=(ledger.folder, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert ledger.verify("m") == []
    assert len(ledger.entries("m")) == 40


KILLED = """
import sys
from tests.resources.registry.test_ledger import draft
from tests.kit.samples import MOMENT
from mlops_assets.resources.registry.ledger import Ledger
ledger = Ledger(folder=sys.argv[1])
for number in range(10_000):
    ledger.append("m", draft(f"c{number}"), now=MOMENT)
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(ledger):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, ledger.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(5)]
        time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    after = Ledger(folder=ledger.folder)
    after.append("m", draft("after the kill"), now=MOMENT)
    causes = [entry.cause for entry in after.entries("m")]
    assert causes[: len(acknowledged)] == [f"c{number}" for number in acknowledged]
    assert causes[-1] == "after the kill"
    assert after.verify("m") == []
