"""Compares the refit with the last fold's model on the rows of that fold. Which difference is too large: `gate`.

The refit has learnt these rows and the fold's model has not, so a sound refit is at least as good on them. What it is
worth on new rows the folds say; here only a broken refit can be found.
"""

from dataclasses import replace

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.comparison import Basis
from mlops_assets.domain.evaluation.estimators import Array
from mlops_assets.domain.evaluation.evidence import Interval, RefitEvidence
from mlops_assets.domain.evaluation.intervals import delta
from mlops_assets.domain.evaluation.metrics import UnmeasurableError

_FEWEST = 30  # rows of the last fold; with fewer, those of all folds are compared


def compare_refit(basis: Basis, served: Array, answers: Array, fold: Array) -> RefitEvidence:
    """`served`: answers of the refit; `answers`: of the folds; `fold`: which fold scored each row, from 1."""
    last = fold == fold.max()
    if last.sum() < _FEWEST:
        last = np.ones(len(fold), dtype=bool)
    refit, before = served[last], answers[last]
    # Each row by itself: the question is about these rows, not about other days.
    own = replace(basis.taken(last), blocks=None)
    finite = bool(np.isfinite(refit).all())
    gain, problem = _gain(own, refit, before) if finite else (None, "its answers are not numbers")
    errors = _errors(own, before)
    return RefitEvidence(
        rows=int(last.sum()),
        gain=gain,
        problem=problem,
        finite=finite,
        error_gain=_mean(errors - _errors(own, refit), basis.level) if finite else None,
        shift=_shift(own, refit) if finite else None,
        shift_before=_shift(own, before),
    )


def _gain(basis: Basis, refit: Array, before: Array) -> tuple[Interval | None, str]:
    try:
        return basis.gain(refit, before), ""
    except UnmeasurableError as err:
        return None, str(err)


def _outcomes(basis: Basis, answers: Array) -> Array:
    """Outcomes in the shape of the answers, and both in a unit that fits any target: see `_unit`."""
    if basis.kind is Kind.MULTICLASS:
        return np.eye(answers.shape[1])[basis.labels.astype(int)]
    return basis.labels.astype(np.float64)


def _unit(basis: Basis) -> float:
    """Probabilities are their own unit; numbers are told in standard deviations of the label."""
    return float(basis.labels.std()) or 1.0 if basis.kind is Kind.REGRESSION else 1.0


def _errors(basis: Basis, answers: Array) -> Array:
    """The squared error of each row [n]: what ranks alone do not show, such as answers that are too sure."""
    squared = np.square((answers - _outcomes(basis, answers)) / _unit(basis))
    return squared if squared.ndim == 1 else squared.sum(axis=1)


def _mean(values: Array, level: float) -> Interval:
    return delta(float(values.mean()), values - values.mean(), level=level)


def _shift(basis: Basis, answers: Array) -> float:
    """How far the mean answer is from the mean outcome, of the class where it is furthest."""
    difference = answers.mean(axis=0) - _outcomes(basis, answers).mean(axis=0)
    return float(np.abs(difference).max()) / _unit(basis)
