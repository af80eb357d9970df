"""From examples, outcomes and features to the rows of a training set. Pure: says which rows, not where they lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import EVENT_TIME, LABEL, ROW_KEY
from mlops_assets.domain.records import Inputs
from mlops_assets.domain.training_set import labels
from mlops_assets.domain.training_set.folds import Fold, plan_cross_validation, plan_walk_forward
from mlops_assets.domain.training_set.labels import Labelled
from mlops_assets.domain.training_set.split import PARTS, REST, Split, split_by_identity, split_by_time


@dataclass(frozen=True)
class Parts:
    """The divided rows, each part in order of time, and how many rows were left out and why."""

    tables: Mapping[str, pa.Table]
    boundaries: Mapping[str, tuple[datetime, datetime]]
    left_out: Mapping[str, int]


def labelled_examples(spec: ModelSpec, examples: pa.Table, outcomes: pa.Table, *, now: datetime) -> Labelled:
    """The examples of the training window whose label is ripe, with it."""
    target, ripe_by = spec.target, now - spec.training.gap
    if target.feed == spec.source.examples:
        rows, left_out = labels.beside(examples, target.column, known_by=now, ripe_by=ripe_by, absent=target.absent)
        rows = rows.drop_columns([target.column])
    else:
        keys = list(spec.source.feeds[target.feed].key)
        rows, left_out = labels.attach(
            examples, outcomes, keys=keys, column=target.column, known_by=now, ripe_by=ripe_by, absent=target.absent
        )
    rows, before = _within_window(rows, spec)
    rows, classes = labels.encode(rows, kind=target.kind, positive=target.positive, column=target.column)
    return Labelled(rows, classes, {**left_out, "before the window": before})


def row_key(feed: FeedSpec) -> tuple[str, ...]:
    """The columns that identify an example."""
    return feed.key or (ROW_KEY,)


def inputs_of(features: pa.Table, names: tuple[str, ...], categories: tuple[str, ...]) -> Inputs:
    """Sort the feature columns into numbers and categories: texts and booleans, and those declared to be codes."""
    is_category = {name: name in categories or not _is_number(features.schema.field(name).type) for name in names}
    return Inputs(
        numbers=tuple(name for name in names if not is_category[name]),
        categories=tuple(name for name in names if is_category[name]),
    )


def divide(spec: ModelSpec, rows: pa.Table) -> Parts:
    """Train, validation, test and the rest, each sorted by time and key so that the same rows give the same bytes."""
    feed = spec.source.feeds[spec.source.examples]
    ordered = rows.sort_by([(EVENT_TIME, "ascending"), *((name, "ascending") for name in row_key(feed))])
    split = _split(spec, feed, ordered)
    tables = {name: ordered.take(pa.array(split.rows(name))) for name in (*PARTS, REST)}
    return Parts(tables, {name: _ends(table) for name, table in tables.items() if len(table)}, split.left_out)


def plan_folds(spec: ModelSpec, tables: Mapping[str, pa.Table], *, champion_until: datetime | None) -> tuple[Fold, ...]:
    """How the test rows are scored by models that have not learnt them; empty without `training.refit`."""
    if not spec.training.refit:
        return ()
    whole = every_row(tables)
    first = len(tables["train"]) + len(tables["validation"])
    test = np.arange(first, first + len(tables["test"]))
    feed, group = spec.source.feeds[spec.source.examples], spec.training.group
    groups = whole[group].to_numpy(zero_copy_only=False).astype(str) if group else None
    if feed.static:
        identities = _identities(whole, row_key(feed)) if groups is None else groups
        return plan_cross_validation(identities, test, folds=spec.training.folds, seed=spec.training.seed)
    times = pc.cast(whole[EVENT_TIME], pa.int64()).to_numpy()
    since = None if champion_until is None else int((champion_until + spec.training.gap).timestamp() * 1e6)
    if since is not None and (times[test] > since).sum() < spec.gates.minimum_rows:
        since = None  # too few for a stretch of their own
    training, apart = spec.training, groups if _keeps_groups_apart(spec) else None
    return plan_walk_forward(times, test, folds=training.folds, gap=training.gap, groups=apart, since=since)


def returning_rows(spec: ModelSpec, tables: Mapping[str, pa.Table]) -> np.ndarray | None:
    """Mask of the test rows whose group has rows in earlier parts; None where that is asked of no row."""
    group = spec.training.group
    if group is None or spec.source.feeds[spec.source.examples].static or _keeps_groups_apart(spec):
        return None
    earlier = pa.concat_tables([tables[name].select([group]) for name in ("train", "validation")])
    return pc.is_in(tables["test"][group], value_set=pc.unique(earlier[group])).to_numpy()


def every_row(tables: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of all parts, one part after the other, and the rest where it was kept: what a refit learns."""
    return pa.concat_tables([tables[name] for name in (*PARTS, REST) if name in tables])


def time_span(table: pa.Table) -> tuple[datetime, datetime] | tuple[None, None]:
    """The first and the last event time; none where the rows have no time."""
    return _ends(table) if EVENT_TIME in table.column_names else (None, None)


def write_parts(parts: Mapping[str, pa.Table], folder: Path) -> None:
    """One Parquet file a part."""
    for name, table in parts.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", compression_level=1)


def read_parts(folder: Path) -> dict[str, pa.Table]:
    """The parts and the rest."""
    return {name: pq.read_table(folder / f"{name}.parquet") for name in (*PARTS, REST)}


def _split(spec: ModelSpec, feed: FeedSpec, rows: pa.Table) -> Split:
    training, group = spec.training, spec.training.group
    groups = rows[group].to_numpy(zero_copy_only=False) if group else None
    if feed.static:
        identities = _identities(rows, row_key(feed)) if groups is None else groups
        return split_by_identity(identities, validation=training.validation, test=training.test, seed=training.seed)
    times = pc.cast(rows[EVENT_TIME], pa.int64()).to_numpy()
    apart = groups if _keeps_groups_apart(spec) else None
    return split_by_time(times, validation=training.validation, test=training.test, gap=training.gap, groups=apart)


def _keeps_groups_apart(spec: ModelSpec) -> bool:
    return spec.training.group is not None and spec.training.returning == "leave_out"


def _identities(rows: pa.Table, key: tuple[str, ...]) -> np.ndarray:
    keys = [rows[name].to_numpy(zero_copy_only=False).astype(str) for name in key]
    return np.array(["\x1f".join(parts) for parts in zip(*keys, strict=True)])


def _within_window(rows: pa.Table, spec: ModelSpec) -> tuple[pa.Table, int]:
    window = spec.training.window
    if window is None or not len(rows):
        return rows, 0
    earliest = pc.max(rows[EVENT_TIME]).as_py() - window
    inside = rows.filter(pc.greater_equal(rows[EVENT_TIME], pa.scalar(earliest, rows[EVENT_TIME].type)))
    return inside, len(rows) - len(inside)


def _ends(table: pa.Table) -> tuple[datetime, datetime]:
    ends = pc.min_max(table[EVENT_TIME]).as_py()
    return ends["min"], ends["max"]


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def label_summary(table: pa.Table, classes: tuple[str, ...]) -> dict[str, float]:
    """Share of each class, or mean and spread of the number."""
    label = table[LABEL]
    if not classes:
        return {"mean": pc.mean(label).as_py(), "deviation": pc.stddev(label).as_py()}
    counts = np.bincount(label.to_numpy().astype(int), minlength=len(classes))
    return {name: float(share) for name, share in zip(classes, counts / max(len(table), 1), strict=True)}
