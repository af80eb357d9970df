"""Which rows go on and which wait in quarantine, and why. Pure; no row is lost between the two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.data.normalise_columns import normalise_columns
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, REASONS, ROW_KEY
from mlops_assets.domain.times import TIME, event_times, known_times


@dataclass(frozen=True)
class Partition:
    """What a partition's rows need besides themselves."""

    ordinal: int  # numbers it for row ids
    first_position: int  # of its first row in the feed, where position stands in for time


@dataclass(frozen=True)
class Prepared:
    """Typed rows of several partitions with their times, and what is wrong whatever is declared."""

    parts: list[pa.Table]  # one each, typed by itself
    rows: pa.Table  # all of them together
    partition: np.ndarray  # index of each row's partition
    faults: dict[str, np.ndarray]  # reason → mask


@dataclass(frozen=True)
class Divided:
    """One partition: `valid` and `quarantined` together are the rows that came."""

    valid: pa.Table
    quarantined: pa.Table


def prepare(
    raw: Sequence[pa.Table],
    partitions: Sequence[Partition],
    feed: FeedSpec,
    declared: Mapping[str, str],
    *,
    latest: datetime,
) -> Prepared:
    """Types, times and keys of rows. `latest`: how late a row may have happened or become known.

    Neighbours of the same schema are typed together for speed; the result is as if each were alone.
    """
    parts, faults = [pa.table({})] * len(raw), []
    filled = [index for index, rows in enumerate(raw) if rows.num_rows]
    for _, run in groupby(filled, key=lambda index: raw[index].schema):
        indices = list(run)
        together = pa.concat_tables([raw[index] for index in indices])
        typed_rows, found = _stamped(together, feed, declared, _positions(raw, indices, partitions))
        faults.append((typed_rows.num_rows, found))
        for index, low in zip(indices, _starts(raw[index].num_rows for index in indices), strict=False):
            parts[index] = typed_rows.slice(low, raw[index].num_rows)
    rows = pa.concat_tables([parts[index] for index in filled] or [pa.table({})], promote_options="permissive")
    partition = np.repeat(np.arange(len(raw)), [each.num_rows for each in raw])
    merged = _merged(faults) | _time_faults(rows, feed, latest) | _key_faults(rows, feed.key)
    return Prepared(parts, rows, partition, {reason: mask for reason, mask in merged.items() if mask.any()})


def groups(rows: pa.Table, columns: Sequence[str], partition: np.ndarray) -> np.ndarray:
    """A number for each row, equal where partition and columns are; -1 for rows with a null."""
    codes = partition.astype(np.int64)
    for name in columns:
        coded = rows[name].combine_chunks().dictionary_encode()
        part = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        codes = pd.factorize(codes * max(len(coded.dictionary), 1) + part)[0] if codes.any() else part
    return np.where(_any_null(rows, columns), -1, codes)


