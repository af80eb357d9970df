"""What a simulated model lives in: rows that come day by day, labels that take their time, and a learner for them.

A world may change on a day, be silent, or keep its labels back. A real data set is a world too: cut into days.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from mlops_assets.training.profile import describe_number
from tests.kit.watching import profile_of

_HOUR = 3600.0
_RIDGE = 1.0
_STEPS = 6  # of Newton's method
_EFFECT = {"north": 0.6, "south": -0.6, "west": 0.0}


@dataclass(frozen=True, eq=False)
class Rows:
    """Some requests: what they ask, what becomes of them, after how many seconds that is known (NaN: never)."""

    columns: Mapping[str, np.ndarray]
    label: np.ndarray
    wait: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    @property
    def table(self) -> pa.Table:
        return pa.table({name: pa.array(values) for name, values in self.columns.items()})

    def take(self, keep: np.ndarray) -> "Rows":
        return Rows({name: values[keep] for name, values in self.columns.items()}, self.label[keep], self.wait[keep])


def joined(parts: Sequence[Rows]) -> Rows:
    names = parts[0].columns
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
    return Rows(columns, np.concatenate([p.label for p in parts]), np.concatenate([p.wait for p in parts]))


class World(Protocol):
    def day(self, day: int) -> Rows: ...


@dataclass(frozen=True)
class Shift:
    """From a day on one number lies elsewhere, and what another says about the outcome is turned round."""

    day: int
    move: float = 0.8
    turned: bool = True


@dataclass(frozen=True)
class Synthetic:
    """A binary outcome of six numbers and two categories."""

    seed: int
    requests: int = 2_000  # a day
    shift: Shift | None = None
    label_hours: float = 0.5  # that half of the labels take
    labelled: float = 0.95  # share of rows that get a label at all
    silent: Collection[int] = ()  # days on which nobody asks
    unlabelled: Collection[int] = ()  # days whose labels never come

    def day(self, day: int) -> Rows:
        rng = np.random.default_rng([self.seed, day + 1_000])
        count = 0 if day in self.silent else self.requests
        x = rng.normal(size=(6, count))
        x[3], x[4] = np.exp(x[3]), np.where(rng.random(count) < 0.7, 0.0, np.abs(x[4]))
        changed = self.shift is not None and day >= self.shift.day
        turned = changed and self.shift is not None and self.shift.turned
        x[0] += self.shift.move if changed and self.shift else 0.0
        region = rng.choice(["north", "south", "west"], count).astype(object)
        device = rng.choice(["phone", "desk"], count, p=[0.7, 0.3]).astype(object)
        effect = np.array([_EFFECT[each] for each in region]) if count else np.zeros(0)
        chance = 1 / (1 + np.exp(-(1.4 * x[0] + (1.2 if turned else -1.2) * x[1] + 0.5 * x[2] + effect - 0.3)))
        label = (rng.random(count) < chance).astype(np.int64)
        wait = rng.exponential(self.label_hours * _HOUR / np.log(2), count)
        never = (rng.random(count) >= self.labelled) | (day in self.unlabelled)
        columns = {f"x{i}": values for i, values in enumerate(x)} | {"region": region, "device": device}
        return Rows(columns, label, np.where(never, np.nan, wait))


@dataclass(frozen=True, eq=False)
class Recorded:
    """A real data set, so many rows a day from a row on; the rows before it are the days before."""

    frame: pd.DataFrame
    target: np.ndarray
    start: int
    requests: int
    label_hours: float = 0.5

    @property
    def days(self) -> int:
        return (len(self.frame) - self.start) // self.requests

    def day(self, day: int) -> Rows:
        first = self.start + day * self.requests
        part = self.frame.iloc[max(first, 0) : max(first + self.requests, 0)]
        columns = {
            name: values.to_numpy(float) if values.dtype.kind in "if" else values.astype(str).to_numpy(object)
            for name, values in part.items()
        }
        label = self.target[max(first, 0) : max(first + self.requests, 0)]
        wait = np.random.default_rng([day + 1_000]).exponential(self.label_hours * _HOUR / np.log(2), len(label))
        return Rows({str(name): values for name, values in columns.items()}, label, wait)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A logistic regression over standardised numbers and one-hot categories."""

    rows: Rows  # it was learnt from
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, rows: Rows) -> "Learnt":
        blank = cls(rows)
        x, y = blank.encoded(rows), rows.label
        weights = np.zeros(x.shape[1])
        for _ in range(_STEPS):
            p = 1 / (1 + np.exp(-(x @ weights)))
            curve = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(len(weights))
            weights = weights + np.linalg.solve(curve, x.T @ (y - p) - _RIDGE * weights)
        return cls(rows, weights)

    def damaged(self, rng: np.random.Generator, strength: float = 1.0) -> "Learnt":
        """A worse one, as somebody might push by hand."""
        scale = strength * np.abs(self.weights).max()
        return Learnt(self.rows, self.weights + rng.normal(scale=scale, size=len(self.weights)))

    def score(self, rows: Rows) -> np.ndarray:
        return 1 / (1 + np.exp(-(self.encoded(rows) @ self.weights)))

    def encoded(self, rows: Rows) -> np.ndarray:
        parts = [np.ones((len(rows), 1))]
        for name, (centre, spread) in self._numbers.items():
            parts.append(np.nan_to_num((rows.columns[name].astype(float) - centre) / spread)[:, None])
        for name, values in self._categories.items():
            parts.append((rows.columns[name][:, None] == values[None, :]).astype(float))
        return np.concatenate(parts, axis=1)

    @cached_property
    def _numbers(self) -> dict[str, tuple[float, float]]:
        found = {name: v for name, v in self.rows.columns.items() if v.dtype != object}
        return {name: (float(np.nanmean(v)), float(np.nanstd(v)) or 1.0) for name, v in found.items()}

    @cached_property
    def _categories(self) -> dict[str, np.ndarray]:
        return {
            name: np.unique(v.astype(str)).astype(object) for name, v in self.rows.columns.items() if v.dtype == object
        }

    def profile(self) -> dict[str, Any]:
        """What the training data looked like, as a bundle holds it."""
        columns, scores = self.rows.columns, self.score(self.rows)
        numbers = {name: values for name, values in columns.items() if values.dtype != object}
        words = {name: values for name, values in columns.items() if values.dtype == object}
        return profile_of(numbers, words, scores={"rows": len(scores), **describe_number(scores)})
