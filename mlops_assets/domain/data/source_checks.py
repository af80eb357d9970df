"""Whether a source behaved: shrank, repeated itself, changed columns, brought rows without time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.data.columns import change, known_columns
from mlops_assets.domain.data.intake import NO_TIME
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.verdict import Outcome, Verdict

BODY = "body"  # key in a raw snapshot's inputs: digest of the rows without key and times

_ENOUGH_TO_REPEAT = 20  # rows; a handful may well be alike from day to day


@dataclass(frozen=True)
class Arrival:
    """What one reading of one feed did to its table in the lake."""

    feed: str
    before: Mapping[str, Snapshot]  # partitions of this run that the lake held already
    after: Mapping[str, Snapshot]  # the same, as they are now
    others: Mapping[str, Snapshot]  # earlier partitions that this run leaves alone
    untimed: int  # rows without a readable event time


def body(rows: pa.Table, feed: FeedSpec) -> pa.Table | None:
    """What the rows say apart from which row each is and when: alike in two partitions, it came twice."""
    which = {*feed.key, *feed.time, feed.order, feed.arrived}
    columns = [name for name in rows.column_names if name not in which]
    return rows.select(columns) if columns and rows.num_rows >= _ENOUGH_TO_REPEAT else None


def kept_rows(arrivals: Iterable[Arrival]) -> Verdict:
    """A source that brings fewer rows for a partition than it did before has lost some."""
    shrunk = [
        f"{arrival.feed} {partition}: {now.rows:,} rows, {arrival.before[partition].rows:,} before"
        for arrival in arrivals
        for partition, now in arrival.after.items()
        if partition in arrival.before and now.rows < arrival.before[partition].rows
    ]
    return _verdict(
        "kept_rows",
        shrunk,
        "The source shrank. Ask its owner whether rows were deleted on purpose",
        "no feed lost rows",
    )


def no_repeats(arrivals: Iterable[Arrival]) -> Verdict:
    """Two partitions that say the same but for their times and keys: the source sent one of them twice."""
    repeats = [
        f"{arrival.feed} {partition} repeats {first}" for arrival in arrivals for partition, first in _repeated(arrival)
    ]
    return _verdict(
        "no_repeats",
        repeats,
        "The source sent the same rows again under another time",
        "no partition repeats another",
    )


def kept_schema(arrivals: Iterable[Arrival]) -> Verdict:
    """New, missing and retyped columns, from each partition to the next."""
    changes = [text for arrival in arrivals for text in _changes(arrival)]
    return _verdict("kept_schema", changes, "The source changed its columns", "every feed kept its columns")


def every_row_timed(arrivals: Iterable[Arrival]) -> Verdict:
    """Rows whose event time cannot be read belong to no partition; they are kept in one of their own."""
    lost = [f"{arrival.feed}: {arrival.untimed:,} rows" for arrival in arrivals if arrival.untimed]
    remedy = f"Their event time cannot be read; they wait in the lake's raw partition {NO_TIME!r}"
    return _verdict("every_row_timed", lost, remedy, "every row has an event time")


def _repeated(arrival: Arrival) -> Iterable[tuple[str, str]]:
    first_with: dict[str, str] = {}
    together = {**arrival.others, **arrival.after}
    for partition in sorted(together):
        body = together[partition].inputs.get(BODY)
        if body is not None and first_with.setdefault(body, partition) != partition and partition in arrival.after:
            yield partition, first_with[body]


def _changes(arrival: Arrival) -> Iterable[str]:
    known = known_columns(arrival.others[name].columns for name in sorted(arrival.others) if arrival.others[name].rows)
    for partition in sorted(arrival.after):
        snapshot = arrival.after[partition]
        difference = change(known, snapshot.columns) if known and snapshot.rows else None
        if difference:
            yield f"{arrival.feed} {partition}: {difference}"
        if snapshot.rows:
            known = dict(snapshot.columns) if difference else known_columns([known, snapshot.columns])


def _verdict(name: str, problems: Sequence[str], remedy: str, fine: str) -> Verdict:
    if not problems:
        return Verdict(name, Outcome.PASS, fine, {"problems": 0.0})
    return Verdict(name, Outcome.FAIL, f"{remedy}. {listed(problems)}", {"problems": float(len(problems))})
