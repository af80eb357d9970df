"""Collects what the endpoint logged on a day into the lake, each row once.

The rows that a day held before come first, then those of the segments in the order in which they were begun; so a
run that is repeated, killed or late changes nothing that was there. A manifest names the closed segments that went
into it. Memory holds the identities of a day, never its features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer
from mlops_assets.domain.partitions import Window
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.traffic.answer_digests import ROW_COLUMNS, DigestFindings, compare_digests
from mlops_assets.domain.traffic.answer_tally import COLUMNS, AnswerTally
from mlops_assets.domain.traffic.compaction import (
    ANSWERS,
    DIGESTS,
    IDENTITY,
    OUTCOMES,
    REFUSALS,
    common_schema,
    count_distinct,
    fit_schema,
    gather_batches,
    rows_of_day,
    select_rows,
)
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.resources.traffic.log_segments import IN_LOG, LogSegments
from mlops_assets.resources.traffic.segment_files import batches_of

_KEY_TYPES = {"row": pa.int32(), "part": pa.int64(), "digest": pa.int64()}
LOGS = {
    ANSWERS: "predictions",
    OUTCOMES: "feedback",
    REFUSALS: "refusals",
    DIGESTS: "digests",
}  # kind → the endpoint's folder


@dataclass(frozen=True)
class Compacted:
    """What became of one day of one log."""

    snapshot: Snapshot
    added: int
    repeated: int  # rows that had come before
    elsewhere: int  # rows that a day beside this one holds
    identities: int  # different rows that were read, by a count of its own
    read_back: int  # different rows that the written file holds
    problems: tuple[str, ...]  # files that could not be read whole

    @property
    def missing(self) -> int:
        """Rows that were read and are not in the file."""
        return self.identities - self.elsewhere - self.read_back


@dataclass(frozen=True)
class CompactedLogs:
    """What one run brought into the lake."""

    logs: Mapping[str, LogSegments]  # kind → files
    days: Mapping[str, Mapping[str, Compacted]]  # day → kind → what became of it
    tally: AnswerTally
    findings: Mapping[str, DigestFindings]  # day → what differs from the endpoint's own digests

    @property
    def answers(self) -> list[Compacted]:
        return [day[ANSWERS] for day in self.days.values()]

    @property
    def rows(self) -> int:
        return sum(each.snapshot.rows for each in self.answers)

    @property
    def added(self) -> int:
        return sum(each.added for each in self.answers)


def compact_days(
    spec: ModelSpec, days: Sequence[Window], *, lake: Lake, traffic: Traffic, folder: Path, now: datetime
) -> CompactedLogs:
    """Compact the logs of every day. `folder`: where what is known of closed segments is kept."""
    logs = {
        kind: LogSegments(traffic.folder(log, spec.model), folder / f"{kind}.json").look() for kind, log in LOGS.items()
    }
    tables = {kind: lake.table(spec.model, Layer.PREDICTIONS, kind) for kind in logs}
    compacted: dict[str, dict[str, Compacted]] = {}
    tally = AnswerTally()
    findings: dict[str, DigestFindings] = {}
    for day in days:
        beside = _days_beside(day)
        compacted[day.partition] = {
            kind: compact(kind, day.partition, logs[kind], tables[kind], beside[kind], now=now) for kind in logs
        }
        for piece in tables[ANSWERS].read_pieces(compacted[day.partition][ANSWERS].snapshot, COLUMNS):
            tally.add(piece)
        findings[day.partition] = _compare_digests(tables, day.partition, beside[ANSWERS])
    return CompactedLogs(logs, compacted, tally, findings)


def _compare_digests(tables: Mapping[str, Table], day: str, beside: Sequence[str]) -> DigestFindings:
    """The written rows of the day against the digests that the endpoint wrote when it answered."""
    digests, answers = tables[DIGESTS].snapshot(day), tables[ANSWERS]
    if digests is None or not digests.rows:
        return DigestFindings()
    there = [answers.snapshot(name) for name in (day, *beside)]
    own, *others = ([] if s is None or not s.rows else answers.read_pieces(s, ROW_COLUMNS) for s in there)
    return compare_digests(tables[DIGESTS].read([day]), own, chain.from_iterable(others))


def _days_beside(day: Window) -> dict[str, list[str]]:
    """A message that a killed process left is answered again, perhaps on the other side of midnight."""
    assert day.start is not None
    names = [f"{day.start + timedelta(days=step):%Y-%m-%d}" for step in (-1, 1)]
    return {ANSWERS: names, OUTCOMES: [], REFUSALS: [], DIGESTS: []}


def compact(
    kind: str, day: str, segments: LogSegments, table: Table, beside: Sequence[str], *, now: datetime
) -> Compacted:
    """Write the day's partition from its former rows and the log. `beside`: days that may hold the same rows."""
    before = table.snapshot(day)
    reading = _Reading(kind, day, segments, table, before)
    keys = reading.keys()
    others = [_keys(table, other, kind) for name in beside if (other := table.snapshot(name)) is not None]
    kept = select_rows(keys, others)
    inputs = {**(before.inputs if before else {}), **reading.inputs()}
    held = before.rows if before else 0
    if before is not None and kept.rows == held:
        snapshot = table.restate(before, inputs, now=now)
    else:
        rows = reading.rows(kept.mask)
        snapshot = table.write_pieces(day, rows, reading.schema, now=now, time_column="time", inputs=inputs)
    written = _keys(table, snapshot, kind)
    return Compacted(
        snapshot=snapshot,
        added=snapshot.rows - held,
        repeated=kept.repeated,
        elsewhere=kept.elsewhere,
        identities=count_distinct(pa.concat_tables([keys, written]).select(list(IDENTITY[kind]))),
        read_back=count_distinct(written),
        problems=tuple(reading.problems),
    )


