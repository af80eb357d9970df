"""What a metric is made of: a value, each row's influence on it, and its value under resampling.

Influence is n times the derivative of the value by the row's weight: its mean is 0, and the root of its
summed squares over n is the standard error. For resampling an estimator takes many sets of weights at
once, [B, n]; for influence one set [n], or none: all rows count alike. Which metric is made how: see `metrics`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Array = np.ndarray
BINS = 10  # of the calibration error, each with the same number of rows
_BIN_ROWS = 50  # with fewer, chance alone looks like an error; few rows have fewer bins


class Estimator(Protocol):
    def value(self) -> float: ...
    def influence(self, weights: Array | None = None) -> Array: ...
    def resampled(self, weights: Array) -> Array: ...


class Ratio:
    """A function of (sum of `above`) / (sum of `below`): means, F1, R² and RMSE."""

    def __init__(self, above: Array, below: Array | None = None, link: "Link | None" = None) -> None:
        self._above = above
        self._below = np.ones_like(above) if below is None else below
        self._link = link or IDENTITY

    def value(self) -> float:
        return float(self._link.apply(self._above.sum() / self._below.sum()))

    def influence(self, weights: Array | None = None) -> Array:
        each = np.ones(len(self._above)) if weights is None else weights
        below = float(each @ self._below)
        ratio = float(each @ self._above) / below
        return self._link.slope(ratio) * (self._above - ratio * self._below) * (len(each) / below)

    def resampled(self, weights: Array) -> Array:
        sums = weights @ np.stack([self._above, self._below], axis=1).astype(weights.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._link.apply(sums[:, 0] / sums[:, 1])


@dataclass(frozen=True)
class Link:
    apply: Callable
    slope: Callable[[float], float]


IDENTITY = Link(lambda x: x, lambda _: 1.0)
ROOT = Link(np.sqrt, lambda x: 0.5 / np.sqrt(x) if x > 0 else 0.0)
COMPLEMENT = Link(lambda x: 1.0 - x, lambda _: -1.0)


class Mean:
    """The plain mean of several estimators on the same rows."""

    def __init__(self, parts: Iterable[Estimator]) -> None:
        self._parts = tuple(parts)

    def value(self) -> float:
        return float(np.mean([part.value() for part in self._parts]))

    def influence(self, weights: Array | None = None) -> Array:
        return np.mean([part.influence(weights) for part in self._parts], axis=0)

    def resampled(self, weights: Array) -> Array:
        return np.nanmean([part.resampled(weights) for part in self._parts], axis=0)


class CalibrationError:
    """Mean over the rows of |share of hits - mean confidence| in the row's bin; bins of equal size."""

    def __init__(self, hits: Array, confidence: Array) -> None:
        self._bins = equal_bins(confidence)
        self._excess = hits - confidence

    def value(self) -> float:
        return float(np.abs(np.bincount(self._bins, self._excess)).sum() / len(self._excess))

    def influence(self, weights: Array | None = None) -> Array:
        each = np.ones(len(self._excess)) if weights is None else weights
        sums = np.bincount(self._bins, each * self._excess)
        value = np.abs(sums).sum() / each.sum()
        return (np.sign(sums)[self._bins] * self._excess - value) / each.mean()

    def resampled(self, weights: Array) -> Array:
        in_bin = np.arange(self._bins.max() + 1) == self._bins[:, None]  # [n, bins]
        sums = weights @ (in_bin * self._excess[:, None]).astype(weights.dtype)
        return np.abs(sums).sum(axis=1) / weights.sum(axis=1)


def equal_bins(confidence: Array) -> Array:
    """[n] number of the bin of each row; equal values share a bin, so there may be fewer."""
    bins = min(BINS, max(2, len(confidence) // _BIN_ROWS))
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    _, codes = np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)
    return codes
