"""The metrics a model can be judged on, by name.

A metric prepares an estimator (see `estimators`) from labels and scores. One that cannot be computed
raises `UnmeasurableError` with every cause.

Shapes: binary scores [n] are probabilities of class 1; multi-class scores [n, k]; regression scores [n].
Decisions: a binary probability of at least 0.5 is class 1; of several classes the likeliest. Multi-class
AUC, average precision and F1 are plain means over the classes that occur, one against the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.estimators import COMPLEMENT, ROOT, Array, CalibrationError, Estimator, Mean, Ratio
from mlops_assets.domain.evaluation.ranking import Auc, AveragePrecision


class UnmeasurableError(ValueError):
    """The labels or scores do not admit the metric."""


def decisions(scores: Array) -> Array:
    """The class that each row is put into."""
    return scores.argmax(axis=1) if scores.ndim == 2 else (scores >= 0.5).astype(np.int64)


def confidence_and_hits(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Binary: probability of class 1, and whether it was. Multi-class: of the likeliest class."""
    if scores.ndim == 1:
        return scores, (labels == 1).astype(np.float64)
    return scores.max(axis=1), (scores.argmax(axis=1) == labels).astype(np.float64)


def _one_against_rest(make: Callable[[Array, Array], Estimator]) -> Callable[[Array, Array], Estimator]:
    def prepare(labels: Array, scores: Array) -> Estimator:
        if scores.ndim == 1:
            return make(labels, scores)
        return Mean(make((labels == k).astype(np.int64), scores[:, k]) for k in np.unique(labels))

    return prepare


def _f1(labels: Array, scores: Array) -> Estimator:
    chosen = decisions(scores)
    classes = [1] if scores.ndim == 1 else np.union1d(labels, chosen)
    parts = [(labels == k, chosen == k) for k in classes]
    ratios = [Ratio(2.0 * (true & said), true.astype(float) + said) for true, said in parts]
    return ratios[0] if len(ratios) == 1 else Mean(ratios)


def _log_loss(labels: Array, scores: Array) -> Estimator:
    true = np.where(labels == 1, scores, 1 - scores) if scores.ndim == 1 else scores[np.arange(len(labels)), labels]
    return Ratio(-np.log(np.clip(true, np.finfo(np.float64).eps, 1.0)))


def _brier(labels: Array, scores: Array) -> Estimator:
    if scores.ndim == 1:
        return Ratio((scores - labels) ** 2)
    return Ratio(((scores - np.eye(scores.shape[1])[labels]) ** 2).sum(axis=1))


def _calibration(labels: Array, scores: Array) -> Estimator:
    confidence, hits = confidence_and_hits(labels, scores)
    return CalibrationError(hits, confidence)


def _squares(labels: Array, scores: Array) -> Array:
    return (labels - scores) ** 2


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    kinds: tuple[Kind, ...]
    higher_is_better: bool
    bounds: tuple[float, float]
    make: Callable[[Array, Array], Estimator]
    problems: Callable[[Array, Array], list[str]]  # beyond what `_common` finds

    @property
    def sign(self) -> float:
        return 1.0 if self.higher_is_better else -1.0

    def prepare(self, labels: Array, scores: Array) -> Estimator:
        """The estimator on these rows, or `UnmeasurableError` with all that is wrong."""
        labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
        problems = _common(labels, scores, self.kinds) or self.problems(labels, scores)
        if problems:
            raise UnmeasurableError(f"{self.title} cannot be computed: " + "; ".join(problems))
        return self.make(labels if Kind.REGRESSION in self.kinds else labels.astype(np.int64), scores)

    def __call__(self, labels: Array, scores: Array) -> float:
        return self.prepare(labels, scores).value()


