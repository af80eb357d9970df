"""What quality is likely to be before labels are there, and how far that has been right. Pure.

Classification: confidence-based performance estimation. If a calibrated probability says 0.3, three in ten
such rows are positive; so the confusion matrix, and every metric made of it, has an expected value.
Regression: direct loss estimation (`loss_model`). Both see what a change of the *inputs* does to quality;
neither can see that the same inputs now mean something else. That is why `track` compares what was estimated
with what came out, and why an estimate is believed only as far as that.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import chdtri, ndtri

from mlops_assets.declaration.monitoring import QualityPolicy
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import score
from mlops_assets.domain.evaluation.metrics import METRICS, Metric, UnmeasurableError, decisions
from mlops_assets.domain.verdict import Outcome, Verdict

TRUST = "trust"
CONFIDENCE_BASED = "confidence"  # `method` of an estimated interval
_BIN_ROWS = 50  # of a calibration's bin
_MOST_BINS = 100
_FLOOR = 1e-6
_CHANCE = 0.05  # that labels alone make estimates look wrong


@dataclass(frozen=True, eq=False)
class Calibration:
    """From a served score to the share of such rows that come true: a rising line for each class."""

    lines: tuple[tuple[np.ndarray, np.ndarray], ...]  # one for a binary target
    rows: int  # learnt from

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Binary [n] → [n]; multi-class [n, k] → [n, k] that add up to 1."""
        if scores.ndim == 1:
            return np.interp(scores, *self.lines[0])
        raw = np.stack([np.interp(scores[:, k], *line) for k, line in enumerate(self.lines)], axis=1)
        return raw / raw.sum(axis=1, keepdims=True)


def fit_calibration(labels: np.ndarray, scores: np.ndarray) -> Calibration:
    """Isotonic, over bins, from rows with known labels that the model did not learn from."""
    if len(labels) < 2 * _BIN_ROWS:
        raise UnmeasurableError(f"{len(labels)} labelled rows, a calibration needs at least {2 * _BIN_ROWS}")
    if scores.ndim == 1:
        return Calibration((_line(scores, labels == 1),), len(labels))
    return Calibration(tuple(_line(scores[:, k], labels == k) for k in range(scores.shape[1])), len(labels))


