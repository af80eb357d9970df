"""Direct loss estimation: how far off is a regression likely to be on rows without labels? Pure.

A small model learns each row's loss from the prediction and the features: an additive one, constant over ten
bins of each, fitted with a ridge. Bins bound its answer, so rows unlike any before get a known loss and no
wild one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import UnmeasurableError

LOSS_BASED = "loss model"  # `method` of an estimated interval
_BINS = 10
_RIDGE = 10.0  # rows that the prior "the mean loss" is worth in each bin
_LEAST_ROWS = 200


@dataclass(frozen=True, eq=False)
class LossModel:
    metric: str
    edges: tuple[np.ndarray, ...]  # of the prediction, then of each feature
    weights: np.ndarray  # [b] one for each bin of each column
    mean: float
    squares: np.ndarray  # [b] likewise for the squares of what the model leaves unexplained
    square: float
    covariance: np.ndarray  # [b, b] of the weights: where few rows were learnt from, little is known
    rows: int

    def coded(self, predictions: np.ndarray, features: np.ndarray) -> np.ndarray:
        return _coded(self.edges, _columns(predictions, features))


def fit_loss_model(metric: str, labels: np.ndarray, predictions: np.ndarray, features: np.ndarray) -> LossModel:
    """From rows with known labels that the model did not learn from. mae, rmse and rmsle can be estimated."""
    loss_of = _LOSSES.get(metric)
    if loss_of is None:
        raise UnmeasurableError(f"{metric} cannot be estimated without labels; {', '.join(_LOSSES)} can")
    if len(labels) < _LEAST_ROWS:
        raise UnmeasurableError(f"{len(labels)} labelled rows, a loss model needs at least {_LEAST_ROWS}")
    losses, columns = loss_of(labels, predictions), _columns(predictions, features)
    inner = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = tuple(
        np.unique(np.nanquantile(column, inner)) if np.isfinite(column).any() else inner[:0] for column in columns
    )
    coded = _coded(edges, columns)
    inverse = np.linalg.inv(coded.T @ coded + _RIDGE * np.eye(coded.shape[1]))
    weights = inverse @ (coded.T @ (losses - losses.mean()))
    left = np.square(losses - losses.mean() - coded @ weights)
    return LossModel(
        metric=metric,
        edges=edges,
        weights=weights,
        mean=float(losses.mean()),
        squares=inverse @ (coded.T @ (left - left.mean())),
        square=float(left.mean()),
        covariance=inverse @ (coded.T @ (coded * left[:, None])) @ inverse,
        rows=len(labels),
    )


def estimate_loss(model: LossModel, predictions: np.ndarray, features: np.ndarray, *, level: float) -> Interval:
    """The metric on these rows, as wide as chance on as many rows and on those it was learnt from makes it."""
    if not len(predictions) or not np.isfinite(predictions).all():
        raise UnmeasurableError(
            f"{model.metric} cannot be estimated: {len(predictions)} predictions, all have to be finite"
        )
    coded = model.coded(predictions, features)
    losses = np.maximum(model.mean + coded @ model.weights, 0.0)
    middle, unexplained = coded.mean(axis=0), np.maximum(model.square + coded @ model.squares, 0.0).mean()
    mean = float(losses.mean())
    variance = (unexplained + losses.var()) / len(losses) + middle @ model.covariance @ middle
    reach = float(ndtri((1 + level) / 2) * np.sqrt(variance + model.square / model.rows))
    low, high = max(mean - reach, 0.0), mean + reach
    if model.metric != "mae":
        mean, low, high = (float(np.sqrt(value)) for value in (mean, low, high))
    return Interval(mean, low, high, level, LOSS_BASED)


def _columns(predictions: np.ndarray, features: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(predictions, dtype=np.float64), *np.asarray(features, dtype=np.float64).T]


def _coded(edges: tuple[np.ndarray, ...], columns: list[np.ndarray]) -> np.ndarray:
    """[n, bins of all columns] 1 where a value lies in the bin; NaN has a bin of its own."""
    parts = []
    for edge, column in zip(edges, columns, strict=True):
        places = np.where(np.isnan(column), len(edge) + 1, np.searchsorted(edge, column, "right"))
        parts.append((places[:, None] == np.arange(len(edge) + 2)).astype(np.float64))
    return np.concatenate(parts, axis=1)


def _log_errors(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    if min(labels.min(), predictions.min()) <= -1:
        raise UnmeasurableError("rmsle needs labels and predictions above -1")
    return (np.log1p(labels) - np.log1p(predictions)) ** 2


_LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mae": lambda labels, predictions: np.abs(labels - predictions),
    "rmse": lambda labels, predictions: (labels - predictions) ** 2,
    "rmsle": _log_errors,
}
