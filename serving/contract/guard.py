"""What packed rows may hold. The endpoint and batch prediction judge their rows by it, in the same words.

Numbers outside what training saw are refused, clipped or let through, as the contract says. Infinity is outside any
range. Reads no row of its own: values are packed before they come here.
"""

import operator
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from serving.contract.fields import Contract, Field

LONGEST_TEXT = 1_000  # characters of a category
_LARGEST = float(np.finfo(np.float64).max)


class Violation(NamedTuple):
    """One value that the contract does not allow."""

    field: str
    row: int
    reason: str


class InputGuard:
    """Judges `numbers` float64 [n, K] and `categories` text [n, C] by one contract."""

    def __init__(self, contract: Contract) -> None:
        self.policy = contract.out_of_range
        self._numbers = [field for field in contract.fields if field.kind == "number"]
        self._categories = contract.categories
        self._whole = [place for place, field in enumerate(self._numbers) if field.type == "integer"]
        self._low, self._high = _limits(self._numbers)
        self._lowest, self._highest = self._low.tolist(), self._high.tolist()

    def violations(self, numbers: np.ndarray, words: np.ndarray) -> Iterator[Violation]:
        """Everything for which a row is refused."""
        yield from self.wrong_values(numbers, words)
        if self.policy == "reject":
            yield from self.out_of_range(numbers)

    def wrong_values(self, numbers: np.ndarray, words: np.ndarray) -> Iterator[Violation]:
        """Values that no policy lets through: parts of whole numbers, texts that are no category but a novel."""
        for place in self._whole:
            column = numbers[:, place]
            for row in np.flatnonzero(np.isfinite(column) & (np.floor(column) != column)).tolist():
                yield Violation(self._numbers[place].name, row, "must be a whole number")
        for place, name in enumerate(self._categories):
            for row, word in enumerate(words[:, place]):
                if len(word) > LONGEST_TEXT:
                    yield Violation(name, row, f"is longer than {LONGEST_TEXT} characters")

    def out_of_range(self, numbers: np.ndarray) -> Iterator[Violation]:
        for row, place in np.argwhere(self.outside(numbers)).tolist():
            field = self._numbers[place]
            yield Violation(field.name, row, f"{numbers[row, place]:g} is outside {describe_range(field)}")

    def outside(self, numbers: np.ndarray) -> np.ndarray:
        """Where a number is outside its range, [n, K]."""
        return (numbers < self._low) | (numbers > self._high)

    def clip(self, numbers: np.ndarray) -> np.ndarray:
        """The same array where every number is within its range."""
        if not numbers.flags.c_contiguous and self._columns_within(numbers):
            return numbers
        if len(numbers) == 1 and self._row_within(numbers.tolist()[0]):
            return numbers
        clipped = numbers.clip(self._low, self._high)
        return numbers if _same_bits(clipped, numbers) else clipped

    def _row_within(self, row: list[float]) -> bool:
        """The same look at one row, at half the cost of NumPy's. False also where a number is missing."""
        return all(map(operator.le, self._lowest, row)) and all(map(operator.le, row, self._highest))

    def _columns_within(self, numbers: np.ndarray) -> bool:
        """A quick look at numbers in column order. False may also mean that it cannot tell."""
        least, most = np.fmin.reduce(numbers, axis=0), np.fmax.reduce(numbers, axis=0)
        return bool((least >= self._low).all() and (most <= self._high).all())


def describe_range(field: Field) -> str:
    if field.lower is None or field.upper is None:
        return "the finite numbers"
    return f"{field.lower:g} to {field.upper:g}"


def _limits(fields: list[Field]) -> tuple[np.ndarray, np.ndarray]:
    """A field without a value in training has no range of its own; infinity is outside all the same."""
    low = [-_LARGEST if field.lower is None else field.lower for field in fields]
    high = [_LARGEST if field.upper is None else field.upper for field in fields]
    return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """NaN equals NaN here. Which comparison is quicker depends on the size."""
    if one.size < 512:
        return one.tobytes() == other.tobytes()
    return np.array_equal(one.view(np.int64), other.view(np.int64))
