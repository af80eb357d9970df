"""The common request of the Open Inference Protocol by the short way: every tensor FP64, one column each, no null.

Gives None for anything else, right or wrong: `tensors.py` reads that, and says what is wrong with it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.rows.row_shapes import MatrixRows

_NUMBERS = frozenset({float, int})


def read_float_matrix(inputs: Any, binary: memoryview) -> MatrixRows | None:
    """All tensors of a request at once."""
    try:
        shape = inputs[0]["shape"]
        (rows,) = shape
        names = tuple([item["name"] for item in inputs])
        kinds = {(item["datatype"], type(item["name"]), *item["shape"]) for item in inputs}
        if kinds != {("FP64", str, rows)} or type(rows) is not int or rows < 1 or len(set(names)) < len(names):
            return None
        values = _packed(inputs, rows, binary) if len(binary) else _spoken(inputs, rows)
    except (TypeError, KeyError, IndexError, ValueError, OverflowError):
        return None
    return None if values is None else MatrixRows(names, values.reshape(len(names), rows))


def _spoken(inputs: list[Mapping[str, Any]], rows: int) -> np.ndarray | None:
    flat: list[Any] = []
    for item in inputs:
        data = item["data"]
        if type(data) is not list or len(data) != rows or "parameters" in item:
            return None
        flat += data
    return np.array(flat, dtype=np.float64) if _NUMBERS.issuperset(map(type, flat)) else None


def _packed(inputs: list[Mapping[str, Any]], rows: int, binary: memoryview) -> np.ndarray | None:
    """Binary tensors lie one behind the other: together they are the matrix, without a copy."""
    size = {"binary_data_size": 8 * rows}
    if len(binary) != 8 * rows * len(inputs) or any(item["parameters"] != size for item in inputs):
        return None
    return np.frombuffer(binary, dtype="<f8")
