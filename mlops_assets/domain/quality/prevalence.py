"""Scores a day as if its classes were as frequent as at the evaluation. Pure.

Accuracy, log loss and average precision move with the base rate though the model is as good as ever. Where each class
counts as much as it did at the evaluation, only what the model does to rows of a class is left. A day is split into
what each class adds, so that days on which a class is rare or absent count together with others (`class_parts`).
"""

from typing import Any

import numpy as np

from mlops_assets.domain.evaluation.estimators import Array, Estimator
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError
from mlops_assets.domain.quality.records import ClassPart
from mlops_assets.domain.traffic.ripe_rows import RipeRows

_MOVED = 3.0  # standard errors of a share by which it has surely moved
_RARE, _COVERED = 0.005, 0.9  # share of a class that is waited for; share that such classes have together at least
_MEANS = ("accuracy", "log_loss", "brier")  # of one loss a row
_RANKED = ("auc", "average_precision")  # of each class against the rest
_F1 = "f1"


def count_shares(rows: RipeRows, classes: int) -> Array:
    """The share of each class among the labels."""
    return np.bincount(rows.labels.astype(np.int64), minlength=classes) / len(rows)


def choose_shares(shares: tuple[float, ...]) -> tuple[float, ...]:
    """The shares to score at: 0 for rare ones of several classes, whose share the others get; none: most are rare."""
    if len(shares) < 3:
        return shares
    kept = [share if share >= _RARE else 0.0 for share in shares]
    return tuple(share / sum(kept) for share in kept) if sum(kept) >= _COVERED else ()


def split_by_class(metric: Metric, rows: RipeRows, shares: tuple[float, ...]) -> tuple[ClassPart, ...]:
    """What each class with a share adds to the score at these shares."""
    goal = np.array(shares)
    counted = np.flatnonzero(goal)
    kept = np.isin(rows.labels, counted)
    labels, scores = rows.labels[kept].astype(np.int64), rows.scores[kept]
    live = np.bincount(labels, minlength=len(goal))
    absent = [int(code) for code in counted if not live[code]]
    if absent and metric.name == _F1:
        raise UnmeasurableError(f"no row is of class {', '.join(map(str, absent))}, which the evaluation had")
    estimator, blocks = metric.prepare(labels, scores), None if rows.blocks is None else rows.blocks[kept]
    weights = (goal / np.maximum(live, 1))[labels]
    weights /= weights.mean()
    apart = goal[labels] * estimator.influence(weights)
    if metric.name in _RANKED:  # the estimator is the mean over the classes that occur
        apart *= (1 - len(absent) / len(counted)) / goal[live > 0].sum()
        means = _rank_by_class(metric, labels, scores, weights=weights, classes=len(goal)) / len(counted)
        means = means if scores.ndim == 2 else means * len(counted)
    else:
        means = goal * _mean_by_class(metric, estimator, labels, weights=weights, classes=len(goal))
    squares = _add_squares(apart, labels, blocks=blocks, classes=len(goal))
    return tuple(ClassPart(int(live[code]), float(means[code]), float(squares[code])) for code in counted)


def _rank_by_class(metric: Metric, labels: Array, scores: Array, *, weights: Array, classes: int) -> Array:
    """The score of each class against the rest; of two classes, the second one's is all there is."""
    if scores.ndim == 1:
        return np.array([0.0, float(metric.prepare(labels, scores).resampled(weights[None, :])[0])])
    values = np.zeros(classes)
    for code in np.unique(labels):
        one = metric.prepare((labels == code).astype(np.int64), scores[:, code])
        values[code] = one.resampled(weights[None, :])[0]
    return values


def _mean_by_class(metric: Metric, estimator: Estimator, labels: Array, *, weights: Array, classes: int) -> Array:
    """The mean loss of a class, or the one score of all rows where it is no mean of theirs."""
    if metric.name not in _MEANS:
        return np.full(classes, float(estimator.resampled(weights[None, :])[0]))
    losses = estimator.influence() + estimator.value()
    return np.bincount(labels, losses, classes) / np.maximum(np.bincount(labels, minlength=classes), 1)


def _add_squares(apart: Array, labels: Array, *, blocks: Array | None, classes: int) -> Array:
    """Of differences from the class's mean; larger by as much as rows of one block move together."""
    live = np.maximum(np.bincount(labels, minlength=classes), 1)
    apart = apart - (np.bincount(labels, apart, classes) / live)[labels]
    squares = np.bincount(labels, np.square(apart), classes)
    alone = float((squares / np.square(live)).sum())
    if blocks is None or not alone > 0:
        return squares
    together = float(np.square(np.bincount(blocks, apart / live[labels])).sum())
    return squares * max(together / alone, 1.0)


def describe_moved(rows: RipeRows, shares: tuple[float, ...], classes: tuple[str, ...]) -> str:
    """Which class is more or less frequent than at the evaluation, beyond chance; empty where none is."""
    live: Any = count_shares(rows, len(shares))
    gaps = np.abs(live - shares) / np.sqrt(np.maximum(np.multiply(shares, np.subtract(1, shares)), 1e-9) / len(rows))
    code = int(np.argmax(gaps[1:]) + 1) if len(shares) > 1 else 0
    if gaps[code] < _MOVED:
        return ""
    return f"the share of {classes[code]} moved from {shares[code]:.1%} at the evaluation to {live[code]:.1%}"


def describe_left_out(shares: tuple[float, ...], classes: tuple[str, ...]) -> str:
    """Which classes are too rare to be waited for; empty where none is."""
    chosen = choose_shares(shares)
    if shares and not chosen:
        return f"scores are at the live shares: most classes had less than {_RARE:.1%} of the evaluation"
    rare = [name for name, share, kept in zip(classes, shares, chosen, strict=True) if share and not kept]
    named = ", ".join(rare[:3]) + (f" and {len(rare) - 3} more" if len(rare) > 3 else "")
    return f"{named} had less than {_RARE:.1%} of the evaluation and is left out" if rare else ""
