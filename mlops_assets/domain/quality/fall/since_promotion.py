"""Judges realised quality on all ripe days since a version began to answer: what they are, and whether they fell. Pure.

FAIL is always valid: it is looked at daily and may stop at any day (`detector`). PASS says that the last two weeks
rule out a fall that matters.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple

from scipy.special import ndtri

from mlops_assets.declaration.monitoring import QualityPolicy
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import Metric
from mlops_assets.domain.quality.fall.class_parts import ENOUGH, Parts, add_parts, list_scarce, pool_parts
from mlops_assets.domain.quality.fall.detector import (
    DayScore,
    FallLimits,
    Suspicion,
    forecast_days,
    trace_suspicion,
)
from mlops_assets.domain.quality.records import Estimated, PerformanceDay, SincePromotion
from mlops_assets.domain.verdict import Outcome, Verdict

REALISED = "realised"
SINCE = timedelta(days=365)  # how long a version is followed back
_UNIT_ROWS = 100  # labelled rows; days with fewer are taken together
_LATEST = 14  # days by which a fall is ruled out


class RipeDay(NamedTuple):
    """The realised score of a day whose labels are ripe; with its classes' parts where it depends on their shares."""

    day: str
    rows: int
    score: Estimated | None  # None: a class is too rare for the day alone
    parts: Parts = ()


@dataclass(frozen=True)
class Reference:
    """What the days are compared with. `sure`: standard errors that an interval reaches."""

    metric: Metric
    baseline: Interval
    policy: QualityPolicy
    sure: float

    @property
    def limits(self) -> FallLimits:
        """Where more is better."""
        sign, at = self.metric.sign, self.baseline
        low = min(sign * at.low, sign * at.high)
        return FallLimits(sign * at.estimate, low, self.policy.fall * max(abs(at.estimate), 1e-9))


def list_ripe_days(records: Iterable[PerformanceDay], bundle: str, policy: QualityPolicy) -> list[RipeDay]:
    """The days of one version that count, oldest first."""
    return [
        RipeDay(each.day, each.labelled, each.comparable, each.parts)
        for each in sorted(records, key=lambda record: record.day)
        if each.bundle == bundle and each.labelled and each.maturity >= policy.maturity
        if each.comparable or each.parts
    ]


def trace_days(days: Sequence[RipeDay], reference: Reference) -> Iterator[SincePromotion]:
    """What was known after each day, or after as many as make up a unit."""
    units, _ = _list_units(days, reference)
    for place, suspicion in enumerate(trace_suspicion(units, reference.limits)):
        yield _summarise(units[: place + 1], suspicion, reference)


def follow_days(days: Sequence[RipeDay], reference: Reference) -> SincePromotion | None:
    """What is known after the last day; None where there are too few rows for one unit."""
    units, _ = _list_units(days, reference)
    latest = deque(trace_suspicion(units, reference.limits), maxlen=1)
    return _summarise(units, latest[0], reference) if latest else None


def judge_fall(found: SincePromotion, reference: Reference) -> Verdict:
    """FAIL: a fall that matters is proven. PASS: the latest days rule it out."""
    policy, limits, sign = reference.policy, reference.limits, reference.metric.sign
    limit = limits.promised - limits.fall
    numbers = {
        "current": found.latest.value, "baseline": reference.baseline.estimate, "limit": sign * limit,
        "fall": found.fall, "evidence": found.evidence, "days": float(found.days), "rows": float(found.rows),
    }  # fmt: skip
    summary = _describe(found, reference)
    if found.rows < policy.minimum_rows:
        few = f"{found.rows:,} rows since {found.first}, at least {policy.minimum_rows:,} are needed"
        return Verdict(REALISED, Outcome.INCONCLUSIVE, f"{REALISED} {reference.metric.name}: {few}.", numbers)
    if found.falls_since and found.evidence >= 1 and found.fall >= limits.fall:
        return Verdict(REALISED, Outcome.FAIL, f"{summary}: it fell.", numbers)
    if min(sign * found.latest.low, sign * found.latest.high) > limit:
        return Verdict(REALISED, Outcome.PASS, f"{summary}: it has not fallen that far.", numbers)
    return Verdict(REALISED, Outcome.INCONCLUSIVE, f"{summary}: not shown either way.", numbers)


