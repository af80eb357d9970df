"""The days of the training data, as a profile keeps them: for each column and day a few contrasts, never rows. Pure.

At most `MOST_WEEKS` whole weeks are kept, evenly thinned and the latest among them, so that a profile is bounded. What
a day holds that no other part of the training data does (a number out of range, an unseen category) is counted against
the other blocks of days, as a live day is counted against all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_WEEKS = 60
LEAST_DAYS = 10  # below which days say too little of how much they differ
_MOST_BLOCKS = 10


@dataclass(frozen=True, eq=False)
class ColumnDays:
    """One column on D days."""

    values: np.ndarray  # [D, J] contrasts
    known: np.ndarray  # [D] rows behind the contrasts
    rows: np.ndarray  # [D]
    nulls: np.ndarray  # [D]
    strange: np.ndarray  # [D] of the rows that are not null: out of range, or of an unseen category
    doubt: np.ndarray  # [J] how far the contrasts of a live day may be off for a reason that is no drift


@dataclass(frozen=True, eq=False)
class TrainingDays:
    """Rising days, and every column on each."""

    days: np.ndarray  # datetime64[D] [D]
    columns: Mapping[str, ColumnDays]

    @property
    def blocks(self) -> np.ndarray:
        """[D] which days are left out together."""
        return blocks_of(len(self.days))


def blocks_of(days: int) -> np.ndarray:
    """Number the contiguous blocks in which days are left out: up to 10."""
    blocks = min(_MOST_BLOCKS, max(days // 2, 1))
    return np.arange(days) * blocks // max(days, 1)


def choose_days(days: np.ndarray, most: int = MOST_WEEKS) -> np.ndarray:
    """Places of the days that are kept: all, or `most` whole weeks of them, evenly thinned, the latest kept."""
    weeks = (days[-1] - days).astype(int) // 7 if len(days) else np.empty(0, dtype=int)  # 0 is the latest
    there = np.unique(weeks)
    if len(there) > most:
        there = there[np.linspace(0, len(there) - 1, most).round().astype(int)]
    return np.flatnonzero(np.isin(weeks, there))


def days_to_plain(found: TrainingDays) -> dict[str, Any]:
    """As JSON: contrasts by column, each a list of days for every contrast."""
    columns = {
        name: {
            "values": np.round(each.values, 5).T.tolist(),
            "doubt": np.round(each.doubt, 5).tolist(),
            **{part: getattr(each, part).tolist() for part in ("known", "rows", "nulls", "strange")},
        }
        for name, each in found.columns.items()
    }
    return {"days": found.days.astype(str).tolist(), "columns": columns}


def days_from_plain(content: Mapping[str, Any] | None) -> TrainingDays | None:
    """None where the profile keeps no days, or too few."""
    if content is None or len(content["days"]) < LEAST_DAYS:
        return None
    days = np.array(content["days"], dtype="datetime64[D]")
    columns = {name: _column(each, len(days)) for name, each in content["columns"].items()}
    return TrainingDays(days, columns)


def _column(content: Mapping[str, Any], days: int) -> ColumnDays:
    values = np.array(content["values"], dtype=np.float64).reshape(len(content["values"]), days).T
    return ColumnDays(values, *(np.array(content[part]) for part in ("known", "rows", "nulls", "strange", "doubt")))
