"""Rows as dicts → packed arrays.

The happy path costs a few calls into C; only a request that is wrong pays for finding every violation.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from serving.contract.encoding import pack_rows
from serving.contract.fields import Field
from serving.contract.guard import LONGEST_TEXT
from serving.problems import MOST_PROBLEMS, InvalidInput, Problem
from serving.rows.layout import TYPES, FieldLayout

_EXPECTED = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "text": "text"}

DictRows = Sequence[Mapping[str, Any]]


def pack_named(rows: DictRows, layout: FieldLayout) -> tuple[np.ndarray, np.ndarray]:
    """Each row has every field of the contract; entity keys may come along."""
    try:
        if _types_hold(rows, layout):
            return _numbers(rows, layout), _words(rows, layout)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        pass
    return _pack_slowly(rows, layout)


def _types_hold(rows: DictRows, layout: FieldLayout) -> bool:
    width = len(layout.fields)
    for row in rows:
        if len(row) != width:
            return False
    if layout.only_type:
        values = rows[0].values() if len(rows) == 1 else chain.from_iterable(row.values() for row in rows)
        return layout.only_type.issuperset(map(type, values))
    for row in rows:
        for get, allowed in layout.by_type:
            if not allowed.issuperset(map(type, get(row))):
                return False
    return True


def _numbers(rows: DictRows, layout: FieldLayout) -> np.ndarray:
    if len(rows) == 1:
        return _one_row(layout.number_row(rows[0]), layout)
    width = len(layout.numbers)
    flat = chain.from_iterable(map(layout.number_row, rows))
    return np.fromiter(flat, np.float64, len(rows) * width).reshape(-1, width)


def _one_row(values: Sequence[Any], layout: FieldLayout) -> np.ndarray:
    try:
        return np.ndarray((1, len(values)), np.float64, layout.number_bytes(*values))
    except struct.error:  # a null among them
        return np.array((values,), dtype=np.float64)


def _words(rows: DictRows, layout: FieldLayout) -> np.ndarray:
    if not layout.categories:
        return np.empty((len(rows), 0), dtype=object)
    if layout.all_text:
        words = np.array(list(map(layout.category_row, rows)), dtype=object)
    else:
        words = pack_rows(rows, (), layout.categories)[1]
    if max(map(len, chain.from_iterable(words))) > LONGEST_TEXT:
        raise ValueError
    return words


def _pack_slowly(rows: DictRows, layout: FieldLayout) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are unusual or wrong: with a null, a whole number written 3.0, an entity key, a violation."""
    if problems := list(islice(_violations(rows, layout), MOST_PROBLEMS + 1)):
        raise InvalidInput(problems)
    return pack_rows(rows, layout.numbers, layout.categories)


def _violations(rows: DictRows, layout: FieldLayout) -> Iterator[Problem]:
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            yield Problem(None, index, "a row is an object with a value for each field")
            continue
        for name in row.keys() - layout.allowed:
            yield Problem(name[:100], index, "is no field of this model")
        for name, field in layout.fields.items():
            if name not in row:
                yield Problem(name, index, "is missing; a value that is not known is null")
            elif reason := _violation(field, row[name]):
                yield Problem(name, index, reason)


def _violation(field: Field, value: Any) -> str | None:
    if type(value) in TYPES[field.type]:
        too_long = isinstance(value, str) and len(value) > LONGEST_TEXT
        return f"is longer than {LONGEST_TEXT} characters" if too_long else None
    if field.type == "integer" and isinstance(value, float) and value.is_integer():
        return None
    kind = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)[:60]
    return f"must be {_EXPECTED[field.type]} or null, not {kind}"