class _Reading:
    """The rows of one day, read twice: first their identities, then their content."""

    def __init__(self, kind: str, day: str, segments: LogSegments, table: Table, before: Snapshot | None) -> None:
        self._kind, self._day, self._table, self._before = kind, day, table, before
        self._start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        self._closed = segments.closed
        done = before.inputs if before else {}
        there = segments.of_day(day)
        self._files = {name: path for name, path in there.items() if f"{IN_LOG}{name}" not in done}
        self._read: dict[str, int] = {}  # segment → rows that were there the first time
        self._schemas: list[pa.Schema] = []
        self.problems: list[str] = []

    def keys(self) -> pa.Table:
        """The identity of every row, in order."""
        names = list(IDENTITY[self._kind])
        found = [_keys(self._table, self._before, self._kind)]
        if self._before is not None and (schema := self._table.schema(self._before)) is not None:
            self._schemas.append(schema)
        for name in self._files:
            for piece in self._pieces(name):
                self._read[name] = self._read.get(name, 0) + len(piece)
                if piece.schema not in self._schemas:
                    self._schemas.append(piece.schema)
                found.append(self._of_day(piece.select([*names, "time"])).select(names))
        return pa.concat_tables([each.cast(_key_schema(self._kind)) for each in found]).combine_chunks()

    def rows(self, mask: Any) -> Iterator[pa.Table]:
        """The rows that the mask keeps, in the common schema."""
        place = 0
        for piece in self._again():
            keep = pa.array(mask[place : place + len(piece)])
            place += len(piece)
            yield fit_schema(piece.filter(keep), self.schema)

    @property
    def schema(self) -> pa.Schema:
        time = pa.field("time", pa.timestamp("us", "UTC"))
        return common_schema([pa.schema([*_key_schema(self._kind), time]), *self._schemas])

    def inputs(self) -> dict[str, str]:
        """The closed segments that were read whole."""
        return {
            f"{IN_LOG}{name}": str(self._closed[name].days[self._day]) for name in self._files if name in self._closed
        }

    def _again(self) -> Iterator[pa.Table]:
        if self._before is not None:
            yield from self._table.read_pieces(self._before)
        for name, most in self._read.items():
            left = most  # what was appended since belongs to the next run
            for piece in self._pieces(name):
                yield self._of_day(piece.slice(0, left))
                left -= min(left, len(piece))

    def _pieces(self, name: str) -> Iterator[pa.Table]:
        found: list[str] = []
        yield from gather_batches(batches_of(self._files[name], found))
        self.problems += [each for each in found if each not in self.problems]

    def _of_day(self, piece: pa.Table) -> pa.Table:
        return rows_of_day(piece, self._start)


def _keys(table: Table, snapshot: Snapshot | None, kind: str) -> pa.Table:
    schema = _key_schema(kind)
    if snapshot is None or not snapshot.file:
        return schema.empty_table()
    return table.read_snapshots([snapshot], schema.names).select(schema.names).cast(schema)


def _key_schema(kind: str) -> pa.Schema:
    return pa.schema([(name, _KEY_TYPES.get(name, pa.string())) for name in IDENTITY[kind]])
