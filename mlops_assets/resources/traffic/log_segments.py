"""The segments of one log: which days they hold, and which of them may be removed.

A closed segment never changes, so what it holds is noted down. One is removed only when it is old and every
row of it is in a day that is written and sound.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from mlops_assets.domain.traffic.compaction import count_by_day, gather_batches
from mlops_assets.resources.lake.files import put_bytes
from mlops_assets.resources.lake.table import Table
from mlops_assets.resources.traffic.segment_files import batches_of, is_closed, segments_in
from serving.contract.segments import CLOSED, CUT, OPEN

IN_LOG = "log/"  # before a segment's name among the inputs of a snapshot


@dataclass(frozen=True)
class SegmentNote:
    """What a closed segment holds, in the model's time."""

    size: int
    days: Mapping[str, int]  # day → rows
    latest: str  # ISO


@dataclass(frozen=True)
class RemovedSegments:
    files: int
    rows: int
    size: int  # bytes


@dataclass
class LogSegments:
    """The files of one log of one model, with notes on the closed ones."""

    folder: Path
    notes: Path
    problems: list[str] = field(default_factory=list)
    closed: dict[str, SegmentNote] = field(default_factory=dict)
    _files: dict[str, Path] = field(default_factory=dict)

    def look(self) -> Self:
        """List the files, and note what newly closed ones hold."""
        known = {name: SegmentNote(**note) for name, note in _read_notes(self.notes).items()}
        self._files = {_name(path): path for path in segments_in(self.folder)}
        self.closed = {}
        for name, path in self._files.items():
            if is_closed(path):
                note = known.get(name)
                fresh = note is not None and note.size == path.stat().st_size
                if found := note if fresh else self._examined(path):
                    self.closed[name] = found
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        put_bytes(str(self.notes), json.dumps({n: vars(h) for n, h in self.closed.items()}).encode())
        return self

    def of_day(self, day: str) -> dict[str, Path]:
        """Segments that hold rows of the day, or may; in the order in which they were begun."""
        return {
            name: path for name, path in self._files.items() if name not in self.closed or day in self.closed[name].days
        }

    @property
    def cut(self) -> int:
        """Files that a killed process left with not one whole batch."""
        return len(list(self.folder.glob(f"*{CUT}")))

    def days(self) -> dict[str, int]:
        """Day → rows in closed segments."""
        found: dict[str, int] = {}
        for note in self.closed.values():
            for day, rows in note.days.items():
                found[day] = found.get(day, 0) + rows
        return found

    def remove(self, table: Table, before: datetime) -> RemovedSegments:
        """Remove closed segments from before a moment whose every row is in a day that is written and sound."""
        sound: dict[str, Mapping[str, str]] = {}
        gone = RemovedSegments(0, 0, 0)
        for name, note in sorted(self.closed.items()):
            if datetime.fromisoformat(note.latest) >= before:
                continue
            for day in note.days.keys() - sound.keys():
                snapshot = table.snapshot(day)
                sound[day] = snapshot.inputs if snapshot is not None and table.is_sound(snapshot) else {}
            if all(sound[day].get(f"{IN_LOG}{name}") == str(rows) for day, rows in note.days.items()):
                self._files[name].unlink(missing_ok=True)
                gone = RemovedSegments(gone.files + 1, gone.rows + sum(note.days.values()), gone.size + note.size)
        return gone

    def _examined(self, path: Path) -> SegmentNote | None:
        """None where part of it cannot be read: it counts as open, and is never removed."""
        found: list[str] = []
        size = path.stat().st_size
        days: dict[str, int] = {}
        latest = 0
        for piece in gather_batches(batches_of(path, found)):
            times = piece["time"].cast("int64")
            latest = max(latest, max((chunk.to_numpy().max() for chunk in times.chunks if len(chunk)), default=0))
            for day, rows in count_by_day(piece["time"]).items():
                days[day] = days.get(day, 0) + rows
        if found:
            self.problems += [each for each in found if each not in self.problems]
            return None
        return SegmentNote(size, days, datetime.fromtimestamp(int(latest) / 1e6, UTC).isoformat())


def _read_notes(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # they are made again


def _name(path: Path) -> str:
    return path.name.removesuffix(OPEN).removesuffix(CLOSED)
