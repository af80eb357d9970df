"""Keeps the ledgers: one append-only file of JSON lines a model. `domain/registry/ledger.py` says what is in a line.

An append is one write followed by fsync, under a lock. A process killed in the middle leaves at most one half
line; the next append sets that half aside in `<model>.torn` and enters a repair. Whole lines are never
touched.
"""

import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import dagster as dg
from filelock import FileLock

from mlops_assets.domain.registry import champions
from mlops_assets.domain.registry.ledger import (
    Draft,
    Entry,
    LedgerAction,
    LedgerProblem,
    check_chain,
    from_line,
    seal,
    to_line,
)
from serving.contract.atomic import sync

_WAIT = 30.0  # seconds for another process to finish its append
_TORN_REASON = "a half-written line was cut off: the process that wrote it ended before the append was complete"


class LedgerBrokenError(RuntimeError):
    """The file is not the chain that was written."""


class Ledger(dg.ConfigurableResource["Ledger"]):
    """The ledgers under one folder."""

    folder: str

    def append(self, model: str, draft: Draft, *, now: datetime) -> Entry:
        """Enter the draft at the end; the entry there already is, where its cause was entered before."""
        with self._lock(model):
            self._repair(model, now)
            entries = self._sound_entries(model)
            known = next((entry for entry in entries if entry.cause == draft.cause), None)
            return known or self._write(model, draft, now, entries[-1] if entries else None)

    def entries(self, model: str) -> list[Entry]:
        """All entries in order; an error where the chain is broken."""
        return self._sound_entries(model)

    def verify(self, model: str, *, heads: Mapping[int, str] | None = None) -> list[LedgerProblem]:
        """What is wrong with the ledger; `heads` are hashes by sequence that were noted elsewhere."""
        lines, torn = self._read(model)
        problems = check_chain(lines, heads=heads)
        if torn:
            problems.append(
                LedgerProblem(len(lines) + 1, f"is half-written ({len(torn)} bytes); the next append sets it aside")
            )
        return problems

    def champion_at(self, model: str, moment: datetime) -> Entry | None:
        return champions.champion_at(self.entries(model), moment)

    def entry_in_force(self, model: str, moment: datetime) -> Entry | None:
        """The entry that says which version of the model answered at that moment."""
        return champions.entry_in_force(self.entries(model), moment)

    def _write(self, model: str, draft: Draft, now: datetime, before: Entry | None) -> Entry:
        entry = seal(draft, model=model, now=now, before=before)
        _append_durably(self._file(model), f"{to_line(entry)}\n".encode())
        return entry

    def _sound_entries(self, model: str) -> list[Entry]:
        lines, _ = self._read(model)
        if problems := check_chain(lines):
            breaks = "; ".join(f"line {problem.line} {problem.what}" for problem in problems)
            raise LedgerBrokenError(
                f"{self._file(model)}: {breaks}. Restore the file from a backup. Where there is none, keep it "
                "under another name for the audit and enter an override that says so first in a new one."
            )
        return [from_line(line) for line in lines]

    def _read(self, model: str) -> tuple[list[str], bytes]:
        """The whole lines, and what follows the last line's end."""
        try:
            content = self._file(model).read_bytes()
        except FileNotFoundError:
            return [], b""
        whole, end, torn = content.rpartition(b"\n")
        return (whole + end).decode(errors="replace").split("\n")[:-1], torn

    def _repair(self, model: str, now: datetime) -> None:
        lines, torn = self._read(model)
        if not torn:
            return
        file = self._file(model)
        _append_durably(file.with_suffix(".torn"), torn + b"\n")
        with file.open("rb+") as stream:
            stream.truncate(file.stat().st_size - len(torn))
            os.fsync(stream.fileno())
        entries = self._sound_entries(model)
        self._write(model, _repair_draft(len(lines) + 1, torn), now, entries[-1] if entries else None)

    def _file(self, model: str) -> Path:
        return Path(self.folder) / f"{model}.jsonl"

    def _lock(self, model: str) -> FileLock:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        return FileLock(str(self._file(model).with_suffix(".lock")), timeout=_WAIT)


def _repair_draft(line: int, torn: bytes) -> Draft:
    digest = hashlib.sha256(torn).hexdigest()
    return Draft(
        action=LedgerAction.REPAIR,
        subject=str(line),
        actor="ledger",
        reason=_TORN_REASON,
        numbers={"line": line, "bytes": len(torn)},
        details={"sha256": digest},
        cause=f"repair:{line}:{digest}",
    )


def _append_durably(file: Path, content: bytes) -> None:
    new = not file.exists()
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if (written := os.write(handle, content)) != len(content):
            raise OSError(f"{file}: only {written} of {len(content)} bytes were written; is the disk full?")
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        sync(file.parent)