def _describe(found: SincePromotion, reference: Reference) -> str:
    stretch = f"{found.fall:.4f} worse since {found.falls_since}" if found.falls_since else "no stretch looks worse"
    count = min(found.days, _LATEST)
    return (
        f"{REALISED} {reference.metric.name} {_text(found.latest)} on the latest {count} of {found.days} days since "
        f"{found.first}, {reference.baseline} when it was evaluated; {stretch}, {reference.limits.fall:.4f} matters; "
        f"evidence {found.evidence:.3g}, 1 is a proof{_forecast(found, reference)}"
    )


def _forecast(found: SincePromotion, reference: Reference) -> str:
    if found.days_needed is None:
        return ""
    return f"; a fall of {2 * reference.limits.fall:.4f} takes about {found.days_needed:.0f} days to prove"


def _summarise(units: Sequence[DayScore], suspicion: Suspicion, reference: Reference) -> SincePromotion:
    limits, spread = reference.limits, suspicion.spread
    variance = spread + sum(unit.error**2 for unit in units[-_LATEST:]) / len(units[-_LATEST:])
    needed = forecast_days(2 * limits.fall, limits, variance)
    return SincePromotion(
        first=units[0].day,
        days=len(units),
        rows=sum(unit.rows for unit in units),
        value=_mean(units, spread, reference),
        latest=_mean(units[-_LATEST:], spread, reference),
        falls_since=units[suspicion.since].day if suspicion.since is not None else None,
        fall=suspicion.fall,
        evidence=suspicion.evidence,
        spread=math.sqrt(spread),
        days_needed=needed if math.isfinite(needed) else None,
    )


def _mean(units: Sequence[DayScore], spread: float, reference: Reference) -> Estimated:
    """The mean of days, as wide as their rows and what days have in common make it."""
    count, sign = len(units), reference.metric.sign
    value = sign * sum(unit.value for unit in units) / count
    reach = reference.sure * math.sqrt(sum(unit.error**2 for unit in units) / count**2 + spread / count)
    return Estimated(value, value - reach, value + reach)


def describe_waiting(days: Sequence[RipeDay], reference: Reference, classes: Sequence[str]) -> str:
    """Which class the latest days wait for, to be taken together; empty where they wait for none."""
    waiting = _list_units(days, reference)[1]
    parts = pool_parts(day.parts for day in waiting)
    scarce = [f"{parts[place].rows} of {classes[place]}" for place in list_scarce(parts)]
    if not scarce:
        return ""
    named = ", ".join(scarce[:3]) + (f" and {len(scarce) - 3} classes more" if len(scarce) > 3 else "")
    return f"{len(waiting)} days since {waiting[0].day} wait for {ENOUGH} rows of each class, there are {named}"


def _list_units(days: Sequence[RipeDay], reference: Reference) -> tuple[list[DayScore], list[RipeDay]]:
    """A day each, or several days that have few rows; and the last ones, which wait until they are enough."""
    units: list[DayScore] = []
    waiting: list[RipeDay] = []
    for _, alike in groupby(days, key=lambda day: len(day.parts)):
        waiting = []
        for day in alike:
            waiting.append(day)
            scarce = list_scarce(pool_parts(each.parts for each in waiting))
            if sum(each.rows for each in waiting) >= _UNIT_ROWS and not scarce:
                units.append(_take_together(waiting, reference))
                waiting = []
    return units, waiting


def _take_together(days: Sequence[RipeDay], reference: Reference) -> DayScore:
    rows = sum(day.rows for day in days)
    if parts := pool_parts(day.parts for day in days):
        value, error = add_parts(parts)
    else:
        scored = [(day.rows / rows, day.score) for day in days if day.score]
        value = sum(part * score.value for part, score in scored)
        error = math.sqrt(sum((part * _error(score, reference.sure)) ** 2 for part, score in scored))
    return DayScore(days[0].day, rows, reference.metric.sign * value, error)


def _error(score: Estimated, sure: float) -> float:
    """The standard error; a bound that was cut at the end of the metric's range says nothing."""
    return max(score.value - score.low, score.high - score.value) / sure


def follow_back_to(day: str) -> str:
    """The first day whose record counts on this day."""
    return f"{date.fromisoformat(day) - SINCE:%Y-%m-%d}"


def sure_of(level: float) -> float:
    """Standard errors that a central interval of this level reaches."""
    return float(ndtri((1 + level) / 2))


def _text(score: Estimated) -> str:
    return f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f})"
