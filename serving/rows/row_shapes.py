"""The shapes in which rows reach the engine, behind one interface. Each knows how to pack itself for a reader."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from serving.contract.encoding import MISSING, pack_table, text_of
from serving.problems import InvalidInput, Problem
from serving.rows.reader import Packed, Reader

_FLOATS = (pa.float64(), pa.float32())


class RequestRows(Protocol):
    """Rows of one request."""

    def pack(self, reader: Reader) -> Packed:
        """The rows as the model takes them; InvalidInput lists every violation."""
        ...

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        """The entity keys of each row, where all of them are there."""
        ...

    def lacks_fields(self, reader: Reader) -> bool:
        """Are there fields that the store of features has to bring?"""
        ...

    def as_rows(self) -> list[dict[str, Any]]: ...


class NamedRows:
    """Rows as dicts: JSON, streams, batches from Python."""

    __slots__ = ("rows",)

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def pack(self, reader: Reader) -> Packed:
        return reader.named(self.rows)

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        try:
            return {name: [row[name] for row in self.rows] for name in names} if names else None
        except (KeyError, TypeError):
            return None

    def lacks_fields(self, reader: Reader) -> bool:
        return any(isinstance(row, dict) and not reader.fields.keys() <= row.keys() for row in self.rows)

    def as_rows(self) -> list[dict[str, Any]]:
        return self.rows


class ColumnRows:
    """One array for each field, as tensors bring them: float64 or bool arrays for numbers, lists of text."""

    __slots__ = ("columns", "count")

    def __init__(self, columns: Mapping[str, np.ndarray | list[str]], count: int) -> None:
        self.columns, self.count = columns, count

    def pack(self, reader: Reader) -> Packed:
        reader.check_count(self.count)
        self._check_names(reader)
        numbers = np.empty((self.count, len(reader.numbers)))
        problems = []
        for position, name in enumerate(reader.numbers):
            column = self.columns[name]
            if isinstance(column, list):
                problems.append(Problem(name, None, "takes a numeric tensor, not BYTES"))
            else:
                numbers[:, position] = column
        if problems:
            raise InvalidInput(problems)
        _check_whole(reader, numbers)
        words = np.empty((self.count, len(reader.categories)), dtype=object)
        for position, name in enumerate(reader.categories):
            words[:, position] = _words(self.columns[name])
        if reader.categories:
            reader.check_lengths(words)
        return reader.checked(numbers, words)

    def _check_names(self, reader: Reader) -> None:
        allowed = reader.fields.keys() | set(reader.contract.entity)
        problems = [Problem(n[:100], None, "is no field of this model") for n in self.columns if n not in allowed]
        problems += [Problem(n, None, "is missing") for n in reader.fields if n not in self.columns]
        if problems:
            raise InvalidInput(problems)

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        if not names or not all(name in self.columns for name in names):
            return None
        return {name: list(_plain(self.columns[name])) for name in names}

    def lacks_fields(self, reader: Reader) -> bool:
        return not reader.fields.keys() <= self.columns.keys()

    def as_rows(self) -> list[dict[str, Any]]:
        names = list(self.columns)
        values = [_plain(column) for column in self.columns.values()]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


class MatrixRows:
    """Tensors of plain numbers, the most of them: one row of `values` for each name."""

    __slots__ = ("names", "values")

    def __init__(self, names: tuple[str, ...], values: np.ndarray) -> None:
        self.names, self.values = names, values

    def pack(self, reader: Reader) -> Packed:
        if self.names != reader.numbers or reader.categories:
            return self.columns().pack(reader)
        numbers = self.values.T
        reader.check_count(len(numbers))
        if reader.whole:
            _check_whole(reader, numbers)
        return reader.checked(numbers, np.empty((len(numbers), 0), dtype=object))

    def columns(self) -> ColumnRows:
        return ColumnRows(dict(zip(self.names, self.values, strict=True)), self.values.shape[1])

    def entities(self, names: Sequence[str]) -> Mapping[str, list[Any]] | None:
        return self.columns().entities(names)

    def lacks_fields(self, reader: Reader) -> bool:
        return not reader.fields.keys() <= set(self.names)

    def as_rows(self) -> list[dict[str, Any]]:
        return self.columns().as_rows()


class TableRows:
    """An Arrow table."""

    __slots__ = ("table",)

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def pack(self, reader: Reader) -> Packed:
        reader.check_count(self.table.num_rows)
        names, fields = self.table.column_names, reader.fields
        allowed, there = fields.keys() | set(reader.contract.entity), set(names)
        problems = [Problem(n[:100], None, "is no field of this model") for n in names if n not in allowed]
        if len(there) < len(names):
            problems += [Problem(n[:100], None, "stands twice") for n in there if names.count(n) > 1]
        problems += [Problem(n, None, "is missing") for n in fields if n not in there]
        if problems:
            raise InvalidInput(problems)
        try:
            numbers, words = self._packed(reader)
        except (ValueError, TypeError, pa.ArrowException) as err:
            raise InvalidInput(str(err)[:1_000]) from err
        _check_whole(reader, numbers)
        if reader.categories:
            reader.check_lengths(words)
        return reader.checked(numbers, words)

    def _packed(self, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
        """As `pack_table` does it; the numbers in one call where Arrow can."""
        numbers = self._numbers(reader.numbers)
        if numbers is None:
            return pack_table(self.table, reader.numbers, reader.categories)
        if not reader.categories:
            return numbers, np.empty((len(numbers), 0), dtype=object)
        return numbers, pack_table(self.table, (), reader.categories)[1]

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

    def lacks_fields(self, reader: Reader) -> bool:
        return not reader.fields.keys() <= set(self.table.column_names)

    def as_rows(self) -> list[dict[str, Any]]:
        return self.table.to_pylist()


def _check_whole(reader: Reader, numbers: np.ndarray) -> None:
    """Fields of type integer bring whole numbers, also as floating-point tensors."""
    problems = []
    for position in reader.whole:
        column = numbers[:, position]
        wrong = np.isfinite(column) & (np.floor(column) != column)
        rows = np.flatnonzero(wrong)[:5].tolist()
        problems += [Problem(reader.numbers[position], row, "must be a whole number") for row in rows]
    if problems:
        raise InvalidInput(problems)


def _words(column: np.ndarray | list[str]) -> list[str]:
    """Categories as the model knows them: text as it is, numbers and booleans in their canonical writing."""
    if isinstance(column, list):
        return column
    known = {value: text_of(value) for value in np.unique(column).tolist() if value == value}
    return [known.get(value, MISSING) for value in column.tolist()]


def _plain(column: np.ndarray | list[str]) -> list[Any]:
    return column if isinstance(column, list) else column.tolist()
