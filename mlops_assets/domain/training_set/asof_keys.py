"""Key values as small whole numbers that are the same on both sides of a join. Pure; see `asof.py`."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LARGEST = np.iinfo(np.int64).max


class KeyCodes:
    """Numbers the distinct keys of a table's rows. -1: a null in it, or a key the table does not have."""

    def __init__(self, columns: Sequence[pa.ChunkedArray], rows: int) -> None:
        encoded = [_encode(column) for column in columns]
        self._values = [values for values, _ in encoded]
        self._stages: list[np.ndarray | None] = []  # the pairs that occur, where they were packed
        self.of_rows, self.count = np.zeros(rows, dtype=np.int64), 1
        for values, codes in encoded:
            self._widen(codes, max(len(values), 1))

    def of(self, columns: Sequence[pa.ChunkedArray | pa.Array], rows: int) -> np.ndarray:
        """The numbers of other rows' keys."""
        result = np.zeros(rows, dtype=np.int64)
        for column, values, pairs in zip(columns, self._values, self._stages, strict=True):
            result = _combine(result, _look_up(column, values), max(len(values), 1))
            if pairs is not None:
                result = _rank(pairs, result)
        return result

    def _widen(self, codes: np.ndarray, values: int) -> None:
        combined = _combine(self.of_rows, codes, values) if self._stages else codes
        pairs = None
        if self.count > 1 or self.count * values > _LARGEST // 2:
            pairs = np.unique(combined[combined >= 0])
            combined = _rank(pairs, combined)
        self._stages.append(pairs)
        self.of_rows, self.count = combined, values if pairs is None else max(len(pairs), 1)


def single_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column in one piece, without a dictionary."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [_empty(column)])
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _empty(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([], type=column.type)


def _encode(column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    encoded = single_array(column).dictionary_encode()
    return encoded.dictionary, _codes(encoded.indices)


def _look_up(column: pa.ChunkedArray | pa.Array, values: pa.Array) -> np.ndarray:
    array = single_array(column)
    if pa.types.is_null(values.type):  # a table without rows has no type either
        return np.full(len(array), -1, dtype=np.int64)
    if array.type != values.type:
        array = _cast(array, values.type)
    return _codes(pc.index_in(array, value_set=values, skip_nulls=True))


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise TypeError(
            f"a key is {array.type} in the entity rows and {kind} in the feature rows ({err}). Give both the same type."
        ) from err


def _codes(indices: pa.Array) -> np.ndarray:
    return pc.fill_null(indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)


def _combine(left: np.ndarray, right: np.ndarray, width: int) -> np.ndarray:
    return np.where((left < 0) | (right < 0), -1, left * width + right)


def _rank(pairs: np.ndarray, values: np.ndarray) -> np.ndarray:
    if not len(pairs):
        return np.full(len(values), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(pairs, values), len(pairs) - 1)
    return np.where((values >= 0) & (pairs[at] == values), at, -1)