def _line(scores: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bins = min(_MOST_BINS, len(scores) // _BIN_ROWS)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    _, codes = np.unique(np.searchsorted(edges, scores, "right"), return_inverse=True)
    rows = np.bincount(codes)
    centres, shares = np.bincount(codes, scores) / rows, np.bincount(codes, hits.astype(float)) / rows
    fitted = isotonic_regression(shares, weights=rows).x
    return centres, np.clip(fitted, _FLOOR, 1 - _FLOOR)


def estimate_metric(name: str, scores: np.ndarray, calibrated: Calibration, *, level: float, seed: int) -> Interval:
    """A classification metric of rows without labels, as wide as the realised one would be.

    Its width comes from labels drawn once from the calibrated probabilities, and grows with how few rows the
    calibration was learnt from.
    """
    expected = _EXPECTED.get(name)
    if expected is None:
        raise UnmeasurableError(f"{name} cannot be estimated without labels; {', '.join(_EXPECTED)} can")
    served = np.asarray(scores, dtype=np.float64)
    if not len(served) or not np.isfinite(served).all():
        raise UnmeasurableError(f"{name} cannot be estimated: {len(served)} scores, which have to be finite")
    chances = calibrated(served)
    metric, value = METRICS[name], expected(chances, served)
    drawn = score(metric, _drawn(chances, np.random.default_rng(seed)), served, level=level)
    reach = (drawn.high - drawn.low) / 2 * np.sqrt(1 + len(served) / calibrated.rows)
    return _interval(metric, value, reach, level)


def _interval(metric: Metric, value: float, reach: float, level: float) -> Interval:
    low, high = np.clip([value - reach, value + reach], *metric.bounds)
    return Interval(value, float(low), float(high), level, CONFIDENCE_BASED)


def _drawn(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A label for each row."""
    if chances.ndim == 1:
        return (rng.random(len(chances)) < chances).astype(np.int64)
    return (rng.random(len(chances))[:, None] > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)


def _accuracy(chances: np.ndarray, served: np.ndarray) -> float:
    chosen = decisions(served)
    if served.ndim == 2:
        return float(chances[np.arange(len(chosen)), chosen].mean())
    return float(np.where(chosen == 1, chances, 1 - chances).mean())


def _f1(chances: np.ndarray, served: np.ndarray) -> float:
    chosen = decisions(served)
    if served.ndim == 1:
        return _f1_of(chances, chosen == 1)
    return float(np.mean([_f1_of(chances[:, k], chosen == k) for k in range(served.shape[1])]))


def _f1_of(chance: np.ndarray, chosen: np.ndarray) -> float:
    return float(2 * chance[chosen].sum() / (chosen.sum() + chance.sum()))


def _auc(chances: np.ndarray, served: np.ndarray) -> float:
    if served.ndim == 1:
        return _auc_of(chances, served)
    return float(np.mean([_auc_of(chances[:, k], served[:, k]) for k in range(served.shape[1])]))


def _auc_of(chance: np.ndarray, served: np.ndarray) -> float:
    """Each pair of rows counts with the chance that the one is positive and the other not."""
    _, place = np.unique(served, return_inverse=True)
    positive, negative = np.bincount(place, chance), np.bincount(place, 1 - chance)
    below = negative.cumsum() - negative / 2
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def _brier(chances: np.ndarray, served: np.ndarray) -> float:
    loss = chances * (1 - served) ** 2 + (1 - chances) * served**2
    return float(loss.sum(axis=1).mean() if served.ndim == 2 else loss.mean())


def _log_loss(chances: np.ndarray, served: np.ndarray) -> float:
    sure = np.clip(served, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    if served.ndim == 2:
        return float(-(chances * np.log(sure)).sum(axis=1).mean())
    return float(-(chances * np.log(sure) + (1 - chances) * np.log(1 - sure)).mean())


_EXPECTED: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "brier": _brier,
    "log_loss": _log_loss,
    "f1": _f1,
}


@dataclass(frozen=True)
class Trust:
    """How far estimates have been right. `reach`: how far one may be off, at the estimates' own level."""

    verdict: Verdict  # PASS: believe them, within `reach`
    windows: int
    bias: float | None  # mean of estimated - realised
    reach: float | None
    covered: float | None  # share of windows where the two intervals meet

    @property
    def believed(self) -> bool:
        return self.verdict.passed


def judge_trust(
    estimates: Sequence[Interval], realised: Sequence[Interval], policy: QualityPolicy, *, overlap: float = 1.0
) -> Trust:
    """From windows that have both, in the same order. Believed: near enough to see the fall that matters.

    What came out has the luck of its labels, which is no fault of the estimate: only what differs by more counts
    against it. `overlap`: so many windows on average contain one day, so they are as good as fewer.
    """
    if len(estimates) != len(realised):
        raise ValueError(f"{len(estimates)} estimates and {len(realised)} outcomes: they are of the same windows")
    count = len(estimates)
    if count < policy.trust_windows:
        why = f"{count} windows have both estimate and outcome, {policy.trust_windows} are needed"
        return Trust(Verdict(TRUST, Outcome.INCONCLUSIVE, f"{why}.", {"windows": count}), count, None, None, None)
    errors = np.array([e.estimate - r.estimate for e, r in zip(estimates, realised, strict=True)])
    covered = float(np.mean([e.low <= r.high and r.low <= e.high for e, r in zip(estimates, realised, strict=True)]))
    sure, single = float(ndtri((1 + estimates[0].level) / 2)), max(count / overlap, 1.0)
    luck = float(np.mean([((r.high - r.low) / 2 / sure) ** 2 for r in realised]))
    own = max(float(np.square(errors).mean()) - luck, 0.0)  # mean square of what labels do not explain
    bias, reach = float(errors.mean()), sure * math.sqrt(own + luck / single)
    allowed = policy.fall * float(np.mean([abs(r.estimate) for r in realised]))
    numbers = {
        "windows": count, "bias": bias, "reach": reach, "covered": covered, "allowed": allowed, "luck": math.sqrt(luck),
    }  # fmt: skip
    summary = (
        f"estimates were off by {bias:+.4f} on average and up to {reach:.4f} over {count} windows, beside "
        f"{math.sqrt(luck):.4f} by the luck of labels"
    )
    if reach <= allowed:
        verdict = Verdict(TRUST, Outcome.PASS, f"{summary}: a fall of {allowed:.4f} would be seen.", numbers)
    elif sure * math.sqrt(own) > allowed and own > luck * (chdtri(single, _CHANCE) / single - 1):
        verdict = Verdict(TRUST, Outcome.FAIL, f"{summary}: too far to see a fall of {allowed:.4f}.", numbers)
    else:
        verdict = Verdict(TRUST, Outcome.INCONCLUSIVE, f"{summary}: labels are too few to tell.", numbers)
    return Trust(verdict, count, bias, reach, covered)


def widen_by_trust(estimated: Interval, trust: Trust) -> Interval:
    """The estimate as wide as experience says it has to be; unchanged where there is none."""
    if trust.reach is None:
        return estimated
    low, high = (
        min(estimated.low, estimated.estimate - trust.reach),
        max(estimated.high, estimated.estimate + trust.reach),
    )
    return Interval(estimated.estimate, low, high, estimated.level, estimated.method)
