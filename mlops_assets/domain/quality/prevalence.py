"""Scores a day as if its classes were as frequent as at the evaluation. Pure.

Accuracy, log loss and average precision move with the base rate though the model is as good as ever. Where each class
counts as much as it did at the evaluation, only what the model does to rows of a class is left. AUC does not care.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import score
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError
from mlops_assets.domain.traffic.ripe_rows import RipeRows

_MOVED = 3.0  # standard errors of a share by which it has surely moved


def count_shares(rows: RipeRows, classes: int) -> NDArray[np.float64]:
    """The share of each class among the labels."""
    return np.bincount(rows.labels.astype(np.int64), minlength=classes) / len(rows)


def score_at_shares(metric: Metric, rows: RipeRows, shares: tuple[float, ...], *, level: float) -> Interval:
    """The realised score at these shares of the classes, as much wider as rows count unevenly."""
    plain = score(metric, rows.labels, rows.scores, level=level, blocks=rows.blocks)
    live = count_shares(rows, len(shares))
    if absent := [code for code, share in enumerate(shares) if share > 0 and not live[code]]:
        raise UnmeasurableError(f"no row is of class {', '.join(map(str, absent))}, which the evaluation had")
    weights = np.divide(shares, live, out=np.zeros(len(live)), where=live > 0)[rows.labels.astype(np.int64)]
    value = float(metric.prepare(rows.labels, rows.scores).resampled(weights[None, :])[0])
    wider = float(np.sqrt(np.square(weights).mean()))
    low, high = value - wider * (plain.estimate - plain.low), value + wider * (plain.high - plain.estimate)
    low, high = np.clip([low, high], *metric.bounds)
    return replace(plain, estimate=value, low=float(low), high=float(high))


def describe_moved(rows: RipeRows, shares: tuple[float, ...], classes: tuple[str, ...]) -> str:
    """Which class is more or less frequent than at the evaluation, beyond chance; empty where none is."""
    live: Any = count_shares(rows, len(shares))
    gaps = np.abs(live - shares) / np.sqrt(np.maximum(np.multiply(shares, np.subtract(1, shares)), 1e-9) / len(rows))
    code = int(np.argmax(gaps[1:]) + 1) if len(shares) > 1 else 0
    if gaps[code] < _MOVED:
        return ""
    return f"the share of {classes[code]} moved from {shares[code]:.1%} at the evaluation to {live[code]:.1%}"
