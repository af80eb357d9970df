"""A cheap look at one cause: does it hold, and has a decision weighed it already? Pure; decides nothing more.

A sensor that looks every minute must not ask every minute. It asks once for each window or day, and not at all where
a decision of this champion was made since the cause showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from mlops_assets.declaration.monitoring import Cause, RetrainPolicy
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.retraining.evidence import Champion
from mlops_assets.domain.retraining.records import Weighed
from mlops_assets.domain.verdict import Outcome

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """What a look found."""

    cause: Cause
    holds: bool
    reason: str
    window: str = ""  # that shows it
    since: datetime | None = None  # a decision from then on knows it; in the model's time


@dataclass(frozen=True)
class Ask:
    """Whether a decision is asked for. `run_key` is empty where none is."""

    run_key: str
    reason: str


def of_drift(days: Sequence[DriftDay]) -> Finding:
    """The champion's days, oldest first."""
    if not days:
        return Finding(Cause.DRIFT, False, "No day of this champion was watched yet.")
    last = days[-1]
    return Finding(Cause.DRIFT, last.alarm.outcome is Outcome.FAIL, last.alarm.reason, last.day, last.made_at)


def of_quality(days: Sequence[PerformanceDay]) -> Finding:
    """The newest day on which a fall is shown or ruled out."""
    told = next((day for day in reversed(days) if day.fall.outcome in (Outcome.PASS, Outcome.FAIL)), None)
    if told is None:
        reason = days[-1].fall.reason if days else "No day of this champion was watched yet."
        return Finding(Cause.QUALITY, False, reason)
    return Finding(Cause.QUALITY, told.fall.outcome is Outcome.FAIL, told.fall.reason, told.day, told.made_at)


def of_volume(policy: RetrainPolicy, rows: int | None, now: datetime) -> Finding:
    if rows is None:
        return Finding(Cause.DATA_VOLUME, False, "It is not known when the champion was trained.")
    reason = f"{rows:,} labelled rows are new, {policy.new_rows:,} are enough."
    return Finding(Cause.DATA_VOLUME, rows >= policy.new_rows, reason, f"{now:%Y-%m-%d}", _midnight(now))


def of_age(policy: RetrainPolicy, trained_at: datetime | None, now: datetime) -> Finding:
    if trained_at is None:
        return Finding(Cause.STALENESS, False, "It is not known when the champion was trained.")
    age, critical = now - trained_at, policy.age_critical
    reason = f"The champion is {age / _DAY:.0f} days old, {critical / _DAY:g} are critical."
    return Finding(Cause.STALENESS, age >= critical, reason, f"{now:%Y-%m-%d}", _midnight(now))


def to_ask(model: str, champion: Champion, found: Finding, last: Weighed | None) -> Ask:
    """`last`: the latest decision."""
    if not found.holds:
        return Ask("", found.reason)
    knew = last is not None and last.evidence.champion == champion.version
    if last is not None and knew and found.since is not None and last.made_at >= found.since:
        return Ask("", f"{found.reason} It was weighed: {last.decision.reason}")
    return Ask(f"{found.cause}:{model}:{champion.number}:{found.window}", found.reason)


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.date(), time(), UTC)
