"""Judges what quality is likely to be before labels are there, on the latest days of a version. Pure.

Three days are judged together, as one may be odd, and back to a week where those have too few labels. An estimate is
believed as far as earlier ones were right.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.quality.day_rows import DayRows, Measurement, try_measuring
from mlops_assets.domain.quality.estimate import Trust, judge_trust, widen_by_trust
from mlops_assets.domain.quality.estimator import pool_estimates
from mlops_assets.domain.quality.realised import WindowQuality, judge_quality
from mlops_assets.domain.quality.records import Estimated
from mlops_assets.domain.traffic.labelled_rows import read_scores
from mlops_assets.domain.verdict import Verdict, inconclusive

Array = NDArray[np.float64]

ESTIMATED = "estimated"
_TRACKED = 30  # days of the same version by which estimates are trusted


@dataclass(frozen=True, eq=False)
class EstimateJudging:
    """The estimate of a day's rows, that of the recent days, and how far such estimates were right."""

    of: DayRows

    @cached_property
    def guess(self) -> Measurement:
        """The day's estimate."""
        if self.of.spec.target.kind is Kind.REGRESSION:
            return self._estimate(*self.of.day.sample)
        return self._estimate(read_scores(self.of.mine), np.empty((len(self.of.mine), 0)))

    @cached_property
    def broad(self) -> Measurement:
        """The estimate of the recent days."""
        of = self.of
        if of.spec.target.kind is not Kind.REGRESSION:
            served = [read_scores(rows) for rows in of.window.values()]
            return self._estimate(np.concatenate(served), np.empty((0, 0))) if served else (None, "no answers")
        parts = [
            (each.rows, self._interval(each.estimated))
            for each in of.day.before
            if each.day in of.window and each.bundle == of.version.bundle and each.estimated
        ]
        own, why = self.guess
        if own is None:
            return None, why
        return try_measuring(lambda: pool_estimates(of.metric.name, [*parts, (len(of.mine), own)]))

    @cached_property
    def trust(self) -> Trust:
        """Compare estimate and realised score on the days of this version that have both."""
        of = self.of
        known = [each.recent for each in of.day.before if each.bundle == of.version.bundle and each.recent]
        both = [each for each in known if each.estimated and each.realised][-_TRACKED:]
        guesses = [self._interval(each.estimated) for each in both if each.estimated]
        realised = [self._interval(each.realised) for each in both if each.realised]
        overlap = sum(each.days for each in both) / max(len(both), 1)
        return judge_trust(guesses, realised, of.spec.monitoring.quality, overlap=overlap)

    def judge_fall(self) -> Verdict:
        of, (broad, why) = self.of, self.broad
        if of.baseline is None:
            return inconclusive(ESTIMATED, of.version.why_unpromised(of.metric.name))
        wide, rows = widen_by_trust(broad, self.trust) if broad else None, sum(map(len, of.window.values()))
        quality = WindowQuality(ESTIMATED, of.metric.name, of.baseline, wide, rows, 1.0)
        verdict = judge_quality(quality, of.spec.monitoring.quality)
        days = f"{len(of.window)} days" if len(of.window) != 1 else "1 day"
        reason = f"{verdict.reason} {days} to {of.day.name}, version {of.version.name}."
        return replace(verdict, reason=f"{reason} {why}" if why and wide is None else reason)

    def _estimate(self, served: Array, features: Array) -> Measurement:
        estimator, seed = self.of.version.estimator, self.of.spec.training.seed
        if estimator is None:
            return None, "; ".join(self.of.version.problems)
        return try_measuring(lambda: estimator(served, features, level=self.of.level, seed=seed))

    def _interval(self, each: Estimated) -> Interval:
        return Interval(each.value, each.low, each.high, self.of.level, "recorded")
