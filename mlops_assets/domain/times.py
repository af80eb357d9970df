"""Reads the times that feeds write, whatever their form, as UTC microseconds. What cannot be read is null.

Understood: timestamps, dates, ISO 8601 text, and whole numbers by their length: 4 digits are a year, 6
yyyymm, 8 yyyymmdd, 9 to 11 seconds since 1970, 12 to 14 milliseconds, 15 to 17 microseconds, more
nanoseconds. A time without a zone is in the feed's: of an hour that a clock change repeats the first is
meant, an hour that it skips moves on to the next that exists.
"""

import re
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.partitions import EPOCH

TIME = pa.timestamp("us", tz="UTC")
POSITION = "row"  # as `order`: the row's position stands in for time

_WITH_ZONE = r"[Zz]$|[T ].*[+-]\d{2}(?::?\d{2})?$"
_UNITS = (
    (10**11, 1_000_000.0),
    (10**14, 1_000.0),
    (10**17, 1.0),
    (10**20, 0.001),
)  # below → microseconds a unit


def event_times(rows: pa.Table, feed: FeedSpec, positions: np.ndarray) -> pa.Array:
    """When each row happened. Order counts as seconds since 1970; a static feed has always been there."""
    if feed.order == POSITION:
        return pa.array(positions.astype(np.int64) * 1_000_000).cast(TIME)
    if feed.order is not None:
        return _ordered(rows[feed.order])
    if not feed.time:
        return pa.array(np.zeros(rows.num_rows, np.int64)).cast(TIME)
    if len(feed.time) == 1:
        return read_times(rows[feed.time[0]], feed.timezone)
    return _day_and_hour(rows[feed.time[0]], rows[feed.time[1]], feed.timezone)


def known_times(rows: pa.Table, feed: FeedSpec, events: pa.Array) -> pa.Array:
    """When each row became known: its arrival where the feed says, else the event itself."""
    return events if feed.arrived is None else read_times(rows[feed.arrived], feed.timezone)


def read_times(column: pa.ChunkedArray | pa.Array, timezone: str) -> pa.Array:
    """A column of any type as UTC times."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _from_timestamps(column, timezone)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _from_numbers(column, timezone)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_texts(column, timezone)
    return pa.nulls(len(column), TIME)


def as_written(moment: datetime, sample: object) -> object:
    """A moment in the form a column writes, for a store to compare. None: it cannot be written so."""
    if isinstance(sample, datetime):
        return moment if sample.tzinfo else moment.replace(tzinfo=None)
    if isinstance(sample, date):
        return moment.date()
    if isinstance(sample, str):
        return moment.strftime("%Y-%m-%d") if re.match(r"\d{4}-\d{2}-\d{2}", sample) else None
    return _as_number(moment, abs(sample)) if isinstance(sample, int) and not isinstance(sample, bool) else None


def _as_number(moment: datetime, like: int) -> int | None:
    if like < 10**8:
        formats = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d"}
        form = formats.get(len(str(like)))
        return int(moment.strftime(form)) if form else None
    scale = next((micros for below, micros in _UNITS if like < below), None)
    return None if scale is None else int((moment - EPOCH).total_seconds() * 1_000_000 / scale)


def _ordered(order: pa.ChunkedArray) -> pa.Array:
    micros = pc.round(pc.multiply(pa.array(_numbers(order), from_pandas=True), 1_000_000.0))
    return pc.if_else(pc.less(pc.abs(micros), 2.0**62), micros, None).cast(pa.int64()).cast(TIME)


def _day_and_hour(day: pa.ChunkedArray, hour: pa.ChunkedArray, timezone: str) -> pa.Array:
    midnight = read_times(day, "UTC").to_numpy(zero_copy_only=False).astype("datetime64[us]")
    hours = _numbers(hour).to_numpy()
    readable = (hours >= 0) & (hours <= 24)
    micros = np.where(readable, hours, 0.0) * 3_600_000_000
    local = np.where(readable, midnight + micros.astype("timedelta64[us]"), np.datetime64("NaT"))
    return _localised(local, timezone)


def _from_timestamps(column: pa.ChunkedArray | pa.Array, timezone: str) -> pa.Array:
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if zoned or timezone == "UTC":
        micros = column if zoned else column.cast(pa.timestamp("us"), safe=False)
        return _flat(micros.cast(TIME, safe=False))
    local = _flat(column.cast(pa.timestamp("us"), safe=False)).to_numpy(zero_copy_only=False)
    return _localised(local, timezone)


def _from_texts(column: pa.ChunkedArray | pa.Array, timezone: str) -> pa.Array:
    distinct = _flat(column).dictionary_encode()
    texts = distinct.dictionary.to_pandas().astype(str).str.strip()
    zoned = texts.str.contains(_WITH_ZONE)
    local = pd.to_datetime(texts.where(~zoned), format="ISO8601", errors="coerce").to_numpy("datetime64[us]")
    aware = pd.to_datetime(texts.where(zoned), format="ISO8601", errors="coerce", utc=True)
    moments = aware.dt.tz_localize(None).to_numpy("datetime64[us]")
    read = np.where(zoned, moments, _localised(local, timezone).to_numpy(zero_copy_only=False))
    return pa.array(read).cast(TIME).take(distinct.indices)


def _from_numbers(column: pa.ChunkedArray | pa.Array, timezone: str) -> pa.Array:
    values = _flat(column).to_numpy(zero_copy_only=False).astype(np.float64)
    calendar = _calendar(values)
    epoch = np.full(len(values), np.datetime64("NaT"), "datetime64[us]")
    low = 10.0**8
    for below, micros in _UNITS:
        inside = (values >= low) & (values < below)
        epoch[inside] = (values[inside] * micros).astype(np.int64).astype("datetime64[us]")
        low = below
    local = _localised(calendar, timezone).to_numpy(zero_copy_only=False)
    return pa.array(np.where(np.isnat(epoch), local, epoch)).cast(TIME)


def _calendar(values: np.ndarray) -> np.ndarray:
    """Years, months and days written as one number."""
    whole = np.nan_to_num(np.where((values >= 1000) & (values < 10**8) & (values % 1 == 0), values, 0)).astype(np.int64)
    year = np.select([whole < 10**4, whole < 10**6, whole >= 10**7], [whole, whole // 100, whole // 10**4], 0)
    month = np.select([whole < 10**4, whole < 10**6], [1, whole % 100], whole // 100 % 100)
    day = np.where(whole < 10**6, 1, whole % 100)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    moment = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    real = (year >= 1000) & (month >= 1) & (month <= 12) & (day >= 1) & (moment.astype("datetime64[M]") == months)
    return np.where(real, moment.astype("datetime64[us]"), np.datetime64("NaT"))


def _localised(local: np.ndarray, timezone: str) -> pa.Array:
    if timezone == "UTC":
        return pa.array(local.astype("datetime64[us]")).cast(TIME)
    first = np.ones(len(local), bool)
    zoned = pd.DatetimeIndex(local.astype("datetime64[us]")).tz_localize(
        timezone, ambiguous=first, nonexistent="shift_forward"
    )
    return pa.array(zoned.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")).cast(TIME)


def _numbers(column: pa.ChunkedArray) -> pd.Series:
    """What can be read as a number; the rest is NaN."""
    return pd.Series(pd.to_numeric(column.to_pandas(), errors="coerce"), dtype="float64")


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
