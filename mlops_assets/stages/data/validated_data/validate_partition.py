"""Takes one feed through validation: read, judge, divide, write."""

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
from mlops_assets.stages.data.validated_data.partition_inputs import FeedInputs, read_rows

_COUNTS = "error"  # the severity that quarantines


@dataclass(frozen=True)
class ExpectationLine:
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
    lines: Sequence[ExpectationLine]
    after: Mapping[str, Snapshot]
    quarantined: Mapping[str, int]  # partition → rows
    untimed: int


def validate_feed(inputs: FeedInputs, now: datetime) -> ValidatedFeed:
    """Judge every row of the feed's partitions and write both halves: those that go on, those that wait."""
    spec, feed, windows = inputs.spec, inputs.feed, inputs.windows
    raw = [read_rows(inputs.table(Layer.RAW), inputs.raw[window.partition]) for window in windows]
    places = [Partition(window.ordinal, _first_position(window)) for window in windows]
    prepared = prepare(raw, places, feed, declared_types(spec, feed.name), latest=now + spec.validation.future)
    faults, findings = _judge_rows(spec, feed, prepared)
    divided = dict(zip([window.partition for window in windows], divide(prepared, faults, raw), strict=True))
    shares = _shares(inputs, prepared, without_fault(faults, len(prepared.partition)))
    after = {name: _write_valid(inputs, name, parts.valid, now) for name, parts in divided.items()}
    untimed = _untimed(inputs)
    _write_quarantine(inputs, {name: parts.quarantined for name, parts in divided.items()} | untimed, now)
    quarantined = {name: parts.quarantined.num_rows for name, parts in divided.items()}
    return ValidatedFeed(
        _vitals(inputs, after, quarantined, shares),
        _lines(feed.name, faults, findings, len(prepared.partition)),
        after,
        quarantined,
        sum(rows.num_rows for rows in untimed.values()),
    )


def _judge_rows(spec: ModelSpec, feed: FeedSpec, prepared: Prepared) -> tuple[dict[str, np.ndarray], list[Finding]]:
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


def _shares(inputs: FeedInputs, prepared: Prepared, good: np.ndarray) -> dict[str, Sequence[float]]:
    """Share of nulls, and PSI against the partitions before, by partition."""
    shares: dict[str, Sequence[float]] = {}
    sizes = np.maximum(np.bincount(prepared.partition, minlength=len(inputs.windows)), 1)
    for expectation in expectations_of(inputs.spec, inputs.feed.name) if prepared.rows.num_rows else ():
        for column in expectation.columns:
            if expectation.nulls:
                null = pc.is_null(prepared.rows[column]).to_numpy()
                lost = np.bincount(prepared.partition[null], minlength=len(inputs.windows))
                shares[nulls_name(expectation, column)] = (lost / sizes).tolist()
            if expectation.drift and inputs.windows[0].start is not None:
                shares[drift_name(expectation, column)] = _drift(inputs, prepared, good, column)
    return shares


def _drift(inputs: FeedInputs, prepared: Prepared, good: np.ndarray, column: str) -> list[float]:
    table = inputs.table(Layer.VALIDATED)
    earlier_rows = [table.read_snapshots([snapshot], [column]) for snapshot in inputs.validated_before.values()]
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
    return stability(whole[column], partition, first + len(inputs.windows), inputs.spec.validation.recent)[
        first:
    ].tolist()


def _write_valid(inputs: FeedInputs, partition: str, rows: pa.Table, now: datetime) -> Snapshot:
    source = {f"{Layer.RAW}/{inputs.feed.name}/{partition}": inputs.raw[partition].digest}
    return inputs.table(Layer.VALIDATED).write(partition, rows, now=now, time_column=EVENT_TIME, inputs=source)


def _write_quarantine(inputs: FeedInputs, wrong: Mapping[str, pa.Table], now: datetime) -> None:
    """An empty partition is written only where it replaces one that was not."""
    table = inputs.table(Layer.QUARANTINE)
    for partition, rows in wrong.items():
        if rows.num_rows:
            table.write(partition, rows, now=now)
        elif table.snapshot(partition) is not None:
            table.write(partition, pa.table({}), now=now)


def _untimed(inputs: FeedInputs) -> dict[str, pa.Table]:
    """The rows that belong to no partition go to quarantine as they are."""
    table, feed = inputs.table(Layer.RAW), inputs.feed
    snapshot = table.snapshot(NO_TIME)
    if snapshot is None:
        return {}
    rows = read_rows(table, snapshot)
    reason = f"{' + '.join(feed.time) or feed.order}: no readable event time"
    return {NO_TIME: rows.append_column(REASONS, pa.array([[reason]] * rows.num_rows, pa.list_(pa.string())))}


def _first_position(window: Window) -> int:
    """Where position stands in for time, a partition begins at the position its first second stands for."""
    return max(0, int((window.start - EPOCH).total_seconds())) if window.start else 0


def _vitals(
    inputs: FeedInputs,
    after: Mapping[str, Snapshot],
    quarantined: Mapping[str, int],
    shares: Mapping[str, Sequence[float]],
) -> FeedVitals:
    names = [window.partition for window in inputs.windows]
    marks = [snapshot.watermark for name, snapshot in inputs.validated_before.items() if name not in names]
    return FeedVitals(
        feed=inputs.feed.name,
        windows=inputs.windows,
        rows=[inputs.raw[name].rows for name in names],
        quarantined=[quarantined[name] for name in names],
        latest=[after[name].watermark for name in names],
        rows_before=[snapshot.rows for snapshot in inputs.raw_before.values()],
        latest_before=max((mark for mark in marks if mark is not None), default=None),
        clocked=bool(inputs.feed.time),
        shares=shares,
    )


def _lines(
    feed: str, faults: Mapping[str, np.ndarray], findings: Sequence[Finding], rows: int
) -> list[ExpectationLine]:
    """Everything declared, and of what is always looked at that which was found."""
    declared = [
        ExpectationLine(feed, each.column, each.expectation, each.severity, int(each.failing.sum()), rows)
        for each in findings
    ]
    declared_reasons = {each.reason for each in findings}
    built_in = [
        ExpectationLine(feed, reason.partition(": ")[0], reason.partition(": ")[2], _COUNTS, int(mask.sum()), rows)
        for reason, mask in faults.items()
        if reason not in declared_reasons
    ]
    return declared + built_in
