"""Which values have to be looked at to judge every row of a column, and what they say about the rows. Pure.

What holds for a value holds for every row that has it; and limits that hold for two numbers hold for all
between them, so of a long column of numbers only the outer ones have to be looked at.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

_SAMPLE = 2000  # numbers looked at to find which are the outer ones
_BEYOND = 4  # of the sample, on either side


@dataclass(frozen=True)
class Probe:
    """The values to judge, in place of the rows of a column."""

    values: pd.Series
    rows: int
    code: np.ndarray | None = None  # position in `values` of each row's value; none: its own
    outer: np.ndarray | None = None  # the rows that `values` are of, where the others lie between them
    ends: tuple[float, float] | None = None  # the innermost of the outer values

    def failing_rows(self, failing: np.ndarray) -> np.ndarray | None:
        """Mask over the rows, given the positions that fail. None: an inner end fails, so the others must be judged."""
        if self.outer is None or self.ends is None:
            mask = _mask(len(self.values), failing)
            return mask if self.code is None else mask[self.code]
        at_the_ends = np.isin(self.values.to_numpy()[failing], self.ends)
        return None if at_the_ends.any() else _mask(self.rows, self.outer[failing])


def every_value(column: pa.ChunkedArray) -> Probe:
    """Each value once; of fractional numbers all, since they hardly repeat."""
    whole = column.combine_chunks()
    if pa.types.is_floating(whole.type):
        return Probe(whole.to_pandas(), len(whole))
    coded = whole.dictionary_encode(null_encoding="encode")
    return Probe(coded.dictionary.to_pandas(), len(whole), coded.indices.to_numpy(zero_copy_only=False))


def outer_values(column: pa.ChunkedArray) -> Probe | None:
    """The smallest and largest numbers. None where there are too few to be worth it."""
    numbers = column.to_numpy()
    sample = np.sort(numbers[:: max(1, len(numbers) // _SAMPLE)])
    sample = sample[~np.isnan(sample)]
    if len(sample) < _SAMPLE // 2:
        return None
    ends = (sample[_BEYOND], sample[-_BEYOND - 1])
    outer = np.flatnonzero((numbers <= ends[0]) | (numbers >= ends[1]))
    return Probe(pd.Series(numbers[outer]), len(numbers), outer=outer, ends=ends)


def _mask(length: int, positions: np.ndarray) -> np.ndarray:
    mask = np.zeros(length, bool)
    mask[positions] = True
    return mask
