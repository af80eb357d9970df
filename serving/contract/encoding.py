"""Packs rows into the two inputs of a model: `numbers` float64 [n, K] and `categories` text [n, C].

One definition for training (Arrow tables) and serving (rows as dicts). A missing number is NaN, a missing
category is the empty text. Knows no vocabulary and no scale: those live inside the model's graph.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

MISSING = ""  # a category with no value
_EXACT = 2.0**53  # integral floats below it are written as integers


def text_of(value: Any) -> str:
    """A category as the model knows it: 1, 1.0 and "1" are one value; so are True and "true"."""
    if isinstance(value, str):
        return value
    if value is None:
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating | Decimal):
        return _text_of_float(float(value))
    raise TypeError(f"a category is text, a whole number or a boolean, not {type(value).__name__}")


def _text_of_float(value: float) -> str:
    if math.isnan(value):
        return MISSING
    return str(int(value)) if abs(value) < _EXACT and value.is_integer() else repr(value)


def pack_table(table: pa.Table, numbers: Sequence[str], categories: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The columns of an Arrow table, vectorised. One error lists every column that cannot be packed."""
    problems = [
        *(f"{name}: no such column" for name in (*numbers, *categories) if name not in table.column_names),
        *(
            f"{name}: a number cannot be {table[name].type}"
            for name in numbers
            if name in table.column_names and not is_number(plain_type(table[name].type))
        ),
        *(
            f"{name}: a category cannot be {table[name].type}"
            for name in categories
            if name in table.column_names and not is_category(plain_type(table[name].type))
        ),
    ]
    if problems:
        raise ValueError("columns that cannot be packed for the model: " + "; ".join(problems))
    packed = np.empty((table.num_rows, len(numbers)), dtype=np.float64)
    for position, name in enumerate(numbers):
        packed[:, position] = number_column(table[name])
    words = np.empty((table.num_rows, len(categories)), dtype=object)
    for position, name in enumerate(categories):
        words[:, position] = _category_column(table[name])
    return packed, words


def pack_rows(
    rows: Sequence[Mapping[str, Any]], numbers: Sequence[str], categories: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The same from rows as dicts; a field that a row lacks is missing. Made for one row or a few."""
    values = [[math.nan if (v := row.get(name)) is None else v for name in numbers] for row in rows]
    try:
        packed = np.array(values) if numbers else np.empty(0)
    except ValueError:  # a list among the numbers
        packed = np.empty(0, dtype=object)
    if packed.dtype != np.float64:
        packed = _as_float(rows, numbers, packed)
    words = np.empty((len(rows), len(categories)), dtype=object)
    for position, name in enumerate(categories):
        for index, row in enumerate(rows):
            value = row.get(name)
            words[index, position] = value if type(value) is str else _word(name, value)
    return packed.reshape(len(rows), len(numbers)), words


def _as_float(rows: Sequence[Mapping[str, Any]], numbers: Sequence[str], packed: np.ndarray) -> np.ndarray:
    if packed.dtype.kind in "biuf":
        return packed.astype(np.float64)
    allowed = (int, float, Decimal, np.number, np.bool_, type(None))
    wrong = {
        f"{name}: a number cannot be {type(row.get(name)).__name__}"
        for row in rows
        for name in numbers
        if not isinstance(row.get(name), allowed)
    }
    if wrong:
        raise TypeError("; ".join(sorted(wrong)))
    return np.array([[_float(row.get(name)) for name in numbers] for row in rows], dtype=np.float64)


def _float(value: Any) -> float:
    """A whole number too large for a float saturates, as ±inf does inside the model."""
    if value is None:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _word(name: str, value: Any) -> str:
    try:
        return text_of(value)
    except TypeError as err:
        raise TypeError(f"{name}: {err}") from err


def plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def is_number(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_boolean, pt.is_null))


def is_category(kind: pa.DataType) -> bool:
    return is_number(kind) or any(test(kind) for test in (pt.is_string, pt.is_large_string, pt.is_string_view))


def number_column(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    column = column.cast(plain_type(column.type))
    if pt.is_boolean(column.type):
        column = column.cast(pa.int8())
    return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _category_column(column: pa.ChunkedArray) -> np.ndarray:
    """Each distinct value is written once and then looked up."""
    whole = column.cast(plain_type(column.type)).combine_chunks()
    if pt.is_null(whole.type):
        return np.full(len(whole), MISSING, dtype=object)
    encoded = whole.dictionary_encode()
    words = np.array([*(text_of(v) for v in encoded.dictionary.to_pylist()), MISSING], dtype=object)
    return words[pc.fill_null(encoded.indices, len(words) - 1).to_numpy(zero_copy_only=False)]
