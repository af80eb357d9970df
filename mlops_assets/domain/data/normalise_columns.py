"""Columns as every later stage sees them: integers, numbers, texts, booleans, UTC times, and nulls.

A declared type is reached for; a value that cannot be read as it is a fault of its row. Without a
declaration a column keeps its kind. Nothing here depends on other partitions: the same rows always give
the same types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.times import read_times

_TRUE, _FALSE = {"true", "t", "yes", "y", "1", "1.0"}, {"false", "f", "no", "n", "0", "0.0"}


@dataclass(frozen=True)
class TypedRows:
    """The rows with their types, and by reason the rows at fault."""

    rows: pa.Table
    faults: Mapping[str, np.ndarray] = field(default_factory=dict)  # reason → mask over the rows


def normalise_columns(rows: pa.Table, feed: FeedSpec, declared: Mapping[str, str]) -> TypedRows:
    """Every column in its canonical type. `declared`: column → number, integer, text, boolean or time."""
    columns, faults = {}, {}
    for name in rows.column_names:
        values = _without_markers(_plain(rows[name]), feed.missing)
        column = _read(values, declared.get(name), feed.timezone)
        columns[name] = column
        lost = _mask(pc.and_(pc.is_null(column), pc.is_valid(values)))
        if lost.any():
            faults[f"{name}: not readable as {declared.get(name, 'time')}"] = lost
        if pa.types.is_floating(column.type):
            infinite = _mask(pc.is_inf(column))
            if infinite.any():
                faults[f"{name}: infinite"] = infinite
    return TypedRows(pa.table(columns) if columns else rows, faults)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array without dictionary, and NaN as the missing value that it is."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    flat = column.combine_chunks()
    if pa.types.is_floating(flat.type):
        return pc.if_else(pc.is_nan(flat), None, flat) if pc.any(pc.is_nan(flat)).as_py() else flat
    return flat


def _without_markers(column: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    if _is_text(column.type):
        marks = pa.array(["", *missing], column.type)
        return pc.if_else(pc.is_in(column, marks), None, column) if pc.any(pc.is_in(column, marks)).as_py() else column
    numbers = [number for number in map(_number, missing) if number is not None]
    if numbers and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        marked = pc.is_in(column.cast(pa.float64(), safe=False), pa.array(numbers, pa.float64()))
        return pc.if_else(marked, None, column)
    return column


def _read(column: pa.Array, declared: str | None, timezone: str) -> pa.Array:
    if pa.types.is_null(column.type):
        return column
    match declared:
        case "number":
            return _as_numbers(column)
        case "integer":
            return _as_integers(_as_numbers(column))
        case "text":
            return _as_texts(column)
        case "boolean":
            return _as_booleans(column)
        case "time":
            return read_times(column, timezone)
        case _:
            return _as_they_are(column, timezone)


def _as_they_are(column: pa.Array, timezone: str) -> pa.Array:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _as_numbers(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return read_times(column, timezone)
    return _as_texts(column) if _is_text(kind) or pa.types.is_time(kind) else column


def _as_numbers(column: pa.Array) -> pa.Array:
    if _is_text(column.type):
        distinct = column.dictionary_encode()
        numbers = pd.Series(pd.to_numeric(distinct.dictionary.to_pandas(), errors="coerce"), dtype="float64")
        return pa.array(numbers, from_pandas=True).take(distinct.indices)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int64())
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
        return column.cast(pa.int64())
    if pa.types.is_decimal(column.type) or pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False)
    return pa.nulls(len(column), pa.float64())


def _as_integers(column: pa.Array) -> pa.Array:
    """Numbers with a fraction, and those past what 64 bits hold, are none."""
    if not pa.types.is_floating(column.type):
        return column
    whole = pc.and_(pc.equal(pc.round(column), column), pc.less(pc.abs(column), 2.0**63))
    return pc.if_else(whole, column, None).cast(pa.int64())


def _as_texts(column: pa.Array) -> pa.Array:
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _as_booleans(column: pa.Array) -> pa.Array:
    if pa.types.is_boolean(column.type):
        return column
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    true, false = (pc.is_in(texts, pa.array(sorted(words))) for words in (_TRUE, _FALSE))
    return pc.if_else(pc.or_(true, false), true, None)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _mask(flags: pa.Array) -> np.ndarray:
    return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
