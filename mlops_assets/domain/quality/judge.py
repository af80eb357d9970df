"""Judges a day of answers by the labels that are ripe: realised quality, the estimate of it, trust in that. Pure.

Verdicts rest on the latest days that the same version answered: three of them, as one may be odd, and back to a week
where those have too few labels. Rows of one hour move together. Only rows old enough that nearly all of their labels
are there count, so that labels that come early do not speak for the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import ndtri

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import central, score
from mlops_assets.domain.evaluation.metrics import UnmeasurableError, metric_named, metrics_for
from mlops_assets.domain.quality.business_value import mean_business_value
from mlops_assets.domain.quality.estimate import TRUST, Trust, judge_trust, widen_by_trust
from mlops_assets.domain.quality.estimator import pool_estimates
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.realised import MetricScore, WindowQuality, judge_quality, measure_metrics
from mlops_assets.domain.quality.records import Estimated, PerformanceDay, Recent
from mlops_assets.domain.traffic.label_delay import measure_maturity
from mlops_assets.domain.traffic.labelled_rows import LABEL, concat_days, read_scores, read_times
from mlops_assets.domain.traffic.ripe_rows import RipeRows, rows_of_bundle, select_ripe, to_datetime64
from mlops_assets.domain.verdict import Outcome, Verdict

Array = NDArray[np.float64]
Measurement = tuple[Interval | None, str]  # a measurement, or why there is none

RECENT = 7  # days at most that are judged together
_AT_LEAST = 3  # of them, where there are as many
REALISED, ESTIMATED = "realised", "estimated"
_TRACKED = 30  # days of the same version by which estimates are trusted
_COMPARED = 14  # days by which labels are expected


@dataclass(frozen=True, eq=False)
class DayQuality:
    """A day's record and its scores. `ripe`: the rows of the recent days that count."""

    record: PerformanceDay
    scores: tuple[MetricScore, ...]  # all metrics, of the recent days
    ripe: RipeRows | None


def judge_day(spec: ModelSpec, day: DayInputs, version: ServedVersion | None) -> DayQuality:
    """Judge the day; what cannot be judged is inconclusive, with the reason."""
    if version is None:
        return DayQuality(_unanswered(spec, day), (), None)
    judging = _Judging(spec, day, version)
    return DayQuality(judging.record(), judging.scores(), judging.ripe if judging.ripe else None)


