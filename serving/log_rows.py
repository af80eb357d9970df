"""Records of the prediction log → Arrow columns. One pass in C wherever there is one: it shares the core with answers.

request_id, row      the answer's id, the row's position in its request
time                 timestamp[us, UTC]
key                  what the arm was chosen by
version, arm, bundle, generation
latency_ms           of the whole request
degraded, why
answer               list<double>: one number, or one for each class; null: the declared default
entities             struct of the entity keys, as text
features             struct of the row as the model saw it (a missing number is NaN, a missing text is "")
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from serving.rows import Packed

_DEFAULT = "default"


def to_batch(records: Sequence[Any]) -> pa.RecordBatch:
    """Columns for records of one model and one layout of rows."""
    ids, times, keys, rows, standings, generations, entities, packed, scores, latencies, whys = zip(
        *records, strict=True
    )
    counts = np.array(rows)
    each = None if counts.max() == 1 else pa.array(np.repeat(np.arange(len(counts)), counts))
    answered = scores[0] is not None
    contract = standings[0].loaded.contract
    total = int(counts.sum())
    columns = {
        "request_id": _spread(pa.array(ids, pa.string()), each),
        "row": pa.array(_positions(counts, each is None)),
        "time": _spread(_timestamps(times), each),
        "key": _spread(pa.array(keys, pa.string()), each),
        **{name: _spread(column, each) for name, column in _stamps(standings, answered).items()},
        "generation": _spread(pa.array(np.array(generations, dtype=np.int64)), each),
        "latency_ms": _spread(pa.array(np.array(latencies) * 1_000), each),
        "degraded": _spread(pa.array(list(map(bool, whys)), pa.bool_()), each),
        "why": _spread(pa.array(whys, pa.string()), each),
        "answer": _answers(scores, total) if answered else pa.nulls(total, pa.list_(pa.float64())),
        "entities": _entities(entities, rows, contract.entity),
        "features": _features(packed, contract.numbers, contract.categories, total),
    }
    return pa.record_batch(columns)


def _spread(column: pa.Array, each: pa.Array | None) -> pa.Array:
    """A value for each request → one for each row."""
    return column if each is None else column.take(each)


def _positions(counts: np.ndarray, single: bool) -> np.ndarray:
    if single:
        return np.zeros(len(counts), dtype=np.int32)
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    return (np.arange(len(begins)) - begins).astype(np.int32)


def _timestamps(times: Sequence[float]) -> pa.Array:
    return pa.array((np.array(times) * 1e6).astype(np.int64)).cast(pa.timestamp("us", "UTC"))


def _stamps(standings: Sequence[Any], answered: bool) -> Mapping[str, pa.Array]:
    """Version, arm and bundle: few distinct ones, looked up by their place."""
    distinct = dict.fromkeys(standings)
    codes = {standing: code for code, standing in enumerate(distinct)}
    indices = pa.array(np.fromiter(map(codes.__getitem__, standings), np.int32, len(standings)))

    def column(values: list[str]) -> pa.Array:
        return pa.array(values, pa.string()).take(indices)

    if not answered:
        return {name: column([_DEFAULT] * len(distinct)) for name in ("version", "arm", "bundle")}
    return {
        "version": column([standing.version for standing in distinct]),
        "arm": column([standing.name for standing in distinct]),
        "bundle": column([standing.digest for standing in distinct]),
    }


def _answers(scores: Sequence[np.ndarray], rows: int) -> pa.Array:
    whole = np.concatenate(scores).astype(np.float64).reshape(rows, -1)
    offsets = np.arange(0, whole.size + 1, whole.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(whole.ravel()))


def _entities(entities: Sequence[Mapping[str, Any] | None], rows: Sequence[int], names: Sequence[str]) -> pa.Array:
    if not names:
        return pa.nulls(sum(rows), pa.struct([]))
    columns = [
        chain.from_iterable(
            [None] * count if given is None else given[name] for given, count in zip(entities, rows, strict=True)
        )
        for name in names
    ]
    texts = [pa.array([None if v is None else str(v) for v in column], pa.string()) for column in columns]
    return pa.StructArray.from_arrays(texts, names=list(names))


def _features(
    packed: Sequence[Packed | None], numbers: Sequence[str], categories: Sequence[str], rows: int
) -> pa.Array:
    present = [rows_ for rows_ in packed if rows_ is not None]
    if len(present) < len(packed):  # default answers: the rows were never packed
        kinds = [*((n, pa.float64()) for n in numbers), *((n, pa.string()) for n in categories)]
        return pa.nulls(rows, pa.struct(kinds))
    arrays: list[pa.Array] = []
    if numbers:
        whole = np.ascontiguousarray(np.concatenate([rows_.numbers for rows_ in present]).T)
        arrays += [pa.array(column) for column in whole]
    if categories:
        words = np.concatenate([rows_.categories for rows_ in present])
        arrays += [pa.array(words[:, position], pa.string()) for position in range(len(categories))]
    return pa.StructArray.from_arrays(arrays, names=[*numbers, *categories])
