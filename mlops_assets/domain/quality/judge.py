"""Judges a day of answers by the labels that are ripe: realised quality, the estimate of it, trust in that. Pure.

A fall of realised quality is judged on all ripe days of the version (`fall`), one of estimated quality on the latest
days (`estimated_fall`). What cannot be judged says why.
"""

from dataclasses import dataclass

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import metrics_for
from mlops_assets.domain.quality.business_value import mean_business_value
from mlops_assets.domain.quality.day_rows import DayRows, count_labelled
from mlops_assets.domain.quality.estimate import TRUST
from mlops_assets.domain.quality.estimated_fall import ESTIMATED, EstimateJudging
from mlops_assets.domain.quality.fall.realised_fall import follow_version, judge_realised_fall
from mlops_assets.domain.quality.fall.since_promotion import REALISED
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.realised import MetricScore, measure_metrics
from mlops_assets.domain.quality.records import Estimated, PerformanceDay, Recent
from mlops_assets.domain.traffic.ripe_rows import RipeRows
from mlops_assets.domain.verdict import inconclusive

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
    rows = DayRows(spec, day, version)
    return DayQuality(_judge_rows(rows), _measure_all(rows), rows.ripe if rows.ripe else None)


def _judge_rows(rows: DayRows) -> PerformanceDay:
    estimates = EstimateJudging(rows)
    followed = follow_version(rows)
    return PerformanceDay(
        day=rows.day.name,
        version=rows.version.name,
        bundle=rows.version.bundle,
        rows=len(rows.mine),
        labelled=count_labelled(rows.mine),
        expected=_expect_labels(rows),
        maturity=rows.maturity,
        metric=rows.metric.name,
        baseline=rows.baseline.estimate if rows.baseline else None,
        realised=_plain(rows.score[0]),
        estimated=_plain(estimates.guess[0]),
        recent=Recent(
            len(rows.window), len(rows.ripe or ()), _plain(rows.measure(rows.ripe)[0]), _plain(estimates.broad[0])
        ),
        fall=judge_realised_fall(rows, followed),
        estimated_fall=estimates.judge_fall(),
        trust=estimates.trust.verdict,
        odd=rows.day.odd,
        business=_worth(rows),
        made_at=rows.day.now,
        comparable=_plain(rows.comparable[0]),
        parts=rows.parts[0],
        since_promotion=followed,
    )


def _measure_all(rows: DayRows) -> tuple[MetricScore, ...]:
    ripe = rows.ripe
    if ripe is None or not len(ripe):
        return ()
    metrics = metrics_for(rows.spec.target.kind)
    return measure_metrics(metrics, ripe.labels, ripe.scores, level=rows.level, blocks=ripe.blocks)


def _expect_labels(rows: DayRows) -> int:
    """How many labels should be there by now, as on the days before."""
    least = rows.spec.monitoring.quality.maturity
    known = [each for each in rows.day.before if each.maturity >= least][-_COMPARED:]
    answers = sum(each.rows for each in known)
    if not answers:
        return count_labelled(rows.mine)
    return round(sum(each.labelled for each in known) / answers * len(rows.mine) * rows.maturity)


def _worth(rows: DayRows) -> float | None:
    judged, own, costs = rows.version.judged, rows.own, rows.spec.monitoring.costs
    if judged is None or own is None:
        return None
    return mean_business_value(costs, judged.classes, own.labels, own.scores, rows.version.threshold)


def _unanswered(spec: ModelSpec, day: DayInputs) -> PerformanceDay:
    why = f"No version answered on {day.name}."
    return PerformanceDay(
        day=day.name, version="", bundle="", rows=0, labelled=0, expected=0, maturity=0.0, metric=spec.gates.metric,
        baseline=None, realised=None, estimated=None, recent=None, fall=inconclusive(REALISED, why),
        estimated_fall=inconclusive(ESTIMATED, why), trust=inconclusive(TRUST, why), odd=day.odd, business=None,
        made_at=day.now,
    )  # fmt: skip


def _plain(interval: Interval | None) -> Estimated | None:
    return Estimated(interval.estimate, interval.low, interval.high) if interval else None
