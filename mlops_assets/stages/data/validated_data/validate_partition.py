"""One feed through validation: read, judge, divide, write. Imported only inside the asset's body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.distribution import stability
from mlops_assets.domain.data.intake import NO_TIME
from mlops_assets.domain.data.quarantine import (
    Partition,
    Prepared,
    divide,
    groups,
    prepare,
    repeats,
    without_fault,
)
from mlops_assets.domain.data.schema import declared_types, expectations_of
from mlops_assets.domain.data.vitals import FeedVitals, drift_name, nulls_name
from mlops_assets.domain.names import EVENT_TIME, REASONS, Layer
from mlops_assets.domain.partitions import EPOCH, Window
from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.checks.expectations import UNIQUE, Finding, judge_rows
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table
from mlops_assets.stages.data.validated_data.partition_inputs import Held, read

_COUNTS = "error"  # the severity that quarantines


@dataclass(frozen=True)
class Line:
    """One expectation in the table of the materialisation."""

    feed: str
    column: str
    expectation: str
    severity: str
    failing: int
    rows: int


@dataclass(frozen=True)
class ValidatedFeed:
    """What became of one feed."""

    vitals: FeedVitals
    lines: Sequence[Line]
    after: Mapping[str, Snapshot]
    quarantined: Mapping[str, int]  # partition → rows
    untimed: int


def validate(spec: ModelSpec, each: Held, lake: Lake, now: datetime) -> ValidatedFeed:
    """Judge every row of the feed's partitions and write both halves: those that go on, those that wait."""
    feed = each.feed
    raw_table = lake.table(spec.model, Layer.RAW, feed.name)
    raw = [read(raw_table, each.raw[window.partition]) for window in each.windows]
    places = [Partition(window.ordinal, _first_position(window)) for window in each.windows]
    prepared = prepare(raw, places, feed, declared_types(spec, feed.name), now + spec.validation.future)
    faults, findings = _judged(spec, feed, prepared)
    divided = divide(prepared, faults, raw)
    wrong = {window.partition: parts.quarantined for window, parts in zip(each.windows, divided, strict=True)}
    shares = _shares(spec, each, lake, prepared, without_fault(faults, len(prepared.partition)))
    after = {
        window.partition: _write_valid(spec, each, lake, window.partition, parts.valid, now)
        for window, parts in zip(each.windows, divided, strict=True)
    }
    untimed = _untimed(spec, each, raw_table, now)
    _write_quarantine(spec, feed, lake, wrong | untimed, now)
    quarantined = {name: rows.num_rows for name, rows in wrong.items()}
    lines = _lines(feed.name, faults, findings, len(prepared.partition))
    return ValidatedFeed(
        _vitals(each, after, quarantined, shares),
        lines,
        after,
        quarantined,
        sum(rows.num_rows for rows in untimed.values()),
    )


def _judged(spec: ModelSpec, feed: FeedSpec, prepared: Prepared) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """Reason → rows at fault. Repeats come last, so that a faulty row never displaces a good one."""
    if not prepared.rows.num_rows:
        return {}, []
    expectations = expectations_of(spec, feed.name)
    unique = {each.columns for each in expectations if each.unique}
    numbered = {columns: groups(prepared.rows, columns, prepared.partition) for columns in unique | {feed.key} - {()}}
    findings = judge_rows(prepared.rows, expectations, numbered)
    counted = [each for each in findings if each.severity == _COUNTS and each.failing.any()]
    faults = dict(prepared.faults)
    for finding in counted:
        if finding.expectation != UNIQUE:
            faults[finding.reason] = faults.get(finding.reason, False) | finding.failing
    repeated = {f"{', '.join(feed.key)}: key repeated": feed.key} if feed.key else {}
    repeated |= {each.reason: tuple(each.column.split(", ")) for each in counted if each.expectation == UNIQUE}
    for reason, columns in repeated.items():
        again = repeats(numbered[columns], without_fault(faults, len(prepared.partition)))
        faults |= {reason: again} if again.any() else {}
    return faults, findings


