"""Realised quality: what a metric is on ripe labels, and whether it has fallen since the evaluation. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.declaration.monitoring import QualityPolicy
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import score
from mlops_assets.domain.evaluation.metrics import METRICS, Metric, UnmeasurableError
from mlops_assets.domain.verdict import Outcome, Verdict


@dataclass(frozen=True)
class MetricScore:
    """One metric on ripe rows; without an interval `problem` says why."""

    metric: str
    interval: Interval | None
    problem: str


def measure_metrics(
    metrics: Sequence[Metric],
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    level: float,
    blocks: np.ndarray | None = None,
) -> tuple[MetricScore, ...]:
    """Each metric with its interval, or the reason why there is none."""
    return tuple(_scored(metric, labels, scores, level, blocks) for metric in metrics)


def _scored(
    metric: Metric, labels: np.ndarray, scores: np.ndarray, level: float, blocks: np.ndarray | None
) -> MetricScore:
    try:
        return MetricScore(metric.name, score(metric, labels, scores, level=level, blocks=blocks), "")
    except UnmeasurableError as err:
        return MetricScore(metric.name, None, str(err))


@dataclass(frozen=True)
class WindowQuality:
    """A window's score beside the champion's at its evaluation. Estimated ones need no ripe labels."""

    name: str  # realised or estimated
    metric: str
    baseline: Interval
    current: Interval | None
    rows: int
    maturity: float  # part of the labels that will come and are there; 1 of an estimate


def judge_quality(quality: WindowQuality, policy: QualityPolicy) -> Verdict:
    """FAIL: a fall of more than `fall` of the baseline is shown. PASS: it is shown that there is none."""
    numbers = {"rows": float(quality.rows), "maturity": quality.maturity, "baseline": quality.baseline.estimate}
    if why := _unripe(quality, policy):
        return Verdict(quality.name, Outcome.INCONCLUSIVE, f"{quality.name} {quality.metric}: {why}.", numbers)
    assert quality.current is not None  # `_unripe` has returned otherwise
    change, reach = _change(quality.metric, quality.baseline, quality.current)
    limit = -policy.fall * abs(quality.baseline.estimate)
    numbers |= {"current": quality.current.estimate, "change": change, "reach": reach, "limit": limit}
    summary = (
        f"{quality.name} {quality.metric} {quality.current}, {quality.baseline} when it was evaluated; "
        f"change {change:+.4f} ± {reach:.4f}, allowed {limit:+.4f}"
    )
    if change + reach < limit:
        return Verdict(quality.name, Outcome.FAIL, f"{summary}: it fell.", numbers)
    if change - reach > limit:
        return Verdict(quality.name, Outcome.PASS, f"{summary}: it has not fallen that far.", numbers)
    return Verdict(quality.name, Outcome.INCONCLUSIVE, f"{summary}: not shown either way.", numbers)


def _unripe(quality: WindowQuality, policy: QualityPolicy) -> str:
    if not quality.maturity >= policy.maturity:
        return f"{quality.maturity:.0%} of its labels are there, {policy.maturity:.0%} are needed"
    if quality.rows < policy.minimum_rows:
        return f"{quality.rows:,} rows, at least {policy.minimum_rows:,} are needed"
    return "it could not be measured" if quality.current is None else ""


def _change(name: str, baseline: Interval, current: Interval) -> tuple[float, float]:
    """How much better it became, and how far that may be off; the two samples are independent."""
    sign = METRICS[name].sign
    one, other = ((each.high - each.low) / 2 for each in (baseline, current))
    return sign * (current.estimate - baseline.estimate), math.hypot(one, other)
