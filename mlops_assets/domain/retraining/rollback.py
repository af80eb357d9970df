"""Judges whether a champion is rolled back because its live answers are worse than its predecessor's. Pure.

A canary is judged against the champion beside it, on the same days; what shows only later is judged here, against the
days before the promotion. Days differ by themselves. So two things have to be proven, each by more than the fall that
matters: the answers are worse than the predecessor's were, and worse than the champion's own evaluation promised. The
verdict is made daily, so the chance of a wrong proof is divided among all days of the watched time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist

from mlops_assets.declaration.monitoring import QualityPolicy
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.verdict import Outcome, Verdict

NAME = "worse_than_before"
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class ChampionTerm:
    """The present champion and its predecessor."""

    number: str
    bundle: str
    since: datetime  # it has all the traffic
    before: str | None  # number of the champion before it; None: there is none, or it was taken down
    before_bundle: str | None


@dataclass(frozen=True)
class _Pooled:
    """The score over several days, with its reach on both sides."""

    value: float
    reach: float
    rows: int
    days: int

    def __str__(self) -> str:
        return f"{self.value:.4f} ± {self.reach:.4f} on {self.rows:,} rows of {self.days} days"


def judge_term(policy: QualityPolicy, term: ChampionTerm, days: Sequence[PerformanceDay], now: datetime) -> Verdict:
    """FAIL: roll it back. `days`: realised quality of any version, in any order."""
    if why := _why_not_judged(policy, term, now):
        return Verdict(NAME, Outcome.PASS, why, {})
    turn = f"{term.since:%Y-%m-%d}"
    first = f"{term.since - policy.roll_back_within:%Y-%m-%d}"
    ripe = [day for day in days if day.realised and day.maturity >= policy.maturity and day.labelled]
    ours = [day for day in ripe if day.bundle == term.bundle and day.day > turn]
    theirs = [day for day in ripe if day.bundle == term.before_bundle and first <= day.day < turn]
    looks = max(round(policy.roll_back_within / _DAY), 1)
    wider = _quantile(1 - (1 - policy.confidence) / looks) / _quantile(policy.confidence)
    now_, then = _pooled(ours, wider), _pooled(theirs, wider)
    few = [f"{each.rows if each else 0:,} of {whose}" for each, whose in ((now_, "its"), (then, "the rows before"))
           if each is None or each.rows < policy.minimum_rows]  # fmt: skip
    if few or now_ is None or then is None:
        reason = f"{' and '.join(few)} have a ripe label, {policy.minimum_rows:,} are needed."
        return Verdict(NAME, Outcome.INCONCLUSIVE, reason, {})
    promised = ours[0].baseline
    if promised is None:
        return Verdict(NAME, Outcome.INCONCLUSIVE, "What its evaluation promised is not known.", {})
    return _judged(policy, ours[0].metric, now_, then, promised=promised)


def _why_not_judged(policy: QualityPolicy, term: ChampionTerm, now: datetime) -> str:
    if not policy.roll_back_within:
        return "monitoring.quality.roll_back_within is 0: no version is rolled back for its live quality."
    if term.before is None:
        return f"Version {term.number} follows no champion that could answer again."
    if now - term.since > policy.roll_back_within:
        text = f"Version {term.number} has answered for {(now - term.since) / _DAY:.0f} days"
        return f"{text}; it can be rolled back in the first {policy.roll_back_within / _DAY:g} only."
    return ""


def _judged(policy: QualityPolicy, metric: str, ours: _Pooled, theirs: _Pooled, *, promised: float) -> Verdict:
    sign = METRICS[metric].sign
    change, reach = sign * (ours.value - theirs.value), math.hypot(ours.reach, theirs.reach)
    fall, limits = sign * (ours.value - promised), [-policy.fall * abs(each) for each in (theirs.value, promised)]
    numbers = {"current": ours.value, "before": theirs.value, "promised": promised, "change": change, "reach": reach}
    text = (
        f"{metric} {ours} since the promotion, {theirs} of the version before, {promised:.4f} at its evaluation; "
        f"change {change:+.4f} ± {reach:.4f}, allowed {limits[0]:+.4f}"
    )
    if change + reach < limits[0] and fall + ours.reach < limits[1]:
        return Verdict(NAME, Outcome.FAIL, f"{text}: it is worse.", numbers)
    if change - reach > limits[0] or fall - ours.reach > limits[1]:
        return Verdict(NAME, Outcome.PASS, f"{text}: it is not.", numbers)
    return Verdict(NAME, Outcome.INCONCLUSIVE, f"{text}: not shown either way.", numbers)


def _pooled(days: Sequence[PerformanceDay], wider: float) -> _Pooled | None:
    """Each day weighs as much as it has labelled rows."""
    rows = sum(day.labelled for day in days)
    if not rows:
        return None
    found = [(day.labelled / rows, day.realised) for day in days if day.realised]
    value = sum(part * each.value for part, each in found)
    reach = math.sqrt(sum((part * (each.high - each.low) / 2) ** 2 for part, each in found))
    return _Pooled(value, wider * reach, rows, len(days))


def _quantile(share: float) -> float:
    return NormalDist().inv_cdf(share)
