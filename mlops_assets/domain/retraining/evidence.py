"""From records of watched days and runs to the evidence that `retraining.decide` weighs. Pure; reads nothing.

Only what was seen of the present champion counts: a day that another version answered says nothing about this one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TypeVar

from mlops_assets.declaration.monitoring import QualityPolicy, RetrainPolicy
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.retraining.decision import RetrainEvidence
from mlops_assets.domain.verdict import Outcome, Verdict

FRESH = timedelta(days=3)  # after the end of a day, in which it still tells how things are
_COST_OF = 5  # runs by which the next one's cost is told
Day = TypeVar("Day", DriftDay, PerformanceDay)


@dataclass(frozen=True)
class Champion:
    """The version that answers, and when it was trained."""

    number: str  # in the registry
    version: str
    bundle: str
    trained_at: datetime | None  # up to when its training knew labels; None: not known
    on_trial: str | None  # the version that takes part of its traffic


@dataclass(frozen=True)
class TrainingRun:
    """One run of a model's training."""

    began: datetime | None  # in the model's time; None: not known
    hours: float | None  # None: it did not end well, or goes on
    live: bool  # waits or runs


@dataclass(frozen=True)
class Asked:
    """Who asks, besides what was seen."""

    due: bool = False  # the schedule
    person: str | None = None


def evidence(
    model: str,
    policies: tuple[QualityPolicy, RetrainPolicy],
    champion: Champion | None,
    drift_days: Sequence[DriftDay],
    performance_days: Sequence[PerformanceDay],
    runs: Sequence[TrainingRun],
    *,
    new_rows: int | None,
    asked: Asked,
    paused: bool,
    pending: bool,
    problems: Iterable[str],
    now: datetime,
) -> RetrainEvidence:
    """Days oldest first; `pending`: a training was decided on and has not begun."""
    quality, policy = policies
    drift, performance = of_champion(champion, drift_days), of_champion(champion, performance_days)
    began = tuple(run.began for run in runs if run.began is not None)
    seen = drift[-1] if drift else None
    ripe = next((day for day in reversed(performance) if _tells(day, quality)), None)
    latest = performance[-1] if performance else None
    judged = ripe or latest
    spent = (run.hours or 0.0 for run in runs if run.began and now - policy.period < run.began <= now)
    return RetrainEvidence(
        model=model,
        champion=champion.version if champion else None,
        window=max((day.day for day in (seen, latest) if day is not None), default=""),
        trained_at=champion.trained_at if champion else None,
        drift=_fresh(seen.alarm, seen.day, now) if seen else None,
        realised=_told_lately(judged, now) if judged else None,
        estimated=_fresh(latest.estimated_fall, latest.day, now) if latest else None,
        trust=latest.trust if latest else None,
        new_rows=new_rows,
        due=asked.due,
        person=asked.person,
        paused=paused,
        running=pending or any(run.live for run in runs),
        on_trial=champion.on_trial if champion else None,
        runs=began,
        spent=sum(spent),
        cost=_cost(runs),
        problems=tuple(problems),
    )


def of_champion(champion: Champion | None, days: Sequence[Day]) -> list[Day]:
    """The days on which this version answered most."""
    return [day for day in days if champion is not None and day.bundle == champion.bundle]


def _tells(day: PerformanceDay, policy: QualityPolicy) -> bool:
    """Whether a day's realised quality can be judged: later days, whose labels are still to come, cannot undo it."""
    return day.maturity >= policy.maturity or day.fall.outcome in (Outcome.PASS, Outcome.FAIL)


def _fresh(verdict: Verdict, day: str, now: datetime) -> Verdict:
    """The verdict, as long as watching went on."""
    age = now - _end(day)
    if age <= FRESH:
        return verdict
    told = f"the latest day that was watched is {day}, which ended {age / timedelta(days=1):.0f} days ago."
    return Verdict(verdict.name, Outcome.INCONCLUSIVE, told, {})


def _told_lately(day: PerformanceDay, now: datetime) -> Verdict:
    """Its verdict, as long as labels go on to ripen: where they do, a day is told each day, however old it is."""
    age = now - day.made_at
    if age <= FRESH:
        return day.fall
    told = f"no label has ripened for {age / timedelta(days=1):.0f} days; {day.day} is the latest day that is known."
    return Verdict(day.fall.name, Outcome.INCONCLUSIVE, told, {})


def _end(day: str) -> datetime:
    return datetime.combine(datetime.fromisoformat(day).date() + timedelta(days=1), time(), UTC)


def _cost(runs: Sequence[TrainingRun]) -> float | None:
    """The median: one run that waited for a machine does not make all dear."""
    known = [run for run in runs if run.hours is not None]
    latest = sorted(known, key=lambda run: run.began or datetime.min.replace(tzinfo=UTC))[-_COST_OF:]
    hours = sorted(run.hours or 0.0 for run in latest)
    return (hours[(len(hours) - 1) // 2] + hours[len(hours) // 2]) / 2 if hours else None
