"""Whether an answer means what it says: of all rows with probability 0.3, do 30 % come true?

For numbers: of all rows predicted at 100, is the mean 100? Their error is told in standard deviations of
the label, so that one limit fits any unit.
"""

from dataclasses import dataclass

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.estimators import Array, CalibrationError, Estimator, equal_bins
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import bootstrap
from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError, confidence_and_hits


@dataclass(frozen=True)
class ReliabilityBin:
    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Bins of equal size, the calibration error, and the line observed = intercept + slope x predicted.

    For probabilities the line is drawn between log-odds. Slope below 1: too sure. Without a fit: None.
    """

    error: Interval
    bins: tuple[ReliabilityBin, ...]
    slope: float | None
    intercept: float | None


def reliability(
    kind: Kind,
    labels: Array,
    scores: Array,
    *,
    level: float,
    rng: np.random.Generator,
    blocks: Array | None = None,
    resamples: int = 500,
) -> Reliability:
    """The reliability of a model's scores on rows with known labels."""
    if kind is Kind.REGRESSION:
        predicted, observed = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        error: Estimator = _error_in_spreads(observed, predicted)
        line = _least_squares(predicted, observed)
    else:
        error = METRICS["ece"].prepare(labels, scores)
        predicted, observed = confidence_and_hits(labels, scores)
        line = _logistic(predicted, observed)
    interval = bootstrap([error], rows=len(labels), level=level, rng=rng, resamples=resamples, blocks=blocks)[0]
    slope, intercept = line or (None, None)
    return Reliability(interval, _bins(predicted, observed), slope, intercept)


def _error_in_spreads(observed: Array, predicted: Array) -> CalibrationError:
    spread = observed.std()
    if not np.isfinite(predicted).all() or spread == 0 or not np.isfinite(spread):
        raise UnmeasurableError("calibration needs finite predictions and labels that differ")
    return CalibrationError(observed / spread, predicted / spread)


def _bins(predicted: Array, observed: Array) -> tuple[ReliabilityBin, ...]:
    codes = equal_bins(predicted)
    found = []
    for k in range(codes.max() + 1):
        inside = observed[codes == k]
        rows, mean = len(inside), float(inside.mean())
        reach = 1.96 * float(inside.std()) / np.sqrt(rows)
        found.append(ReliabilityBin(rows, float(predicted[codes == k].mean()), mean, mean - reach, mean + reach))
    return tuple(found)


def _least_squares(x: Array, y: Array) -> tuple[float, float] | None:
    spread = x.var()
    if spread == 0:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / spread)
    return slope, float(y.mean() - slope * x.mean())


def _logistic(probability: Array, hits: Array) -> tuple[float, float] | None:
    """(slope, intercept) of hits on the log-odds, by Newton's method; None where no finite fit exists."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    x = np.stack([np.log(p / (1 - p)), np.ones_like(p)], axis=1)  # [n, 2]
    line = np.array([1.0, 0.0])
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(x @ line, -500, 500)))
        curvature = x.T @ (x * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(curvature) > 1e12:
            return None
        step = np.linalg.solve(curvature, x.T @ (hits - fitted))
        line = line + step
        if np.abs(step).max() < 1e-8:
            return float(line[0]), float(line[1])
    return None
