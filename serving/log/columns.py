"""Records of the prediction log → Arrow columns. One pass in C wherever there is one: it shares the core with answers.

request_id, row      the answer's id, the row's position in its request
time                 timestamp[us, UTC], of the model's clock
key                  what the arm was chosen by: the caller's own, or else the entity keys of the row
routed               the arm that was chosen
version, arm, role, bundle, generation      who answered
latency_ms           of the whole request
degraded, why
answer               list<double>: one number, or one for each class; null: the declared default
entities             struct of the entity keys, as text
features             struct of the row as the model saw it (a missing number is NaN, a missing text is "")

What every row of a request shares is written once for the request, as a dictionary: `segments.read_batches` shows it
as plain columns.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.rows.reader import Packed

BETWEEN_KEYS = "\x1f"  # in the key of a row with several entity keys
_DEFAULT = "default"
_MOMENT = pa.timestamp("us", "UTC")
_LARGE = 200  # rows of a request whose columns are copied as they lie, one by one
_MOST_ROWS = 8_192  # of large requests that share a batch
_TOGETHER = 4_096  # small requests that share a batch


def split_into_batches(records: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """What makes one batch: a few large requests, or many small ones."""
    part: list[Any] = []
    rows = 0
    for record in (record for record in records if record.rows >= _LARGE):
        if part and rows + record.rows > _MOST_ROWS:
            yield part
            part, rows = [], 0
        part.append(record)
        rows += record.rows
    if part:
        yield part
    small = [record for record in records if record.rows < _LARGE]
    yield from (small[begin : begin + _TOGETHER] for begin in range(0, len(small), _TOGETHER))


def build_batch(records: Sequence[Any]) -> pa.RecordBatch:
    """Columns for records of one model and one layout of rows."""
    # Not zip(*records): thousands of iterators at once cost ten times as much.
    ids, times, keys, rows, standings, generations, entities, packed, scores, latencies, whys, routed, places = (
        list(map(operator.itemgetter(place), records)) for place in range(len(records[0]))
    )
    counts = np.array(rows)
    each = None if counts.max() == 1 else counts
    answered = scores[0] is not None
    contract = standings[0].loaded.contract
    total = int(counts.sum())
    request = _requests(counts)
    entity_columns = _entities(entities, rows, contract.entity)
    columns = {
        "request_id": _shared(pa.array(ids, pa.string()), request),
        "row": pa.array(_positions(counts, each is None, places)),
        "time": _shared(_timestamps(times), request),
        "key": _keys(keys, entity_columns, request),
        "routed": _shared(pa.array(routed, pa.string()), request),
        **_stamps(standings, answered, request),
        "generation": _shared(pa.array(generations, pa.int64()), request),
        "latency_ms": _shared(pa.array(np.array(latencies) * 1_000), request),
        "degraded": _spread(pa.array(list(map(bool, whys)), pa.bool_()), each),
        "why": _shared(pa.array(whys, pa.string()), request),
        "answer": _answers(scores, total) if answered else pa.nulls(total, pa.list_(pa.float64())),
        "entities": entity_columns,
        "features": _features(packed, contract.numbers, contract.categories, total),
    }
    return pa.record_batch(columns)


def _requests(counts: np.ndarray) -> pa.Array:
    """The place of each row's request among those of the batch."""
    return pa.array(np.repeat(np.arange(len(counts), dtype=np.int16), counts))


def _shared(column: pa.Array, request: pa.Array) -> pa.Array:
    """A value for each request → one for each row, as a dictionary."""
    return pa.DictionaryArray.from_arrays(request, column, safe=False)


def _spread(column: pa.Array, each: np.ndarray | None) -> pa.Array:
    """A value for each request → one for each row; `each`: how many, None where it is one."""
    if each is None:
        return column
    if len(each) == 1:
        return pa.repeat(column[0], int(each[0]))
    return column.take(pa.array(np.repeat(np.arange(len(each)), each)))


