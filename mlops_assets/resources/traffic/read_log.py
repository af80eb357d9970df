"""Reads the rows of the endpoint's logs: those of a window, or the latest ones as requests for another version.

How files are read while the endpoint writes to them is `segment_files`' business.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.domain.release.replay_rows import Replayable, replayable
from mlops_assets.domain.traffic.outcomes import FEEDBACK, first_outcomes, outcome_texts
from mlops_assets.resources.traffic.segment_files import RowFilter, read_matching, segments_in
from serving.contract.fields import Field

_ANSWERED = pa.schema([("request_id", pa.string()), ("row", pa.int32()), ("answer", pa.list_(pa.float64()))])


class TrafficError(OSError):
    """Part of a log cannot be read; every file is named."""


def read_rows(
    folder: Path, wanted: RowFilter, columns: Sequence[str] | None, problems: list[str] | None
) -> Iterator[pa.RecordBatch]:
    """The rows that pass the filter, file by file. Without a list for problems, a TrafficError follows the last row."""
    troubles: list[str] = [] if problems is None else problems
    for path in segments_in(folder):
        for rows in read_matching(path, wanted, troubles):
            yield rows if columns is None else rows.select([n for n in columns if n in rows.schema.names])
    if problems is None and troubles:
        raise TrafficError("; ".join(troubles))


def read_latest(
    predictions: Path,
    feedback: Path,
    *,
    bundle: str,
    fields: Sequence[Field],
    most: int,
    since: datetime | None,
    until: datetime | None,
) -> Replayable:
    """The latest rows that this bundle answered in the window, with what became known of them since."""
    problems: list[str] = []
    batches = _latest_answers(predictions, RowFilter(since, until, None), bundle, most=most, problems=problems)
    rows = pa.Table.from_batches([batch.select(_ANSWERED.names) for batch in batches], _ANSWERED)
    known = read_rows(feedback, RowFilter(since, None, None), FEEDBACK.names, problems)
    outcomes = first_outcomes(pa.Table.from_batches(known, FEEDBACK))
    answers = pa.array(rows["answer"].to_pylist(), _ANSWERED.field("answer").type)
    return replayable([b["features"] for b in batches], answers, outcome_texts(rows, outcomes), fields, problems)


def _latest_answers(
    folder: Path, wanted: RowFilter, bundle: str, *, most: int, problems: list[str]
) -> list[pa.RecordBatch]:
    """From the newest segment back, until there are enough; the rest is not read."""
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
