"""The days of the training rows in a bundle's profile: for each column and day a few contrasts, never rows.

Made so that a live window is later compared with how much such days differ (`domain.drift.days.compare`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.domain.drift.days.contrasts import angle_of, quantile_of
from mlops_assets.domain.drift.days.training_days import (
    ColumnDays,
    TrainingDays,
    blocks_of,
    choose_days,
    days_to_plain,
)
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Reference


@dataclass(frozen=True, eq=False)
class RowsByDay:
    """Which of the rows are kept, the day and the block of each."""

    days: np.ndarray  # datetime64[D] [D] rising
    rows: np.ndarray  # places of the rows that are kept
    day: np.ndarray  # [rows] place of the row's day
    block: np.ndarray  # [rows]

    @classmethod
    def of(cls, moments: np.ndarray) -> "RowsByDay":
        """Of the event times of rows, datetime64 [n]."""
        days, day = np.unique(moments.astype("datetime64[D]"), return_inverse=True)
        kept = choose_days(days)
        new_place = np.full(len(days), -1)
        new_place[kept] = np.arange(len(kept))
        rows = np.flatnonzero(new_place[day] >= 0)
        places = new_place[day[rows]]
        return cls(days[kept], rows, places, blocks_of(len(kept))[places])

    def count(self, mask: np.ndarray) -> np.ndarray:
        """[D] how many rows of each day are marked."""
        return np.bincount(self.day[mask], minlength=len(self.days))


def describe_days(
    moments: np.ndarray | None,
    reference: Reference,
    columns: Mapping[str, np.ndarray],
    *,
    apart: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]] | None = None,
) -> dict[str, Any] | None:
    """The plain form of the days of all columns; None where rows have no days.

    `apart`: two versions of the columns of the same rows; how far they are apart is how far a live column may be.
    """
    if moments is None or not len(moments):
        return None
    rows = RowsByDay.of(moments)
    found = {name: _column_days(rows, columns[name][rows.rows], known) for name, known in reference.items()}
    if apart:
        found = {name: replace(each, doubt=_doubt(name, reference[name], apart)) for name, each in found.items()}
    return days_to_plain(TrainingDays(rows.days, found))


def _doubt(
    name: str, known: NumberReference | CategoryReference, apart: tuple[Mapping[str, np.ndarray], ...]
) -> np.ndarray:
    """[2J] how far two versions of a column are apart."""
    one_day = [RowsByDay.of(np.zeros(len(each[name]), dtype="datetime64[D]")) for each in apart]
    one, other = (_column_days(rows, each[name], known).values[0] for rows, each in zip(one_day, apart, strict=True))
    return np.abs(one - other)


def _column_days(rows: RowsByDay, values: np.ndarray, known: NumberReference | CategoryReference) -> ColumnDays:
    if isinstance(known, NumberReference):
        return _number_days(rows, values.astype(np.float64), known)
    return _category_days(rows, values, known)


def _number_days(rows: RowsByDay, values: np.ndarray, known: NumberReference) -> ColumnDays:
    finite, null = np.isfinite(values), np.isnan(values)
    there = rows.count(finite)
    found, day = values[finite], rows.day[finite]
    cells = known.edges.searchsorted(found, "left") + known.edges.searchsorted(found, "right")
    size, days = len(known.cells), len(rows.days)
    counts = np.bincount(day * size + cells, minlength=days * size).reshape(days, size)
    contrasts = known.contrast(counts)
    outside = ~null & ~finite
    outside[finite] = _outside_other_blocks(found, rows.block[finite])
    whole = np.ones(len(values), dtype=bool)
    doubt = np.zeros(contrasts.shape[1])
    return ColumnDays(contrasts, there, rows.count(whole), rows.count(null), rows.count(outside), doubt)


def _outside_other_blocks(values: np.ndarray, block: np.ndarray) -> np.ndarray:
    """[n] which values lie beyond all of other blocks."""
    count = int(block.max(initial=0)) + 1
    least, most = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(least, block, values)
    np.maximum.at(most, block, values)
    other = ~np.eye(count, dtype=bool)
    lowest = np.where(other, least, np.inf).min(axis=1)
    highest = np.where(other, most, -np.inf).max(axis=1)
    return (values < lowest[block]) | (values > highest[block])


def _category_days(rows: RowsByDay, values: np.ndarray, known: CategoryReference) -> ColumnDays:
    coded = pa.array(values, pa.string()).dictionary_encode()
    codes, words = coded.indices.to_numpy(), coded.dictionary.to_pylist()
    null = np.array([word == "" for word in words], dtype=bool)[codes]
    kept = np.array([word in known.index for word in words], dtype=bool)[codes]
    common = {known.values[place]: rank for rank, place in enumerate(known.common)}
    ranks = np.array([common.get(word, len(common)) for word in words], dtype=np.int64)[codes]
    size, days = len(common) + 1, len(rows.days)
    counts = np.bincount(rows.day[~null] * size + ranks[~null], minlength=days * size).reshape(days, size)
    present = counts.sum(axis=1)
    angles = angle_of(counts, present[:, None])
    contrasts = np.concatenate([angles, quantile_of(angles, present[:, None])], axis=1)
    strange = ~null & (~kept | _only_in_its_block(codes, rows.block))
    nulls, doubt = rows.count(null), np.zeros(contrasts.shape[1])
    return ColumnDays(contrasts, present, present + nulls, nulls, rows.count(strange), doubt)


def _only_in_its_block(codes: np.ndarray, block: np.ndarray) -> np.ndarray:
    """[n] which values occur in one block alone."""
    size = int(block.max(initial=0)) + 1
    blocks = np.bincount(np.unique(codes.astype(np.int64) * size + block) // size, minlength=int(codes.max()) + 1)
    return blocks[codes] == 1