@dataclass(frozen=True, eq=False)
class _Judging:
    spec: ModelSpec
    day: DayInputs
    version: ServedVersion

    def record(self) -> PerformanceDay:
        realised, why = self._realised(self.ripe)
        broad, unknown = self._broad_guess()
        return PerformanceDay(
            day=self.day.name,
            version=self.version.name,
            bundle=self.version.bundle,
            rows=len(self.mine),
            labelled=_labelled(self.mine),
            expected=self._expected(),
            maturity=self.maturity,
            metric=self.metric.name,
            baseline=self.baseline.estimate if self.baseline else None,
            realised=_plain(self._realised(self.own)[0]),
            estimated=_plain(self.guess[0]),
            recent=Recent(len(self.window), len(self.ripe or ()), _plain(realised), _plain(broad)),
            fall=self._fall(REALISED, realised, len(self.ripe or ()), grown=self.maturity, why=why),
            estimated_fall=self._fall(ESTIMATED, broad, sum(map(len, self.window.values())), grown=1.0, why=unknown),
            trust=self.trust.verdict,
            odd=self.day.odd,
            business=self._worth(),
            made_at=self.day.now,
        )

    def scores(self) -> tuple[MetricScore, ...]:
        rows = self.ripe
        if rows is None or not len(rows):
            return ()
        metrics = metrics_for(self.spec.target.kind)
        return measure_metrics(metrics, rows.labels, rows.scores, level=self.level, blocks=rows.blocks)

    @cached_property
    def metric(self) -> Any:
        return metric_named(self.spec.gates.metric, self.spec.target.kind)

    @cached_property
    def level(self) -> float:
        return central(self.spec.monitoring.quality.confidence)

    @cached_property
    def mine(self) -> pa.Table:
        return rows_of_bundle(self.day.rows, self.version.bundle)

    @cached_property
    def window(self) -> Mapping[str, pa.Table]:
        """Day → rows of this version: the latest days on which it answered, as many as it takes."""
        found: dict[str, pa.Table] = {}
        for name, every in sorted(self.day.recent.items(), reverse=True):
            enough = sum(map(_labelled, found.values())) >= self.spec.monitoring.quality.minimum_rows
            if len(found) >= _AT_LEAST and enough:
                break
            if len(rows := rows_of_bundle(every, self.version.bundle)):
                found[name] = rows
        return dict(sorted(found.items()))

    @cached_property
    def maturity(self) -> float:
        return (
            measure_maturity(self.day.curve, read_times(self.mine["time"]), to_datetime64(self.day.now))
            if len(self.mine)
            else 0.0
        )

    @cached_property
    def ripe(self) -> RipeRows | None:
        """Of the recent days; None while the labels of this one are not ripe."""
        return self._ripened(concat_days(list(self.window.values()))) if self.window else None

    @cached_property
    def own(self) -> RipeRows | None:
        return self._ripened(self.mine)

    def _ripened(self, rows: pa.Table) -> RipeRows | None:
        policy = self.spec.monitoring.quality
        if self.maturity < policy.maturity:
            return None
        return select_ripe(rows, self.day.curve.after(policy.maturity), self.day.now)

    @cached_property
    def baseline(self) -> Interval | None:
        """At the level of the others, which is declared elsewhere."""
        baseline = self.version.baseline
        if baseline is None:
            return None
        wider = ndtri((1 + self.level) / 2) / ndtri((1 + baseline.level) / 2)
        low, high = ((end - baseline.estimate) * wider + baseline.estimate for end in (baseline.low, baseline.high))
        return replace(baseline, low=float(low), high=float(high), level=self.level)

    def _realised(self, rows: RipeRows | None) -> Measurement:
        if rows is None or not len(rows):
            return None, ""
        return _tried(lambda: score(self.metric, rows.labels, rows.scores, level=self.level, blocks=rows.blocks))

    @cached_property
    def guess(self) -> Measurement:
        """The day's estimate."""
        if self.spec.target.kind is Kind.REGRESSION:
            return self._guessed(*self.day.sample)
        return self._guessed(read_scores(self.mine), np.empty((len(self.mine), 0)))

    def _broad_guess(self) -> Measurement:
        """The estimate of the recent days."""
        if self.spec.target.kind is not Kind.REGRESSION:
            served = [read_scores(rows) for rows in self.window.values()]
            return self._guessed(np.concatenate(served), np.empty((0, 0))) if served else (None, "no answers")
        parts = [
            (each.rows, self._interval(each.estimated))
            for each in self.day.before
            if each.day in self.window and each.bundle == self.version.bundle and each.estimated
        ]
        own, why = self.guess
        return _tried(lambda: pool_estimates(self.metric.name, [*parts, (len(self.mine), own)])) if own else (None, why)

    def _guessed(self, served: Array, features: Array) -> Measurement:
        estimator, seed = self.version.estimator, self.spec.training.seed
        if estimator is None:
            return None, "; ".join(self.version.problems)
        return _tried(lambda: estimator(served, features, level=self.level, seed=seed))

    @cached_property
    def trust(self) -> Trust:
        """Compare estimate and realised score on the days of this version that have both."""
        known = [each.recent for each in self.day.before if each.bundle == self.version.bundle and each.recent]
        both = [(r.estimated, r.realised) for r in known if r.estimated and r.realised][-_TRACKED:]
        pairs = [(self._interval(guess), self._interval(real)) for guess, real in both]
        return judge_trust([guess for guess, _ in pairs], [real for _, real in pairs], self.spec.monitoring.quality)

    def _fall(self, name: str, current: Interval | None, rows: int, *, grown: float, why: str) -> Verdict:
        if self.baseline is None:
            reason = "; ".join(self.version.problems) or f"its {self.metric.name} at evaluation is not known"
            return _inconclusive(name, f"{self.version.name}: {reason}.")
        wide = widen_by_trust(current, self.trust) if current and name == ESTIMATED else current
        quality = WindowQuality(name, self.metric.name, self.baseline, wide, rows, grown)
        verdict = judge_quality(quality, self.spec.monitoring.quality)
        days = f"{len(self.window)} days" if len(self.window) != 1 else "1 day"
        reason = f"{verdict.reason} {days} to {self.day.name}, version {self.version.name}."
        return replace(verdict, reason=f"{reason} {why}" if why and wide is None else reason)

    def _expected(self) -> int:
        ripe = self.spec.monitoring.quality.maturity
        known = [each for each in self.day.before if each.maturity >= ripe][-_COMPARED:]
        rows = sum(each.rows for each in known)
        if not rows:
            return _labelled(self.mine)
        return round(sum(each.labelled for each in known) / rows * len(self.mine) * self.maturity)

    def _worth(self) -> float | None:
        judged, own, costs = self.version.judged, self.own, self.spec.monitoring.costs
        if judged is None or own is None:
            return None
        return mean_business_value(costs, judged.classes, own.labels, own.scores, self.version.threshold)

    def _interval(self, each: Estimated) -> Interval:
        return Interval(each.value, each.low, each.high, self.level, "recorded")


def _unanswered(spec: ModelSpec, day: DayInputs) -> PerformanceDay:
    why = f"No version answered on {day.name}."
    return PerformanceDay(
        day=day.name, version="", bundle="", rows=0, labelled=0, expected=0, maturity=0.0, metric=spec.gates.metric,
        baseline=None, realised=None, estimated=None, recent=None, fall=_inconclusive(REALISED, why),
        estimated_fall=_inconclusive(ESTIMATED, why), trust=_inconclusive(TRUST, why), odd=day.odd, business=None,
        made_at=day.now,
    )  # fmt: skip


def _inconclusive(name: str, why: str) -> Verdict:
    return Verdict(name, Outcome.INCONCLUSIVE, why, {})


def _tried(make: Callable[[], Interval]) -> Measurement:
    try:
        return make(), ""
    except UnmeasurableError as err:
        return None, f"{err}."


def _plain(interval: Interval | None) -> Estimated | None:
    return Estimated(interval.estimate, interval.low, interval.high) if interval else None


def _labelled(rows: pa.Table) -> int:
    return int(pc.sum(pc.is_finite(rows[LABEL])).as_py() or 0)
