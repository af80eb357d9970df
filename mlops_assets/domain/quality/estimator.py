"""Estimates a model's metric before labels are there, by the method that fits its target. Pure.

Classes: `estimate`, from calibrated confidence. Numbers: `loss_model`. R² follows from the estimated squared
error: where predictions are right on average, the target varies by as much as they do, and by the error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import UnmeasurableError
from mlops_assets.domain.quality.estimate import Calibration, estimate_metric, fit_calibration
from mlops_assets.domain.quality.loss_model import LossModel, estimate_loss, fit_loss_model

Array = NDArray[np.float64]

_ROOTS = ("rmse", "rmsle")  # of a mean of squares
_R2 = "r2"


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """Rows with known labels that the version did not learn from. `features`: its numbers [n, f]."""

    labels: Array
    scores: Array
    features: Array


@dataclass(frozen=True, eq=False)
class QualityEstimator:
    metric: str
    fitted: Calibration | LossModel
    shares: tuple[float, ...] = ()  # of the classes among the rows it was fitted on; none: the target is a number

    def __call__(self, scores: Array, features: Array, *, level: float, seed: int) -> Interval:
        """The metric on rows without labels."""
        if isinstance(self.fitted, Calibration):
            return estimate_metric(self.metric, scores, self.fitted, level=level, seed=seed)
        found = estimate_loss(self.fitted, scores, features, level=level)
        return _explained(found, float(scores.var())) if self.metric == _R2 else found


def fit_estimator(kind: Kind, metric: str, held: HeldOutRows) -> QualityEstimator:
    """An estimator of the metric, or `UnmeasurableError` with the reason why there is none."""
    if kind is not Kind.REGRESSION:
        labels = held.labels.astype(np.int64)
        classes = held.scores.shape[1] if held.scores.ndim == 2 else 2
        shares = tuple((np.bincount(labels, minlength=classes) / len(labels)).tolist())
        return QualityEstimator(metric, fit_calibration(labels, held.scores), shares)
    return QualityEstimator(
        metric, fit_loss_model("rmse" if metric == _R2 else metric, held.labels, held.scores, held.features)
    )


def pool_estimates(metric: str, parts: Sequence[tuple[int, Interval]]) -> Interval:
    """Estimates of several days as one, weighed by rows. As wide as if all were off in the same direction."""
    if not parts:
        raise UnmeasurableError(f"{metric} was estimated on no day")
    power = 2 if metric in _ROOTS else 1
    rows = np.array([count for count, _ in parts], dtype=np.float64)
    values = np.array([(each.estimate, each.low, each.high) for _, each in parts]) ** power
    mean, low, high = (rows @ values / rows.sum()) ** (1 / power)
    return replace(parts[-1][1], estimate=float(mean), low=float(low), high=float(high))


def _explained(error: Interval, spread: float) -> Interval:
    """R² from the RMSE and the variance of the predictions."""
    if not spread > 0:
        raise UnmeasurableError("r2 cannot be estimated: every prediction is the same")

    def share(rmse: float) -> float:
        return spread / (spread + rmse**2)

    return replace(error, estimate=share(error.estimate), low=share(error.high), high=share(error.low))
