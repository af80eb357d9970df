"""A folder on this machine's disk: half-done work that a killed run comes back to, and copies of remote folders.

Nothing here is the truth about anything. It may be deleted between runs at the cost of doing work again.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

_PATIENCE = 1800.0  # seconds for another run of the same model


class AlreadyRunningError(RuntimeError):
    """Another process does the same for the same model."""


class Workspace(dg.ConfigurableResource["Workspace"]):
    """Scratch space that outlives a run."""

    folder: str

    @property
    def cache(self) -> Path:
        """Where copies of remote folders go."""
        return self._made(Path(self.folder) / "cache")

    def place(self, model: str, purpose: str) -> Path:
        """The folder for one purpose of one model."""
        return self._made(Path(self.folder) / model / purpose)

    @contextmanager
    def alone(self, model: str, purpose: str, run_id: str) -> Iterator[Path]:
        """The same folder while no other process has it; the error says who has. A dead process holds nothing."""
        folder = self.place(model, purpose)
        holder = folder / "holder.json"
        lock = FileLock(str(folder / "lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout as err:
            who = json.loads(holder.read_text()) if holder.exists() else {}
            raise AlreadyRunningError(
                f"{model}: another run does {purpose} already (Dagster run {who.get('run', 'unknown')}, process "
                f"{who.get('process', 'unknown')} on {who.get('host', 'unknown')}). Wait for it or cancel it."
            ) from err
        try:
            holder.write_text(json.dumps({"run": run_id, "process": os.getpid(), "host": socket.gethostname()}))
            yield folder
        finally:
            lock.release()

    @contextmanager
    def in_turn(self, model: str, purpose: str) -> Iterator[Path]:
        """The same folder once every other process has let it go: two runs would each leave out what the other read."""
        folder = self.place(model, purpose)
        with FileLock(str(folder / "lock"), timeout=_PATIENCE):
            yield folder

    def _made(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
