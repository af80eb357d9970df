"""What the endpoint wrote down: answers (the prediction log) and outcomes (feedback). Reads; judges and writes nothing.

How files are read while the endpoint writes to them is `segment_files`' business.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.resources.traffic.segment_files import RowFilter, read_matching, segments_in

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_assets.domain.release.replay_rows import Replayable
    from serving.contract.fields import Field

_ANSWERED = ("request_id", "row", "answer")


class TrafficError(OSError):
    """Part of a log cannot be read; every file is named."""


class Traffic(dg.ConfigurableResource["Traffic"]):
    """The two logs of every model."""

    predictions: str
    feedback: str

    def answers(
        self,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
        generation: int | None = None,
        problems: list[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """The logged rows with `since` <= time < `until`, file by file.

        What cannot be read is put into `problems`; without that list a TrafficError names it after the last row.
        """
        return self._read(Path(self.predictions) / model, RowFilter(since, until, generation), columns, problems)

    def outcomes(
        self,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        problems: list[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """The outcomes that came with `since` <= time < `until`, file by file."""
        return self._read(Path(self.feedback) / model, RowFilter(since, until, None), None, problems)

    def latest(
        self,
        model: str,
        *,
        bundle: str,
        fields: "Sequence[Field]",
        most: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> "Replayable":
        """The latest rows that this bundle answered in the window, as requests for a version with these fields."""
        import pyarrow as pa

        from mlops_assets.domain.release.replay_rows import replayable
        from mlops_assets.domain.traffic.outcomes import FEEDBACK, first_outcomes, outcome_texts

        problems: list[str] = []
        wanted = RowFilter(since, until, None)
        batches = self._latest(Path(self.predictions) / model, wanted, bundle, most, problems)
        rows = pa.Table.from_batches([batch.select(_ANSWERED) for batch in batches], _answered())
        feedback = self.outcomes(model, since=since, problems=problems)
        told = first_outcomes(pa.Table.from_batches([batch.select(FEEDBACK.names) for batch in feedback], FEEDBACK))
        answers = pa.array(rows["answer"].to_pylist(), _answered().field("answer").type)
        return replayable([b["features"] for b in batches], answers, outcome_texts(rows, told), fields, problems)

    def _latest(
        self, folder: Path, wanted: RowFilter, bundle: str, most: int, problems: list[str]
    ) -> "list[pa.RecordBatch]":
        """From the newest segment back, until there are enough; the rest is not read."""
        import pyarrow.compute as pc

        kept: list[pa.RecordBatch] = []
        room = most
        for path in reversed(segments_in(folder)):
            if room <= 0:
                break
            for batch in reversed(list(read_matching(path, wanted, problems))):
                mine = batch.filter(pc.and_(pc.equal(batch["bundle"], bundle), pc.is_valid(batch["answer"])))
                mine = mine.slice(max(0, mine.num_rows - room))
                room -= mine.num_rows
                kept = [mine, *kept] if mine.num_rows else kept
        return kept

    def segments(self, model: str) -> list[Path]:
        """The files of the prediction log, closed and open, in the order in which they were begun."""
        return segments_in(Path(self.predictions) / model)

    def _read(
        self, folder: Path, wanted: RowFilter, columns: Sequence[str] | None, problems: list[str] | None
    ) -> "Iterator[pa.RecordBatch]":
        found: list[str] = [] if problems is None else problems
        for path in segments_in(folder):
            for rows in read_matching(path, wanted, found):
                yield rows if columns is None else rows.select([n for n in columns if n in rows.schema.names])
        if problems is None and found:
            raise TrafficError("; ".join(found))


def _answered() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("request_id", pa.string()), ("row", pa.int32()), ("answer", pa.list_(pa.float64()))])
