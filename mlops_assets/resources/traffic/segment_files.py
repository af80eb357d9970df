"""Reads segments while the endpoint appends to them, closes them or is killed. Knows files and times, no model.

A closed segment never changes, so its times and generations are remembered by path and size; a
segment that cannot hold a requested row is not opened again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from serving.contract.segments import CLOSED, OPEN, decode_dictionaries, read_batches

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # how a closed segment ends
_MOST_REMEMBERED = 100_000  # closed segments
_CLOCKS = timedelta(days=1)  # how far the clocks of two machines may differ


@dataclass(frozen=True)
class SegmentExtent:
    """What a closed segment holds, in the model's time."""

    first: datetime
    last: datetime
    generations: tuple[int, int] | None  # smallest and largest; feedback has none


@dataclass(frozen=True)
class RowFilter:
    """Which rows to read: `since` <= time < `until`, of one generation."""

    since: datetime | None
    until: datetime | None
    generation: int | None

    def may_lie_in(self, extent: SegmentExtent) -> bool:
        late = self.since is not None and extent.last < self.since
        early = self.until is not None and extent.first >= self.until
        spans = extent.generations
        other = self.generation is not None and spans is not None and not spans[0] <= self.generation <= spans[1]
        return not (late or early or other)

    def covers(self, extent: SegmentExtent) -> bool:
        """Does every row of it pass the filter?"""
        late = self.since is None or extent.first >= self.since
        early = self.until is None or extent.last < self.until
        return late and early and (self.generation is None or extent.generations == (self.generation,) * 2)

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        kept = []
        if self.since is not None:
            kept.append(pc.greater_equal(batch["time"], pa.scalar(self.since, batch["time"].type)))
        if self.until is not None:
            kept.append(pc.less(batch["time"], pa.scalar(self.until, batch["time"].type)))
        if self.generation is not None:
            kept.append(pc.equal(batch["generation"], self.generation))
        for mask in kept[1:]:
            kept[0] = pc.and_(kept[0], mask)
        return batch.filter(kept[0]) if kept else batch


_extents: dict[tuple[str, int], SegmentExtent] = {}  # (path, size) of closed segments → what they hold


def read_matching(path: Path, wanted: RowFilter, problems: list[str]) -> Iterator[pa.RecordBatch]:
    """Read the rows of a segment that pass the filter."""
    if cannot_hold(path, wanted):
        return
    extent = _extents.get(_identity(path))
    whole = extent is not None and wanted.covers(extent)
    for batch in batches_of(path, problems):
        rows = batch if whole else wanted.of(batch)
        if rows.num_rows:
            yield rows


def cannot_hold(path: Path, wanted: RowFilter) -> bool:
    """Decide by the remembered extent, or by the time of the last write: no model's time is ahead of the machine's."""
    extent = _extents.get(_identity(path))
    if extent is not None:
        return not wanted.may_lie_in(extent)
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return False
    return wanted.since is not None and written < wanted.since - _CLOCKS


def segments_in(folder: Path) -> list[Path]:
    """List every segment once, even one that is closed meanwhile: open ones are listed first, closed ones win."""
    named = {path.name.removesuffix(OPEN): path for path in folder.glob(f"[!.]*{OPEN}")}
    named |= {path.name.removesuffix(CLOSED): path for path in folder.glob(f"[!.]*{CLOSED}")}
    return [named[name] for name in sorted(named)]


def is_closed(path: Path) -> bool:
    return path.name.endswith(CLOSED)


def batches_of(path: Path, problems: list[str]) -> Iterator[pa.RecordBatch]:
    """The whole batches of a segment; what is wrong with a closed one is put into `problems`."""
    try:
        if is_closed(path):
            yield from _closed(path, problems)
        else:
            yield from read_batches(path)
    except FileNotFoundError:  # it was closed since it was listed, or compacted away
        closed = path.with_name(path.name.removesuffix(OPEN).removesuffix(CLOSED) + CLOSED)
        if closed != path and closed.exists():
            yield from _closed(closed, problems)
    except OSError as err:
        problems.append(f"{path}: cannot be read: {err.strerror or err}")


def _closed(path: Path, problems: list[str]) -> Iterator[pa.RecordBatch]:
    """Mapped into memory: columns that nobody uses are not read from disk."""
    identity = _identity(path)
    ranges = None if identity in _extents else _Ranges()
    if not _ends_well(path):
        problems.append(f"{path}: does not end as a closed segment does; the batches before the cut were read")
    with pa.memory_map(str(path)) as source:
        try:
            for batch in map(decode_dictionaries, pa.ipc.open_stream(source)):
                if ranges is not None:
                    ranges.add(batch)
                yield batch
        except (pa.ArrowInvalid, OSError) as err:
            problems.append(f"{path}: is damaged: {err}")
            return
    if ranges is not None and (extent := ranges.extent()) is not None:
        if len(_extents) >= _MOST_REMEMBERED:
            _extents.clear()
        _extents[identity] = extent


class _Ranges:
    """Gathers the extent of a segment while its batches pass."""

    def __init__(self) -> None:
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._generations: tuple[int, int] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        times = pc.min_max(batch["time"]).as_py()
        if times["min"] is None:
            return
        self._first = _least(min, self._first, times["min"])
        self._last = _least(max, self._last, times["max"])
        if "generation" in batch.schema.names:
            span = pc.min_max(batch["generation"]).as_py()
            before = self._generations or (span["min"], span["max"])
            self._generations = min(before[0], span["min"]), max(before[1], span["max"])

    def extent(self) -> SegmentExtent | None:
        if self._first is None or self._last is None:
            return None
        return SegmentExtent(self._first, self._last, self._generations)


def _least(choose: Callable[..., datetime], known: datetime | None, new: datetime) -> datetime:
    return new if known is None else choose(known, new)


def _identity(path: Path) -> tuple[str, int]:
    try:
        return str(path), path.stat().st_size
    except OSError:
        return str(path), -1


def _ends_well(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(_END)))
        return stream.read() == _END
