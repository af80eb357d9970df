"""How far values lie from those before them: population stability index. Pure."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ENOUGH = 100  # values on either side; under that the index is noise

_BINS = 10
_CATEGORIES = 30  # the most frequent; the others count as one
_FLOOR = 1e-4  # share of an empty bin


def stability(column: pa.ChunkedArray, partition: np.ndarray, partitions: int, recent: int) -> np.ndarray:
    """PSI of each partition against the `recent` ones before it; NaN where either side has too few values.

    Bins are the same for all partitions: deciles of the numbers, or the most frequent texts.
    """
    code = _bins(column)
    known = code >= 0
    width = int(code.max(initial=0)) + 1
    counts = np.bincount(partition[known] * width + code[known], minlength=partitions * width)
    table = counts.reshape(partitions, width).astype(float)
    sums = np.vstack([np.zeros(width), np.cumsum(table, axis=0)])
    before = sums[:-1] - sums[np.maximum(np.arange(partitions) - recent, 0)]
    sizes = np.minimum(before.sum(axis=1), table.sum(axis=1))
    return np.where(sizes >= ENOUGH, psi(before, table), np.nan)


def psi(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Counts (..., bins) twice → (...,)"""
    expected, actual = (np.maximum(_shares(counts), _FLOOR) for counts in (reference, current))
    return ((actual - expected) * np.log(actual / expected)).sum(axis=-1)


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def _bins(column: pa.ChunkedArray) -> np.ndarray:
    """Bin of each value, -1 for null."""
    if pa.types.is_null(column.type):
        return np.full(len(column), -1)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
        finite = np.isfinite(numbers)
        edges = np.unique(np.quantile(numbers[finite], np.arange(1, _BINS) / _BINS)) if finite.any() else np.array([])
        return np.where(finite, np.searchsorted(edges, numbers, "right"), -1)
    coded = pc.cast(column, pa.string()).combine_chunks().dictionary_encode()
    code = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    sizes = np.bincount(code[code >= 0], minlength=len(coded.dictionary))
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(code >= 0, np.minimum(rank[code] if len(rank) else code, _CATEGORIES), -1)
