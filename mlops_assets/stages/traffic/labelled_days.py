"""Keeps, for each day, its answers with the labels that are known by now: `monitoring/labelled` in the lake.

An outcome is in the partition of the day on which it came, so days after the answer's are read too. Judges nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.traffic.label_delay import reach_of
from mlops_assets.domain.traffic.labelled_rows import OUTCOMES, Absence, LabelledAnswers, label_answers
from mlops_assets.domain.traffic.outcomes import source_outcomes
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.traffic.slices import flatten_batch
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table
from mlops_assets.stages.traffic.source_labels import label_columns, source_labels

_DAY = timedelta(days=1)
_TABLE, _ENTITIES, _FEATURES = "labelled", "entities", "features"
_PLAIN = ("request_id", "row", "time", "version", "arm", "role", "bundle", "answer")
_SAMPLE = 50_000  # rows of a day whose features are kept for an estimate


@dataclass(frozen=True, eq=False)
class AnsweredDay:
    """A day's answers: flat rows, which of their columns name the example, and for numbers some rows' features."""

    rows: pa.Table
    keys: tuple[str, ...]
    sample: pa.Table | None


@dataclass(frozen=True)
class LabelledDays:
    """The labelled answers of one model."""

    spec: ModelSpec
    lake: Lake
    now: datetime

    def answered(self, day: str) -> AnsweredDay:
        """Read the day's answers from the lake; there are no rows where there was no traffic."""
        pieces, samples, keys = [], [], ()
        for batch, share in self._batches(day):
            keys = label_columns(self.spec, [field.name for field in batch[_ENTITIES].type])
            pieces.append(self._flat(batch, keys))
            samples.append(_thinned(batch, share) if self.spec.target.kind is Kind.REGRESSION else None)
        rows = pa.Table.from_batches(pieces) if pieces else pa.Table.from_batches([self._flat(_no_rows(), ())])
        kept = [each for each in samples if each is not None]
        return AnsweredDay(rows, keys, pa.Table.from_batches(kept) if kept else None)

    def outcomes(self, days: Sequence[str]) -> pa.Table:
        """Read the feedback that came on these days."""
        table = self.lake.table(self.spec.model, Layer.PREDICTIONS, "outcomes")
        found = table.read(days, OUTCOMES.names)
        return found.select(OUTCOMES.names).cast(OUTCOMES) if found.num_columns else OUTCOMES.empty_table()

    def known_until(self, day: str) -> datetime:
        """Up to when the outcomes of the day's answers are in the lake; now where none came as feedback."""
        start = start_of(day)
        snapshots = self.outcome_snapshots(start, min(self.now, start + reach_of(self.spec.target)))
        if not any(snapshot.rows for snapshot in snapshots.values()):
            return self.now
        return min(self.now, start_of(max(snapshots)) + _DAY)

    def answer_snapshots(self, days: Iterable[str]) -> dict[str, Snapshot]:
        """Day → what the lake holds of its answers."""
        return self.lake.table(self.spec.model, Layer.PREDICTIONS, "answers").snapshots(days)

    def outcome_snapshots(self, first: datetime, last: datetime) -> dict[str, Snapshot]:
        """Day → what the lake holds of the feedback that came on it."""
        return self.lake.table(self.spec.model, Layer.PREDICTIONS, "outcomes").snapshots(days_between(first, last))

    def requests(self, day: str) -> pa.Table:
        """Read the identities of the requests and rows that were answered on the day."""
        found = self.lake.table(self.spec.model, Layer.PREDICTIONS, "answers").read([day], _PLAIN[:2])
        return (
            found
            if found.num_columns
            else pa.table({"request_id": pa.array([], pa.string()), "row": pa.array([], pa.int32())})
        )

    def bring(self, day: str, answers: AnsweredDay, judged: Mapping[str, LabelSpace]) -> LabelledAnswers:
        """Join the outcomes that are known by now to the day's answers, and write the result."""
        outcomes = self._read_outcomes(day, answers)
        found = label_answers(answers.rows, outcomes, judged, now=self.now, absent=self._absence(day, answers))
        rows = found.rows.drop_columns([name for name in answers.keys if name in found.rows.column_names])
        self._table.write(day, rows, now=self.now, time_column="time")
        return found

    def read(self, days: Sequence[str], columns: Sequence[str] | None = None) -> dict[str, pa.Table]:
        """Day → its labelled answers, of those days that have any."""
        found = {day: self._table.read([day], columns) for day in sorted(days)}
        return {day: rows for day, rows in found.items() if len(rows)}

    def _absence(self, day: str, answers: AnsweredDay) -> Absence | None:
        """What it means that no outcome is there, as far as outcomes are in the lake."""
        if self.spec.target.absent is None:
            return None
        until = self.known_until(day)
        if answers.keys:
            labels = self.lake.table(self.spec.model, Layer.VALIDATED, self.spec.target.feed).snapshots().values()
            until = min(until, max((each.watermark for each in labels if each.watermark), default=start_of(day)))
        return Absence(self.spec.target.absent, until)

    @property
    def _table(self) -> Table:
        return self.lake.table(self.spec.model, Layer.MONITORING, _TABLE)

    def _read_outcomes(self, day: str, answers: AnsweredDay) -> pa.Table:
        start = start_of(day)
        outcomes = [self.outcomes(days_between(start - _DAY, min(self.now, start + reach_of(self.spec.target))))]
        if answers.keys:
            labels = source_labels(self.spec, self.lake, since=start, now=self.now)
            found = (
                source_outcomes(answers.rows, labels, answers.keys, self.spec.target.column) if len(labels) else None
            )
            outcomes += [] if found is None else [found.select(OUTCOMES.names).cast(OUTCOMES)]
        return pa.concat_tables(outcomes)

    def _batches(self, day: str) -> Iterator[tuple[pa.RecordBatch, float]]:
        """The day's rows, and the share of them that a sample takes."""
        table = self.lake.table(self.spec.model, Layer.PREDICTIONS, "answers")
        snapshot = table.snapshot(day)
        if snapshot is None:
            return
        share = min(1.0, _SAMPLE / max(snapshot.rows, 1))
        columns = [*_PLAIN, "key", _ENTITIES, *([_FEATURES] if self._needs_features else [])]
        for piece in table.read_pieces(snapshot, columns):
            for name in (_ENTITIES, _FEATURES):
                if name not in piece.column_names:  # the lake has no empty structs
                    piece = piece.append_column(name, pa.nulls(len(piece), pa.struct([])))
            yield from ((batch, share) for batch in piece.combine_chunks().to_batches())

    @property
    def _needs_features(self) -> bool:
        return bool(slicing_columns(self.spec)) or self.spec.target.kind is Kind.REGRESSION

    def _flat(self, batch: pa.RecordBatch, keys: Sequence[str]) -> pa.RecordBatch:
        return flatten_batch(batch, slicing_columns(self.spec), keys, _PLAIN)


