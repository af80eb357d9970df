"""The shapes in which rows reach the engine, behind one interface. Each packs itself by the layout of a model's fields.

Knows no limits of a contract: `reader.py` holds the packed values to them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from serving.contract.encoding import MISSING, pack_table, text_of
from serving.contract.guard import LONGEST_TEXT
from serving.problems import InvalidInput, Problem
from serving.rows.layout import FieldLayout
from serving.rows.pack_named import pack_named

_FLOATS = (pa.float64(), pa.float32())

PackedArrays = tuple[np.ndarray, np.ndarray]  # numbers [n, K], categories [n, C]


class RequestRows(Protocol):
    """Rows of one request."""

    checks_values: bool  # whether `to_arrays` holds each value to its field's type and length

    def __len__(self) -> int: ...

    def to_arrays(self, layout: FieldLayout) -> PackedArrays:
        """The rows as the model takes them; InvalidInput lists what is wrong with their fields and types."""
        ...

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        """The entity keys of each row, where all of them are there."""
        ...

    def lacks_any(self, fields: Set[str]) -> bool:
        """Whether the store of features has to bring some of these fields."""
        ...

    def as_rows(self) -> list[dict[str, Any]]: ...

    def take(self, places: Sequence[int]) -> "RequestRows":
        """The rows at these places, in this order."""
        ...


def check_keys(entities: Mapping[str, list[Any]] | None) -> None:
    """Refuses entity keys that are large: they stay in the log until it is written."""
    for name, values in (entities or {}).items():
        for row, value in enumerate(values):
            if type(value) is str and len(value) > LONGEST_TEXT:
                raise InvalidInput([Problem(name, row, f"is longer than {LONGEST_TEXT} characters")])
            if type(value) in (list, dict):
                raise InvalidInput([Problem(name, row, "is a key: a text or a number")])


class NamedRows:
    """Rows as dicts: JSON, streams, batches from Python."""

    __slots__ = ("rows",)
    checks_values = True

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def to_arrays(self, layout: FieldLayout) -> PackedArrays:
        return pack_named(self.rows, layout)

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        try:
            return {name: [row[name] for row in self.rows] for name in names} if names else None
        except (KeyError, TypeError):
            return None

    def lacks_any(self, fields: Set[str]) -> bool:
        return any(isinstance(row, dict) and not fields <= row.keys() for row in self.rows)

    def as_rows(self) -> list[dict[str, Any]]:
        return self.rows

    def take(self, places: Sequence[int]) -> "NamedRows":
        return NamedRows([self.rows[place] for place in places])


class ColumnRows:
    """One array for each field, as tensors bring them: float64 or bool arrays for numbers, lists of text."""

    __slots__ = ("columns", "count")
    checks_values = False

    def __init__(self, columns: Mapping[str, np.ndarray | list[str]], count: int) -> None:
        self.columns, self.count = columns, count

    def __len__(self) -> int:
        return self.count

    def to_arrays(self, layout: FieldLayout) -> PackedArrays:
        problems = [*_unknown(self.columns, layout), *_missing(self.columns.keys(), layout)]
        if problems:
            raise InvalidInput(problems)
        texts = [name for name in layout.numbers if isinstance(self.columns[name], list)]
        if texts:
            raise InvalidInput([Problem(name, None, "takes a numeric tensor, not BYTES") for name in texts])
        numbers = np.empty((self.count, len(layout.numbers)))
        for position, name in enumerate(layout.numbers):
            numbers[:, position] = self.columns[name]
        words = np.empty((self.count, len(layout.categories)), dtype=object)
        for position, name in enumerate(layout.categories):
            words[:, position] = _words(self.columns[name])
        return numbers, words

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        if not names or not all(name in self.columns for name in names):
            return None
        return {name: list(_to_list(self.columns[name])) for name in names}

    def lacks_any(self, fields: Set[str]) -> bool:
        return not fields <= self.columns.keys()

    def as_rows(self) -> list[dict[str, Any]]:
        names = list(self.columns)
        values = [_to_list(column) for column in self.columns.values()]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def take(self, places: Sequence[int]) -> "ColumnRows":
        taken = {
            name: [column[place] for place in places] if isinstance(column, list) else column[list(places)]
            for name, column in self.columns.items()
        }
        return ColumnRows(taken, len(places))


class MatrixRows:
    """Tensors of plain numbers, the most of them: one row of `values` for each name."""

    __slots__ = ("names", "values")
    checks_values = False

    def __init__(self, names: tuple[str, ...], values: np.ndarray) -> None:
        self.names, self.values = names, values

    def __len__(self) -> int:
        return self.values.shape[1]

    def to_arrays(self, layout: FieldLayout) -> PackedArrays:
        if self.names != layout.numbers or layout.categories:
            return self.columns().to_arrays(layout)
        return self.values.T, np.empty((len(self), 0), dtype=object)

    def columns(self) -> ColumnRows:
        return ColumnRows(dict(zip(self.names, self.values, strict=True)), len(self))

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        return self.columns().entities(names)

    def lacks_any(self, fields: Set[str]) -> bool:
        return not fields <= set(self.names)

    def as_rows(self) -> list[dict[str, Any]]:
        return self.columns().as_rows()

    def take(self, places: Sequence[int]) -> "MatrixRows":
        return MatrixRows(self.names, self.values[:, list(places)])


class TableRows:
    """An Arrow table."""

    __slots__ = ("table",)
    checks_values = False

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.num_rows

    def to_arrays(self, layout: FieldLayout) -> PackedArrays:
        names = self.table.column_names
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        problems = [*_unknown(names, layout), *(Problem(name[:100], None, "stands twice") for name in twice)]
        problems += _missing(set(names), layout)
        if problems:
            raise InvalidInput(problems)
        try:
            return self._pack(layout)
        except (ValueError, TypeError, pa.ArrowException) as err:
            raise InvalidInput(str(err)[:1_000]) from err

    def _pack(self, layout: FieldLayout) -> PackedArrays:
        """As `pack_table` does it; the numbers in one call where Arrow can."""
        numbers = self._numbers(layout.numbers)
        if numbers is None:
            return pack_table(self.table, layout.numbers, layout.categories)
        if not layout.categories:
            return numbers, np.empty((len(numbers), 0), dtype=object)
        return numbers, pack_table(self.table, (), layout.categories)[1]

    def _numbers(self, names: tuple[str, ...]) -> np.ndarray | None:
        """Floating-point columns, perhaps with whole numbers and nulls among them; None where there are others."""
        batches = self.table.select(names).to_batches()
        if len(batches) != 1:
            return None
        try:
            tensor = batches[0].to_tensor(null_to_nan=True, row_major=False)
        except pa.ArrowException:
            return None
        return tensor.to_numpy().astype(np.float64, copy=False) if tensor.type in _FLOATS else None

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        if not names or not all(name in self.table.column_names for name in names):
            return None
        return {name: self.table[name].to_pylist() for name in names}

    def lacks_any(self, fields: Set[str]) -> bool:
        return not fields <= set(self.table.column_names)

    def as_rows(self) -> list[dict[str, Any]]:
        return self.table.to_pylist()

    def take(self, places: Sequence[int]) -> "TableRows":
        return TableRows(self.table.take(pa.array(places, pa.int64())))


def _unknown(names: Iterable[str], layout: FieldLayout) -> list[Problem]:
    return [Problem(name[:100], None, "is no field of this model") for name in names if name not in layout.allowed]


def _missing(names: Set[str], layout: FieldLayout) -> list[Problem]:
    return [Problem(name, None, "is missing") for name in layout.fields if name not in names]


def _words(column: np.ndarray | list[str]) -> list[str]:
    """Categories as the model knows them: text as it is, numbers and booleans in their canonical writing."""
    if isinstance(column, list):
        return column
    known = {value: text_of(value) for value in np.unique(column).tolist() if value == value}
    return [known.get(value, MISSING) for value in column.tolist()]


def _to_list(column: np.ndarray | list[str]) -> list[Any]:
    return column if isinstance(column, list) else column.tolist()
