"""Rows that a caller sends → the two packed inputs of a model, held to its contract.

Three shapes come in: rows as dicts (JSON), one array for each field (tensors), an Arrow table. The happy path
costs a few calls into C; only a request that is wrong pays for finding every violation. Numbers outside what
training saw are refused, clipped or flagged, as the contract says; a category never seen is always let
through and flagged: the graph has an answer for it.
"""

import operator
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from serving.contract.encoding import pack_rows
from serving.contract.fields import Contract, Field
from serving.problems import MOST_PROBLEMS, InvalidInput, Problem

LONGEST_TEXT = 1_000  # characters of a category
_LARGEST = float(np.finfo(np.float64).max)
_TYPES: Mapping[str, frozenset[type]] = {
    "number": frozenset({int, float, type(None)}),
    "integer": frozenset({int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "text": frozenset({str, type(None)}),
}
_WHAT = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "text": "text"}


class Packed(NamedTuple):
    """`numbers` float64 [n, K], `categories` text [n, C], and what a careful caller should know."""

    numbers: np.ndarray
    categories: np.ndarray
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return len(self.numbers)


class Reader:
    """Reads rows for one contract."""

    def __init__(self, contract: Contract, *, most_rows: int) -> None:
        self.contract = contract
        self.fields = {field.name: field for field in contract.fields}
        self.numbers, self.categories = contract.numbers, contract.categories
        self._most_rows = most_rows
        self._allowed = self.fields.keys() | set(contract.entity)
        self.whole = tuple(i for i, n in enumerate(self.numbers) if self.fields[n].type == "integer")
        self._number_row, self._category_row = _getter(self.numbers), _getter(self.categories)
        self._typed = tuple(_by_type(contract.fields))
        self._uniform = self._typed[0][1] if len(self._typed) == 1 else None
        self._all_text = all(self.fields[name].type == "text" for name in self.categories)
        self._limits = _limits(self.fields[name] for name in self.numbers)
        self._row_bytes = struct.Struct(f"{len(self.numbers)}d").pack
        self._known = [frozenset((*self.fields[n].categories, "")) for n in self.categories]
        self._listed = [not self.fields[n].cut for n in self.categories]

    def named(self, rows: Sequence[Mapping[str, Any]]) -> Packed:
        """Rows as dicts, each with every field of the contract; entity keys may stand beside them."""
        self._count(len(rows))
        try:
            if not self._types_hold(rows):
                raise TypeError
            numbers = self._numbers(rows)
            words = self._words(rows)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            numbers, words = self._slowly(rows)
        return self.checked(numbers, words)

    def checked(self, numbers: np.ndarray, words: np.ndarray) -> Packed:
        """Packed values held to ranges and vocabularies."""
        notes: list[str] = []
        if not self._within(numbers):
            clipped = numbers.clip(*self._limits)
            if not _same(clipped, numbers):
                numbers = self._outside(numbers, clipped, notes)
        for position, known in enumerate(self._known):
            if self._listed[position] and not known.issuperset(words[:, position]):
                notes.append(f"{self.categories[position]}: a category that training did not see")
        return Packed(numbers, words, tuple(notes))

    def _within(self, numbers: np.ndarray) -> bool:
        """A short look at numbers that lie column by column: no does not mean that any is outside."""
        if numbers.flags.c_contiguous:
            return False
        low, high = self._limits
        least, most = np.fmin.reduce(numbers, axis=0), np.fmax.reduce(numbers, axis=0)
        return bool((least >= low).all() and (most <= high).all())

    def check_lengths(self, words: np.ndarray) -> None:
        """Refuse texts that are no category but somebody's novel."""
        problems = [
            Problem(name, row, f"is longer than {LONGEST_TEXT} characters")
            for position, name in enumerate(self.categories)
            for row, word in enumerate(words[:, position])
            if len(word) > LONGEST_TEXT
        ]
        if problems:
            raise InvalidInput(problems)

    def check_count(self, rows: int) -> None:
        self._count(rows)

    def _count(self, rows: int) -> None:
        if not 0 < rows <= self._most_rows:
            raise InvalidInput(f"a request brings 1 to {self._most_rows:,} rows, not {rows:,}")

    def _types_hold(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        width = len(self.fields)
        for row in rows:
            if len(row) != width:
                return False
        if self._uniform:
            values = rows[0].values() if len(rows) == 1 else chain.from_iterable(row.values() for row in rows)
            return self._uniform.issuperset(map(type, values))
        for row in rows:  # noqa: SIM110 - a generator costs a third more, for each request
            if not self._each_type_holds(row):
                return False
        return True

    def _each_type_holds(self, row: Mapping[str, Any]) -> bool:
        for get, allowed in self._typed:  # noqa: SIM110 - a generator costs a third more, for each request
            if not allowed.issuperset(map(type, get(row))):
                return False
        return True

    def _numbers(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        width = len(self.numbers)
        if len(rows) == 1:
            return self._one_row(self._number_row(rows[0]))
        flat = chain.from_iterable(map(self._number_row, rows))
        return np.fromiter(flat, np.float64, len(rows) * width).reshape(-1, width)

    def _one_row(self, values: Sequence[Any]) -> np.ndarray:
        try:
            return np.ndarray((1, len(values)), np.float64, self._row_bytes(*values))
        except struct.error:  # a null among them
            return np.array((values,), dtype=np.float64)

    def _words(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        if not self.categories:
            return np.empty((len(rows), 0), dtype=object)
        if self._all_text:
            words = np.array(list(map(self._category_row, rows)), dtype=object)
        else:
            words = pack_rows(rows, (), self.categories)[1]
        if max(map(len, chain.from_iterable(words))) > LONGEST_TEXT:
            raise ValueError
        return words

    def _slowly(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Rows that are unusual or wrong: with a null, a whole number written 3.0, an entity key, a violation."""
        problems = []
        for problem in self._violations(rows):
            problems.append(problem)
            if len(problems) > MOST_PROBLEMS:
                break
        if problems:
            raise InvalidInput(problems)
        return pack_rows(rows, self.numbers, self.categories)

    def _violations(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                yield Problem(None, index, "a row is an object with a value for each field")
                continue
            for name in row.keys() - self._allowed:
                yield Problem(name[:100], index, "is no field of this model")
            for name, field in self.fields.items():
                if name not in row:
                    yield Problem(name, index, "is missing; a value that is not known is null")
                elif reason := _wrong(field, row[name]):
                    yield Problem(name, index, reason)

    def _outside(self, numbers: np.ndarray, clipped: np.ndarray, notes: list[str]) -> np.ndarray:
        outside = (numbers < self._limits[0]) | (numbers > self._limits[1])
        if not outside.any():
            return numbers
        policy = self.contract.out_of_range
        if policy == "reject":
            raise InvalidInput(list(self._told(numbers, outside)))
        done = "clipped to" if policy == "clip" else "outside"
        for position in np.flatnonzero(outside.any(axis=0)):
            field = self.fields[self.numbers[position]]
            notes.append(f"{field.name}: {done} what training saw, {_range(field)}")
        return clipped if policy == "clip" else numbers

    def _told(self, numbers: np.ndarray, outside: np.ndarray) -> Iterator[Problem]:
        for row, position in np.argwhere(outside)[: MOST_PROBLEMS + 1].tolist():
            field = self.fields[self.numbers[position]]
            yield Problem(field.name, row, f"{numbers[row, position]:g} is outside {_range(field)}")


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The values of these fields as a tuple; `itemgetter` alone gives one or none differently."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return (lambda row: (row[names[0]],)) if names else (lambda row: ())


def _by_type(fields: Sequence[Field]) -> Iterator[tuple[Callable[[Mapping[str, Any]], Any], frozenset[type]]]:
    for kind, allowed in _TYPES.items():
        if names := [field.name for field in fields if field.type == kind]:
            yield _getter(names), allowed


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit for bit, so that NaN is NaN; the quicker way differs with the size."""
    if one.size < 512:
        return one.tobytes() == other.tobytes()
    return np.array_equal(one.view(np.int64), other.view(np.int64))


def _limits(fields: Iterator[Field]) -> tuple[np.ndarray, np.ndarray]:
    """Where training saw no value there is no range, but infinity is out of any."""
    pairs = [(-_LARGEST if f.lower is None else f.lower, _LARGEST if f.upper is None else f.upper) for f in fields]
    both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


def _range(field: Field) -> str:
    if field.lower is None or field.upper is None:
        return "the finite numbers"
    return f"{field.lower:g} to {field.upper:g}"


def _wrong(field: Field, value: Any) -> str | None:
    if type(value) in _TYPES[field.type]:
        too_long = isinstance(value, str) and len(value) > LONGEST_TEXT
        return f"is longer than {LONGEST_TEXT} characters" if too_long else None
    if field.type == "integer" and isinstance(value, float) and value.is_integer():
        return None
    given = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)[:60]
    return f"must be {_WHAT[field.type]} or null, not {given}"