def slicing_columns(spec: ModelSpec) -> tuple[SliceSpec, ...]:
    """The columns that divide rows into parts: declared slices, and protected attributes."""
    slices = {each.column: each for each in spec.slices}
    minimum = spec.fairness.minimum
    groups = [
        SliceSpec(column=name, bins=0, minimum=minimum) for name in spec.fairness.attributes if name not in slices
    ]
    return (*slices.values(), *groups)


def start_of(day: str) -> datetime:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)


def days_between(first: datetime, last: datetime) -> list[str]:
    """The names of the days from the one to the other, both included."""
    return [f"{first + step * _DAY:%Y-%m-%d}" for step in range((last.date() - first.date()).days + 1)]


def _thinned(batch: pa.RecordBatch, share: float) -> pa.RecordBatch:
    count = int(np.ceil(len(batch) * share))
    places = np.linspace(0, len(batch) - 1, count).astype(np.int64)
    return batch.select(["bundle", "answer", _FEATURES]).take(pa.array(places))


def _no_rows() -> pa.RecordBatch:
    texts = dict.fromkeys(("request_id", "version", "arm", "role", "bundle", "key"), pa.string())
    kinds = {"row": pa.int32(), "time": pa.timestamp("us", "UTC"), "answer": pa.list_(pa.float64())}
    structs = dict.fromkeys((_ENTITIES, _FEATURES), pa.struct([]))
    return pa.RecordBatch.from_pylist([], pa.schema({**texts, **kinds, **structs}))
