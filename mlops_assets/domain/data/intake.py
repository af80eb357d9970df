"""Rows on their way into the lake: which were asked for, and which partition each belongs to. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import Every, FeedSpec
from mlops_assets.domain.partitions import Window, partition_of
from mlops_assets.domain.times import POSITION, TIME, event_times, known_times

_SOME = 20  # rows that cannot all be wrong by chance
NO_TIME = "no_time"  # the partition of rows whose event time cannot be read


class Piece(NamedTuple):
    """Rows as they came, each with its event time."""

    rows: pa.Table
    events: pa.Array


def cut(
    tables: Iterable[pa.Table],
    feed: FeedSpec,
    start: datetime | None,
    end: datetime | None,
    *,
    known_by: datetime | None,
) -> Iterable[Piece]:
    """Of each table the rows of the window, or without readable event time, that were known by then."""
    position = 0
    for rows in tables:
        require(rows, feed)
        events = event_times(rows, feed, np.arange(position, position + rows.num_rows))
        position += rows.num_rows
        _refuse_unreadable(rows, events, feed)
        wanted = _within(events, start, end)
        if known_by is not None:
            late = pc.greater(known_times(rows, feed, events), pa.scalar(known_by, TIME))
            wanted &= ~pc.fill_null(late, False).to_numpy(zero_copy_only=False)
        if wanted.all():
            yield Piece(rows, events)
        elif wanted.any():
            yield Piece(rows.filter(pa.array(wanted)), events.filter(pa.array(wanted)))


def _refuse_unreadable(rows: pa.Table, events: pa.Array, feed: FeedSpec) -> None:
    """A few rows without a time wait in quarantine; where no row has one, the form is not understood."""
    names = [name for name in (*feed.time, feed.order) if name in rows.column_names]
    if len(events) < _SOME or events.null_count < len(events) or not names:
        return
    samples = ", ".join(f"{name} such as {rows[name][0].as_py()!r}" for name in names)
    raise ValueError(
        f"feed {feed.name}: the time of none of {len(events):,} rows can be read: {samples}. Understood are "
        "timestamps, dates, ISO 8601 text (2024-01-31 or 2024-01-31T08:00) and seconds since 1970; of `order`, numbers."
    )


def require(rows: pa.Table, feed: FeedSpec) -> None:
    """Without the columns that tell time a feed cannot be read at all."""
    needed = [
        *feed.time,
        *([feed.order] if feed.order not in (None, POSITION) else []),
        *([feed.arrived] if feed.arrived else []),
    ]
    missing = [name for name in needed if name not in rows.column_names]
    twice = sorted({name for name in rows.column_names if rows.column_names.count(name) > 1})
    problems = [f"no column {name!r}, which tells its rows' time" for name in missing] + [
        f"column {name!r} twice" for name in twice
    ]
    if problems:
        raise ValueError(
            f"feed {feed.name}: {'; '.join(problems)}. It has: {', '.join(rows.column_names)}. "
            "Correct the feed's declaration or the source."
        )


def known_after(rows: pa.Table, feed: FeedSpec, since: datetime) -> pa.Table:
    """The rows that became known later than `since`."""
    require(rows, feed)
    events = event_times(rows, feed, np.arange(rows.num_rows))
    later = pc.greater(known_times(rows, feed, events), pa.scalar(since, TIME))
    return rows.filter(pc.fill_null(later, False))


def partitions_in(pieces: Iterable[Piece], every: Every) -> frozenset[str]:
    """The partitions that rows fall into."""
    partitions: set[str] = set()
    for piece in pieces:
        floored = piece.events if every is Every.NONE else pc.floor_temporal(piece.events, unit=every.value)
        partitions |= {partition_of(every, moment) for moment in pc.unique(floored).to_pylist() if moment is not None}
    return frozenset(partitions)


def split(pieces: Iterable[Piece], windows: Sequence[Window], *, untyped: bool) -> dict[str, pa.Table]:
    """Rows by partition in the order they came, and `NO_TIME` for those that belong to none.

    `untyped`: the source gives values without a column type (SQL), so a column without any value has none.
    """
    parts: dict[str, list[pa.Table]] = {}
    for piece in pieces:
        for partition, rows in _by_partition(piece, windows):
            parts.setdefault(partition, []).append(rows)
    whole = {partition: together(tables) for partition, tables in parts.items()}
    return {partition: _without_empty_types(rows) for partition, rows in whole.items()} if untyped else whole


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of several. Columns that cannot agree on a type are texts: the schema check sees that."""
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.concat_tables([_texts_where_odd(table, tables) for table in tables], promote_options="permissive")


def _within(events: pa.Array, start: datetime | None, end: datetime | None) -> np.ndarray:
    moments = events.to_numpy(zero_copy_only=False)
    wanted = np.ones(len(moments), bool)
    if start is not None:
        wanted &= moments >= _naive(start)
    if end is not None:
        wanted &= moments < _naive(end)
    return wanted | np.isnat(moments)


def _by_partition(piece: Piece, windows: Sequence[Window]) -> Iterable[tuple[str, pa.Table]]:
    bounds = [(_naive(each.start), _naive(each.end)) for each in windows if each.start and each.end]
    if not bounds:
        yield windows[0].partition, piece.rows
        return
    starts, ends = (np.array(each) for each in zip(*bounds, strict=True))
    moments = piece.events.to_numpy(zero_copy_only=False)
    timed = ~np.isnat(moments)
    place = np.searchsorted(starts, moments, "right") - 1
    inside = timed & (place >= 0) & (moments < ends[np.maximum(place, 0)])
    place = np.where(inside, place, np.where(timed, -1, len(windows)))
    order = np.argsort(place, kind="stable")
    names = [each.partition for each in windows] + [NO_TIME]
    edges = np.searchsorted(place[order], np.arange(len(names) + 1))
    in_order = piece.rows if (np.diff(place) >= 0).all() else piece.rows.take(pa.array(order))
    for name, (low, high) in zip(names, pairwise(edges.tolist()), strict=True):
        if high > low:
            yield name, in_order.slice(low, high - low)


def _naive(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _without_empty_types(rows: pa.Table) -> pa.Table:
    for place, name in enumerate(rows.column_names):
        if rows.num_rows and rows[name].null_count == rows.num_rows:
            rows = rows.set_column(place, name, pa.nulls(rows.num_rows))
    return rows


def _texts_where_odd(table: pa.Table, others: Sequence[pa.Table]) -> pa.Table:
    for place, field in enumerate(table.schema):
        types = {other.schema.field(field.name).type for other in others if field.name in other.column_names}
        if not _agree(types):
            table = table.set_column(place, field.name, pc.cast(table[field.name], pa.string()))
    return table


def _agree(types: set[pa.DataType]) -> bool:
    try:
        pa.unify_schemas([pa.schema([("column", each)]) for each in types], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return False
    return True
