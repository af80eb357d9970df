"""What spoilt input does to a model: missing cells, extreme numbers, unknown categories, a column that is
gone.

The model is a callable `predict(numbers, categories)`: numbers [n, K] float64 with NaN for missing,
categories [n, C] text with "" for missing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlops_assets.domain.evaluation.estimators import Array
from mlops_assets.domain.evaluation.evidence import Robustness, Stress
from mlops_assets.domain.evaluation.metrics import Metric
from mlops_assets.domain.records import Inputs

Predict = Callable[[Array, Array], Array]
Spoil = Callable[[Array, Array, np.random.Generator], tuple[Array, Array]]

SHARE = 0.1  # of the cells that are spoilt
NEVER_SEEN = "\u2205 never seen"


@dataclass(frozen=True, eq=False)
class EvaluatedRows:
    """Input rows with their labels."""

    inputs: Inputs
    numbers: Array
    categories: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, index: Array) -> "EvaluatedRows":
        return EvaluatedRows(self.inputs, self.numbers[index], self.categories[index], self.labels[index])


def sample(count: int, most: int, rng: np.random.Generator) -> Array:
    """Sorted row numbers: all of them, or `most` at random."""
    return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


def stress(predict: Predict, metric: Metric, rows: EvaluatedRows, *, rng: np.random.Generator) -> Robustness:
    """Quality under every kind of spoilt input."""
    unspoilt = metric(rows.labels, predict(rows.numbers, rows.categories))

    def under(name: str, spoil: Spoil) -> Stress:
        return _measured(name, metric, rows.labels, predict(*spoil(rows.numbers, rows.categories, rng)), unspoilt)

    stresses = tuple(under(name, spoil) for name, spoil in _spoils(rows.inputs))
    outages = [under(name, _without(rows.inputs, name)) for name in rows.inputs.names]
    outages.sort(key=lambda s: -np.inf if s.loss is None else -s.loss)
    return Robustness(len(rows), unspoilt, stresses, tuple(outages))


def _measured(name: str, metric: Metric, labels: Array, scores: Array, unspoilt: float) -> Stress:
    broken = int((~np.isfinite(scores)).reshape(len(scores), -1).any(axis=1).sum())
    if broken:
        return Stress(name, None, None, broken)
    value = metric(labels, scores)
    return Stress(name, value, metric.sign * (unspoilt - value), 0)


def _spoils(inputs: Inputs) -> list[tuple[str, Spoil]]:
    of_cells = f"{SHARE:.0%} of the cells"
    found = [(f"{of_cells} missing", _missing)]
    if inputs.numbers:
        extremes = (
            ("ten times as large", None),
            ("the largest number", np.finfo(np.float64).max),
            ("infinity", np.inf),
            ("minus infinity", -np.inf),
        )
        found += [(f"{of_cells} with numbers: {name}", _extreme(value)) for name, value in extremes]
    if inputs.categories:
        found.append((f"{of_cells} with categories: never seen", _unknown))
    return found


def _missing(numbers: Array, categories: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    hit = rng.random(categories.shape) < SHARE
    return np.where(rng.random(numbers.shape) < SHARE, np.nan, numbers), _written(categories, hit, "")


def _extreme(value: float | None) -> Spoil:
    def spoil(numbers: Array, categories: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        return np.where(
            rng.random(numbers.shape) < SHARE, numbers * 10 if value is None else value, numbers
        ), categories

    return spoil


def _unknown(numbers: Array, categories: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    return numbers, _written(categories, rng.random(categories.shape) < SHARE, NEVER_SEEN)


def _without(inputs: Inputs, name: str) -> Spoil:
    def spoil(numbers: Array, categories: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        if name in inputs.numbers:
            gone = np.array([column == name for column in inputs.numbers])
            return np.where(gone, np.nan, numbers), categories
        gone = np.array([column == name for column in inputs.categories])
        return numbers, _written(categories, np.broadcast_to(gone, categories.shape), "")

    return spoil


def _written(categories: Array, hit: Array, value: str) -> Array:
    """A copy with `value` in the cells hit; never cut to the width of a fixed-width text array."""
    copy = categories.astype(object)
    copy[hit] = value
    return copy