def _keys(keys: Sequence[str | None], entities: pa.StructArray, request: pa.Array) -> pa.Array:
    """The key of each row; where a request has none, the entity keys of the row."""
    of_requests = pa.array(keys, pa.string())
    if not of_requests.null_count:
        return pa.DictionaryArray.from_arrays(request.cast(pa.int32()), of_requests, safe=False)
    if not entities.type.num_fields:
        return pc.dictionary_encode(pc.fill_null(of_requests.take(request), ""))
    own = pc.binary_join_element_wise(
        *entities.flatten(), BETWEEN_KEYS, null_handling="replace", null_replacement="None"
    )
    return pc.dictionary_encode(pc.coalesce(of_requests.take(request), own))


def _positions(counts: np.ndarray, single: bool, places: Sequence[Sequence[int] | None]) -> np.ndarray:
    divided = any(place is not None for place in places)
    if single and not divided:
        return np.zeros(len(counts), dtype=np.int32)
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    positions = (np.arange(len(begins)) - begins).astype(np.int32)
    if divided:
        for begin, place in zip(np.cumsum(counts) - counts, places, strict=True):
            if place is not None:
                positions[begin : begin + len(place)] = place
    return positions


def _timestamps(times: Sequence[float]) -> pa.Array:
    whole = (np.array(times) * 1e6).astype(np.int64)
    return pa.Array.from_buffers(_MOMENT, len(whole), [None, pa.py_buffer(whole)])


def _stamps(standings: Sequence[Any], answered: bool, request: pa.Array) -> Mapping[str, pa.Array]:
    """Version, arm, role and bundle: few distinct ones, looked up by their place."""
    distinct = dict.fromkeys(standings)
    if not answered:
        default = pa.array([_DEFAULT] * len(standings))
        return {name: _shared(default, request) for name in ("version", "arm", "role", "bundle")}
    told = {
        "version": [standing.version for standing in distinct],
        "arm": [standing.name for standing in distinct],
        "role": [standing.role for standing in distinct],
        "bundle": [standing.digest for standing in distinct],
    }
    codes = {standing: code for code, standing in enumerate(distinct)}
    places = np.fromiter(map(codes.__getitem__, standings), np.int16, len(standings))
    standing = pa.array(places).take(request)
    return {name: _shared(pa.array(values, pa.string()), standing) for name, values in told.items()}


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
    packed: Sequence[Packed | None], numbers: tuple[str, ...], categories: tuple[str, ...], rows: int
) -> pa.Array:
    present = [rows_ for rows_ in packed if rows_ is not None]
    if len(present) < len(packed):  # default answers: the rows were never packed
        return pa.nulls(rows, pa.struct(_fields(numbers, categories)))
    arrays: list[pa.Array] = []
    if numbers:
        whole = _by_column([rows_.numbers for rows_ in present], rows)
        content, kind = pa.py_buffer(whole), pa.float64()
        arrays += [pa.Array.from_buffers(kind, rows, [None, content], 0, rows * i) for i in range(len(numbers))]
    if categories:
        words = np.concatenate([rows_.categories for rows_ in present])
        arrays += [pa.array(words[:, position], pa.string()) for position in range(len(categories))]
    return pa.StructArray.from_arrays(arrays, fields=_fields(numbers, categories))


def _by_column(parts: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """[columns, rows] in C order, one column after the other, whatever the order of the parts."""
    if rows < _LARGE * len(parts):
        parts = [np.concatenate(parts)]
    if len(parts) == 1:
        return np.ascontiguousarray(parts[0].T)
    # Into `whole`: by itself, concatenate returns Fortran order where every part has it.
    whole = np.empty((parts[0].shape[1], rows))
    return np.concatenate([part.T for part in parts], axis=1, out=whole)


@lru_cache(maxsize=256)
def _fields(numbers: tuple[str, ...], categories: tuple[str, ...]) -> list[pa.Field]:
    return [*(pa.field(name, pa.float64()) for name in numbers), *(pa.field(name, pa.string()) for name in categories)]