def repeats(group: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Of the rows `among`, those whose group an earlier of them has had. The first stays."""
    candidates = np.flatnonzero(among & (group >= 0))
    repeated = np.zeros(len(group), bool)
    repeated[candidates] = pd.Series(group[candidates]).duplicated(keep="first").to_numpy()
    return repeated


def without_fault(faults: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """Mask of the rows that nothing is wrong with."""
    return ~np.logical_or.reduce([*faults.values(), np.zeros(rows, bool)])


def divide(prepared: Prepared, faults: Mapping[str, np.ndarray], raw: Sequence[pa.Table]) -> list[Divided]:
    """Every partition in two: typed rows without a fault, the others as they came with their reasons."""
    reasons = sorted(faults)
    matrix = np.array([faults[reason] for reason in reasons]).reshape(len(reasons), len(prepared.partition))
    divided = []
    for rows, valid, low in zip(raw, prepared.parts, _starts(rows.num_rows for rows in raw), strict=False):
        inside = matrix[:, low : low + rows.num_rows]
        bad = inside.any(axis=0)
        if bad.any():
            wrong = rows.filter(pa.array(bad)).append_column(REASONS, _reason_lists(inside[:, bad], reasons))
            divided.append(Divided(valid.filter(pa.array(~bad)), wrong))
        else:
            divided.append(Divided(valid, rows.slice(0, 0)))
    _conserved(divided, raw)
    return divided


def _stamped(
    rows: pa.Table, feed: FeedSpec, declared: Mapping[str, str], places: "_Places"
) -> tuple[pa.Table, Mapping[str, np.ndarray]]:
    """Typed rows with their times, read from the rows as they came, and an id where they have no key."""
    result = normalise_columns(rows, feed, declared)
    faults = {reason: mask for reason, mask in result.faults.items() if reason.partition(":")[0] not in feed.time}
    events = event_times(rows, feed, places.positions)
    known = known_times(rows, feed, events)
    table = result.rows.drop_columns([name for name in (EVENT_TIME, CREATED_TIME) if name in rows.column_names])
    table = table.append_column(EVENT_TIME, events).append_column(CREATED_TIME, known)
    return (table if feed.key else table.append_column(ROW_KEY, pa.array(places.row_ids))), faults


class _Places(NamedTuple):
    positions: np.ndarray  # in the feed
    row_ids: np.ndarray  # partition and position in it: the same row has the same id however often it is read


def _positions(raw: Sequence[pa.Table], indices: Sequence[int], partitions: Sequence[Partition]) -> _Places:
    within = np.concatenate([np.arange(raw[index].num_rows, dtype=np.int64) for index in indices])
    sizes = [raw[index].num_rows for index in indices]
    first = np.repeat([partitions[index].first_position for index in indices], sizes)
    ordinal = np.repeat(np.array([partitions[index].ordinal for index in indices], np.int64), sizes)
    return _Places(first + within, (ordinal << 32) | within)


def _starts(sizes: Iterable[int]) -> Iterable[int]:
    return accumulate(sizes, initial=0)


def _time_faults(rows: pa.Table, feed: FeedSpec, latest: datetime) -> dict[str, np.ndarray]:
    """A row has its times and does not lie in the future, unless it was announced ahead."""
    named = " + ".join(feed.time) or feed.order or "time"
    limit = pa.scalar(latest, TIME)
    if not rows.num_rows:
        return {}
    faults = {f"{named}: no readable event time": _true(pc.is_null(rows[EVENT_TIME]))}
    if feed.arrived is not None:
        faults[f"{feed.arrived}: no readable arrival time"] = _true(pc.is_null(rows[CREATED_TIME]))
        faults[f"{feed.arrived}: in the future"] = _true(pc.greater(rows[CREATED_TIME], limit))
        ahead = pc.less(rows[CREATED_TIME], rows[EVENT_TIME])
        faults[f"{named}: in the future"] = _true(pc.and_not(pc.greater(rows[EVENT_TIME], limit), ahead))
    elif feed.order is None:
        faults[f"{named}: in the future"] = _true(pc.greater(rows[EVENT_TIME], limit))
    return faults


def _key_faults(rows: pa.Table, key: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {f"{', '.join(key)}: key is missing": _any_null(rows, key)} if key and rows.num_rows else {}


def _merged(several: Sequence[tuple[int, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The faults of stretches of rows, one after the other, as faults of all rows."""
    reasons = sorted({reason for _, faults in several for reason in faults})
    return {
        reason: np.concatenate([faults.get(reason, np.zeros(size, bool)) for size, faults in several])
        for reason in reasons
    }


def _reason_lists(matrix: np.ndarray, reasons: Sequence[str]) -> pa.Array:
    """(reasons, rows) → a list of texts for each row."""
    _, which = np.nonzero(matrix.T)
    offsets = np.concatenate([[0], np.cumsum(matrix.sum(axis=0))]).astype(np.int32)
    names = pa.array(list(reasons)).take(pa.array(which))
    return pa.ListArray.from_arrays(pa.array(offsets), names)


def _conserved(divided: Sequence[Divided], raw: Sequence[pa.Table]) -> None:
    out = sum(each.valid.num_rows + each.quarantined.num_rows for each in divided)
    came = sum(rows.num_rows for rows in raw)
    if out != came:
        raise AssertionError(f"{came:,} rows came and {out:,} were divided into valid and quarantined")


def _any_null(rows: pa.Table, columns: Sequence[str]) -> np.ndarray:
    return np.logical_or.reduce([_true(pc.is_null(rows[name])) for name in columns])


def _true(flags: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return pc.fill_null(flags, False).to_numpy()