def _shares(
    spec: ModelSpec, each: Held, lake: Lake, prepared: Prepared, good: np.ndarray
) -> dict[str, Sequence[float]]:
    """Share of nulls, and PSI against the partitions before, by partition."""
    shares: dict[str, Sequence[float]] = {}
    sizes = np.maximum(np.bincount(prepared.partition, minlength=len(each.windows)), 1)
    for expectation in expectations_of(spec, each.feed.name) if prepared.rows.num_rows else ():
        for column in expectation.columns:
            if expectation.nulls:
                null = pc.is_null(prepared.rows[column]).to_numpy()
                lost = np.bincount(prepared.partition[null], minlength=len(each.windows))
                shares[nulls_name(expectation, column)] = (lost / sizes).tolist()
            if expectation.drift and each.windows[0].start is not None:
                shares[drift_name(expectation, column)] = _drift(spec, each, lake, prepared, good, column)
    return shares


def _drift(spec: ModelSpec, each: Held, lake: Lake, prepared: Prepared, good: np.ndarray, column: str) -> list[float]:
    table = lake.table(spec.model, Layer.VALIDATED, each.feed.name)
    earlier_rows = [table.read_snapshots([snapshot], [column]) for snapshot in each.validated_before.values()]
    earlier_rows = [rows for rows in earlier_rows if column in rows.column_names]
    first = len(earlier_rows)
    whole = pa.concat_tables(
        [*earlier_rows, prepared.rows.select([column]).filter(pa.array(good))], promote_options="permissive"
    )
    partition = np.concatenate(
        [
            np.repeat(np.arange(first), [rows.num_rows for rows in earlier_rows]),
            prepared.partition[good] + first,
        ]
    ).astype(np.int64)
    return stability(whole[column], partition, first + len(each.windows), spec.validation.recent)[first:].tolist()


def _write_valid(spec: ModelSpec, each: Held, lake: Lake, partition: str, rows: pa.Table, now: datetime) -> Snapshot:
    table = lake.table(spec.model, Layer.VALIDATED, each.feed.name)
    source = {f"{Layer.RAW}/{each.feed.name}/{partition}": each.raw[partition].digest}
    return table.write(partition, rows, now=now, time_column=EVENT_TIME, inputs=source)


def _write_quarantine(
    spec: ModelSpec, feed: FeedSpec, lake: Lake, wrong: Mapping[str, pa.Table], now: datetime
) -> None:
    """An empty partition is written only where it replaces one that was not."""
    table = lake.table(spec.model, Layer.QUARANTINE, feed.name)
    for partition, rows in wrong.items():
        if rows.num_rows:
            table.write(partition, rows, now=now)
        elif table.snapshot(partition) is not None:
            table.write(partition, pa.table({}), now=now)


def _untimed(spec: ModelSpec, each: Held, raw_table: Table, now: datetime) -> dict[str, pa.Table]:
    """The rows that belong to no partition go to quarantine as they are."""
    snapshot = raw_table.snapshot(NO_TIME)
    if snapshot is None:
        return {}
    rows = read(raw_table, snapshot)
    reason = f"{' + '.join(each.feed.time) or each.feed.order}: no readable event time"
    return {NO_TIME: rows.append_column(REASONS, pa.array([[reason]] * rows.num_rows, pa.list_(pa.string())))}


def _first_position(window: Window) -> int:
    """Where position stands in for time, a partition begins at the position its first second stands for."""
    return max(0, int((window.start - EPOCH).total_seconds())) if window.start else 0


def _vitals(
    each: Held,
    after: Mapping[str, Snapshot],
    quarantined: Mapping[str, int],
    shares: Mapping[str, Sequence[float]],
) -> FeedVitals:
    names = [window.partition for window in each.windows]
    marks = [snapshot.watermark for name, snapshot in each.validated_before.items() if name not in names]
    return FeedVitals(
        feed=each.feed.name,
        windows=each.windows,
        rows=[each.raw[name].rows for name in names],
        quarantined=[quarantined[name] for name in names],
        latest=[after[name].watermark for name in names],
        rows_before=[snapshot.rows for snapshot in each.raw_before.values()],
        latest_before=max((mark for mark in marks if mark is not None), default=None),
        clocked=bool(each.feed.time),
        shares=shares,
    )


def _lines(feed: str, faults: Mapping[str, np.ndarray], findings: Sequence[Finding], rows: int) -> list[Line]:
    """Everything declared, and of what is always looked at that which was found."""
    declared = [
        Line(feed, each.column, each.expectation, each.severity, int(each.failing.sum()), rows) for each in findings
    ]
    told = {each.reason for each in findings}
    built_in = [
        Line(feed, reason.partition(": ")[0], reason.partition(": ")[2], _COUNTS, int(mask.sum()), rows)
        for reason, mask in faults.items()
        if reason not in told
    ]
    return declared + built_in
