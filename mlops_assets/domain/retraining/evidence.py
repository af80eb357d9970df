"""Builds the evidence of a decision to train again from records of watched days and of runs. Pure; reads nothing.

Only the days of the present champion count: a day that another version answered says nothing about this one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TypeVar

from mlops_assets.declaration.monitoring import QualityPolicy, RetrainPolicy
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.retraining.records import Champion, RetrainEvidence, TrainingRequest, TrainingRun
from mlops_assets.domain.verdict import Outcome, Verdict

FRESH = timedelta(days=3)  # after its end, for which a day still says how things are
_COST_OF = 5  # runs that forecast the hours of the next one
_DAY = timedelta(days=1)
AnyDay = TypeVar("AnyDay", DriftDay, PerformanceDay)


@dataclass(frozen=True)
class ModelHistory:
    """The champion, its watched days, oldest first, and the model's trainings."""

    champion: Champion | None
    drift_days: Sequence[DriftDay]
    performance_days: Sequence[PerformanceDay]
    runs: Sequence[TrainingRun]


def build_evidence(
    model: str,
    policies: tuple[QualityPolicy, RetrainPolicy],
    history: ModelHistory,
    *,
    new_rows: int | None,
    request: TrainingRequest,
    paused: bool,
    pending: bool,
    problems: Iterable[str],
    now: datetime,
) -> RetrainEvidence:
    """`pending`: a training was decided on and has not begun."""
    (quality, policy), champion, runs = policies, history.champion, history.runs
    drift = days_of_champion(champion, history.drift_days)[-1:]
    performance = days_of_champion(champion, history.performance_days)
    latest = performance[-1] if performance else None
    judged = next((day for day in reversed(performance) if _is_ripe(day, quality)), latest)
    spent = (run.hours or 0.0 for run in runs if run.began and now - policy.period < run.began <= now)
    return RetrainEvidence(
        model=model,
        champion=champion.version if champion else None,
        window=max((day.day for day in (*drift, *performance[-1:])), default=""),
        trained_at=champion.trained_at if champion else None,
        drift=_unless_old(drift[0].alarm, drift[0].day, now) if drift else None,
        realised=_unless_labels_stopped(judged, now) if judged else None,
        estimated=_unless_old(latest.estimated_fall, latest.day, now) if latest else None,
        trust=latest.trust if latest else None,
        new_rows=new_rows,
        due=request.due,
        person=request.person,
        paused=paused,
        running=pending or any(run.live for run in runs),
        on_trial=champion.on_trial if champion else None,
        runs=tuple(run.began for run in runs if run.began is not None),
        spent=sum(spent),
        cost=_forecast_hours(runs),
        problems=tuple(problems),
    )


def days_of_champion(champion: Champion | None, days: Sequence[AnyDay]) -> list[AnyDay]:
    """The days on which this version answered most."""
    return [day for day in days if champion is not None and day.bundle == champion.bundle]


def _is_ripe(day: PerformanceDay, policy: QualityPolicy) -> bool:
    """Whether a day's realised quality can be judged: later days, whose labels are still to come, cannot undo it."""
    return day.maturity >= policy.maturity or day.fall.outcome in (Outcome.PASS, Outcome.FAIL)


def _unless_old(verdict: Verdict, day: str, now: datetime) -> Verdict:
    """The verdict; inconclusive where watching has stopped since."""
    age = now - datetime.combine(datetime.fromisoformat(day).date() + _DAY, time(), UTC)
    if age <= FRESH:
        return verdict
    reason = f"the latest day that was watched is {day}, which ended {age / _DAY:.0f} days ago."
    return Verdict(verdict.name, Outcome.INCONCLUSIVE, reason, {})


def _unless_labels_stopped(day: PerformanceDay, now: datetime) -> Verdict:
    """The day's verdict. While labels ripen each day is judged again daily, so an old judgement means that none do."""
    age = now - day.made_at
    if age <= FRESH:
        return day.fall
    reason = f"no label has ripened for {age / _DAY:.0f} days; {day.day} is the latest day that is known."
    return Verdict(day.fall.name, Outcome.INCONCLUSIVE, reason, {})


def _forecast_hours(runs: Sequence[TrainingRun]) -> float | None:
    """The median: one run that waited for a machine does not make every run expensive."""
    known = [run for run in runs if run.hours is not None]
    latest = sorted(known, key=lambda run: run.began or datetime.min.replace(tzinfo=UTC))[-_COST_OF:]
    hours = sorted(run.hours or 0.0 for run in latest)
    return (hours[(len(hours) - 1) // 2] + hours[len(hours) // 2]) / 2 if hours else None
