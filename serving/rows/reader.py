"""Rows of a request → the two packed inputs of a model, held to its contract.

`Reader.read` takes rows of any shape: the shape packs itself by the layout of the fields (`row_shapes.py`), then the
contract's guard judges the values. An unknown category is always let through and noted: the graph has an answer for it.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np

from serving.contract.fields import Contract
from serving.contract.guard import InputGuard, describe_range
from serving.problems import MOST_PROBLEMS, InvalidInput, Problem
from serving.rows.layout import FieldLayout
from serving.rows.row_shapes import RequestRows


class Packed(NamedTuple):
    """`numbers` float64 [n, K], `categories` text [n, C], and what a careful caller should know."""

    numbers: np.ndarray
    categories: np.ndarray
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return len(self.numbers)


class RowReader:
    """Reads rows for one contract."""

    def __init__(self, contract: Contract, *, most_rows: int) -> None:
        self.layout = FieldLayout(contract)
        self.fields = self.layout.fields
        self._guard, self._most_rows = InputGuard(contract), most_rows
        self._number_fields = [self.fields[name] for name in contract.numbers]
        self._listed = [
            (place, name, frozenset((*self.fields[name].categories, "")))
            for place, name in enumerate(contract.categories)
            if not self.fields[name].cut
        ]

    def read(self, rows: RequestRows) -> Packed:
        """The rows as the model takes them; InvalidInput lists every violation."""
        self.check_size(rows)
        numbers, words = rows.to_arrays(self.layout)
        if not rows.checks_values:
            violations = islice(self._guard.wrong_values(numbers, words), MOST_PROBLEMS + 1)
            if problems := [Problem(*violation) for violation in violations]:
                raise InvalidInput(problems)
        notes: list[str] = []
        clipped = self._guard.clip(numbers)
        if clipped is not numbers:
            numbers = self._out_of_range(numbers, clipped, notes)
        for place, name, known in self._listed:
            if not known.issuperset(words[:, place]):
                notes.append(f"{name}: a category that training did not see")
        return Packed(numbers, words, tuple(notes))

    def check_size(self, rows: RequestRows) -> None:
        """Refuses too many rows before anything looks at each of them."""
        if not 0 < len(rows) <= self._most_rows:
            raise InvalidInput(f"a request brings 1 to {self._most_rows:,} rows, not {len(rows):,}")

    def _out_of_range(self, numbers: np.ndarray, clipped: np.ndarray, notes: list[str]) -> np.ndarray:
        """What goes on to the model, by the contract's policy."""
        policy = self._guard.policy
        if policy == "reject":
            violations = islice(self._guard.out_of_range(numbers), MOST_PROBLEMS + 1)
            if problems := [Problem(*violation) for violation in violations]:
                raise InvalidInput(problems)
            return numbers
        outside = self._guard.outside(numbers)
        done = "clipped to" if policy == "clip" else "outside"
        for place in np.flatnonzero(outside.any(axis=0)):
            field = self._number_fields[place]
            notes.append(f"{field.name}: {done} what training saw, {describe_range(field)}")
        return clipped if policy == "clip" and outside.any() else numbers