def _common(labels: Array, scores: Array, kinds: tuple[Kind, ...]) -> list[str]:
    if labels.ndim != 1 or len(labels) != len(scores) or len(labels) == 0:
        shapes = f"labels of shape {labels.shape}, scores of shape {scores.shape}"
        return [f"{shapes}: they need the same rows, at least one"]
    problems = []
    for name, values in (("labels", labels), ("scores", scores)):
        finite = np.isfinite(values.astype(np.float64)).reshape(len(values), -1).min(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            problems.append(f"{len(bad)} of {len(values)} {name} are not finite, first in row {bad[0]}")
    if not problems and Kind.REGRESSION not in kinds:
        classes = scores.shape[1] if scores.ndim == 2 else 2
        wrong = np.setdiff1d(labels, np.arange(classes))
        if len(wrong):
            problems.append(f"labels {wrong[:5].tolist()} are no class indices below {classes}")
    return problems


def _no_problem(labels: Array, scores: Array) -> list[str]:
    return []


def _one_class(labels: Array, scores: Array) -> list[str]:
    present = np.unique(labels)
    return [f"all {len(labels)} rows have label {present[0]:g}; two classes are needed"] if len(present) < 2 else []


def _no_probability(labels: Array, scores: Array) -> list[str]:
    low, high = scores.min(), scores.max()
    return [] if low >= 0 and high <= 1 else [f"scores from {low:.4g} to {high:.4g} are no probabilities"]


def _no_positive(labels: Array, scores: Array) -> list[str]:
    problems = _no_probability(labels, scores)
    if not problems and scores.ndim == 1 and not ((labels == 1) | (decisions(scores) == 1)).any():
        return [f"none of {len(labels)} rows is positive or was called so"]
    return problems


def _no_spread(labels: Array, scores: Array) -> list[str]:
    return [f"all {len(labels)} labels are {labels[0]:g}"] if np.ptp(labels) == 0 else []


def _negative(labels: Array, scores: Array) -> list[str]:
    pairs = (("labels", labels), ("scores", scores))
    return [f"{(v < 0).sum()} {name} are below 0" for name, v in pairs if (v < 0).any()]


_CLASSES = (Kind.BINARY, Kind.MULTICLASS)
_NUMBER = (Kind.REGRESSION,)
_UNIT, _OPEN = (0.0, 1.0), (0.0, np.inf)

METRICS = {
    metric.name: metric
    for metric in (
        Metric("auc", "AUC", _CLASSES, True, _UNIT, _one_against_rest(Auc), _one_class),
        Metric(
            "average_precision",
            "average precision",
            _CLASSES,
            True,
            _UNIT,
            _one_against_rest(AveragePrecision),
            _one_class,
        ),
        Metric(
            "accuracy",
            "accuracy",
            _CLASSES,
            True,
            _UNIT,
            lambda y, s: Ratio((decisions(s) == y).astype(np.float64)),
            _no_probability,
        ),
        Metric("f1", "F1", _CLASSES, True, _UNIT, _f1, _no_positive),
        Metric("log_loss", "log loss", _CLASSES, False, _OPEN, _log_loss, _no_probability),
        Metric("brier", "Brier score", _CLASSES, False, _OPEN, _brier, _no_probability),
        Metric("ece", "calibration error", _CLASSES, False, _UNIT, _calibration, _no_probability),
        Metric(
            "r2",
            "R²",
            _NUMBER,
            True,
            (-np.inf, 1.0),
            lambda y, s: Ratio(_squares(y, s), _squares(y, y.mean()), COMPLEMENT),
            _no_spread,
        ),
        Metric(
            "mae",
            "mean absolute error",
            _NUMBER,
            False,
            _OPEN,
            lambda y, s: Ratio(np.abs(y - s)),
            _no_problem,
        ),
        Metric("rmse", "RMSE", _NUMBER, False, _OPEN, lambda y, s: Ratio(_squares(y, s), link=ROOT), _no_problem),
        Metric(
            "rmsle",
            "RMSLE",
            _NUMBER,
            False,
            _OPEN,
            lambda y, s: Ratio(_squares(np.log1p(y), np.log1p(s)), link=ROOT),
            _negative,
        ),
    )
}


def metric_named(name: str, kind: Kind) -> Metric:
    """The metric, or an error that lists those that fit the kind of target."""
    metric = METRICS.get(name)
    if metric is None or kind not in metric.kinds:
        fitting = ", ".join(m.name for m in metrics_for(kind))
        raise ValueError(f"metric {name!r} does not fit a {kind} target; gates.metric may be: {fitting}")
    return metric


def metrics_for(kind: Kind) -> tuple[Metric, ...]:
    return tuple(metric for metric in METRICS.values() if kind in metric.kinds)
