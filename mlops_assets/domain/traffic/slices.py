"""Cuts logged rows into the declared slices. Which parts there are is fixed by the champion's training data.

Fixed beforehand, so that the judge's share of `alpha` for each part does not move while it looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from mlops_assets.declaration.evaluation import SliceSpec

COLUMNS = ("request_id", "row", "time", "key", "arm", "routed", "latency_ms", "answer")  # of the log, as they are
SLICE, ENTITY = "slice:", "entity:"  # before the names of columns taken out of features and entity keys
SENT_KEY = "sent_key"  # what the caller named the request by
MOST = 20  # values of one column that are judged; each takes its share of alpha


@dataclass(frozen=True, eq=False)
class SlicedColumn:
    """One column's parts; codes [n] say which part a row is in, -1: in none that is judged."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    minimum: int  # requests of an arm under which nothing is concluded


def missing_columns(rows: pa.Table, specs: Sequence[SliceSpec]) -> tuple[str, ...]:
    """The declared columns that the log does not hold."""
    return tuple(spec.column for spec in specs if rows[SLICE + spec.column].null_count == len(rows))


def slice_rows(rows: pa.Table, specs: Sequence[SliceSpec], profile: Mapping[str, Any]) -> tuple[SlicedColumn, ...]:
    """The parts of every declared column that the log holds."""
    found, missing = [], missing_columns(rows, specs)
    for spec in specs:
        if spec.column not in missing:
            column = rows[SLICE + spec.column]
            names, codes = _bins(column, spec, profile) if spec.bins else _values(column, spec, profile)
            found.append(SlicedColumn(tuple(f"{spec.column}={name}" for name in names), codes, spec.minimum))
    return tuple(found)


def flatten_batch(
    batch: pa.RecordBatch, specs: Sequence[SliceSpec], keys: Sequence[str], plain: Sequence[str] = COLUMNS
) -> pa.RecordBatch:
    """A batch of the log with what is judged by, in columns of one type whatever each arm's features are.

    `plain`: columns taken as they are; `keys`: `SENT_KEY`, or an entity key with `ENTITY` before its name.
    """
    columns = {name: batch[name] for name in plain}
    for spec in specs:
        kind = pa.float64() if spec.bins else pa.string()
        columns[SLICE + spec.column] = _inside(batch, ("features", "entities"), spec.column, kind)
    for key in keys:
        columns[key] = _sent_key(batch) if key == SENT_KEY else _entity(batch, key.removeprefix(ENTITY))
    return pa.record_batch(columns)


def _entity(batch: pa.RecordBatch, name: str) -> pa.Array:
    return _inside(batch, ("entities",), name, pa.string())


def _sent_key(batch: pa.RecordBatch) -> pa.Array:
    """The routing key, where it is not the entity keys: those the endpoint takes when the caller sends none."""
    key, names = batch["key"], [field.name for field in batch["entities"].type]
    if not names:
        return key
    taken = pc.binary_join_element_wise(*(_entity(batch, name) for name in names), "\x1f")
    return pc.if_else(pc.fill_null(pc.equal(key, taken), False), None, key)


def _inside(batch: pa.RecordBatch, structs: Sequence[str], name: str, kind: pa.DataType) -> pa.Array:
    """A field of one of the structs; nulls where none has it, or it is no such thing."""
    for struct in structs:
        if batch[struct].type.get_field_index(name) >= 0:
            field = pc.struct_field(batch[struct], name)
            if not (pt.is_floating(kind) and pt.is_string(field.type)):
                return pc.cast(field, kind, safe=False)
    return pa.nulls(len(batch), kind)


def _values(
    column: pa.ChunkedArray, spec: SliceSpec, profile: Mapping[str, Any]
) -> tuple[list[str], NDArray[np.int64]]:
    """Those of training, commonest first; of a key that training did not describe, those that came."""
    counts = profile.get("categories", {}).get(spec.column, {}).get("counts")
    if counts is None:
        seen = pc.value_counts(column).to_pylist()
        counts = {each["values"]: each["counts"] for each in seen if each["values"] is not None}
    names = sorted(counts, key=lambda name: (-counts[name], name))[:MOST]
    codes = pc.fill_null(pc.index_in(column, value_set=pa.array(names, pa.string())), -1)
    return names, codes.to_numpy(zero_copy_only=False).astype(np.int64)


def _bins(column: pa.ChunkedArray, spec: SliceSpec, profile: Mapping[str, Any]) -> tuple[list[str], NDArray[np.int64]]:
    quantiles = profile.get("numbers", {}).get(spec.column, {}).get("quantiles", [])
    inner = np.linspace(0, 1, spec.bins + 1)[1:-1]
    edges = np.unique(np.quantile(quantiles, inner)) if quantiles else np.empty(0)
    values = column.to_numpy(zero_copy_only=False).astype(np.float64)
    codes = np.where(np.isfinite(values), np.searchsorted(edges, values, side="left"), -1)
    return [_bin_name(edges, k) for k in range(len(edges) + 1)], codes.astype(np.int64)


def _bin_name(edges: NDArray[np.float64], k: int) -> str:
    if not len(edges):
        return "any number"
    if k == 0:
        return f"up to {edges[0]:.6g}"
    return f"above {edges[-1]:.6g}" if k == len(edges) else f"{edges[k - 1]:.6g} to {edges[k]:.6g}"
