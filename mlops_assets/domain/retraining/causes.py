"""Checks one cause cheaply: does it hold, and has a decision considered it already? Pure; decides nothing more.

A sensor ticks every minute and must not request a decision every minute. It requests one for each window or day, and
none where a decision on this champion was made after the cause showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from mlops_assets.declaration.monitoring import Cause, RetrainPolicy
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.retraining.records import Champion, DecisionRecord
from mlops_assets.domain.verdict import Outcome

_DAY = timedelta(days=1)
_NO_DAYS = "No day of this champion was watched yet."
_UNKNOWN_AGE = "It is not known when the champion was trained."


@dataclass(frozen=True)
class CauseFinding:
    """Whether a cause holds, and which window shows it."""

    cause: Cause
    holds: bool
    reason: str
    window: str = ""
    since: datetime | None = None  # a decision from then on knows of it; in the model's time


@dataclass(frozen=True)
class DecisionRequest:
    """Whether a decision is requested. `run_key` is empty where none is."""

    run_key: str
    reason: str


def check_drift(days: Sequence[DriftDay]) -> CauseFinding:
    """`days`: the champion's, oldest first. A shift asks when it is announced, not on each day that it goes on."""
    if not days:
        return CauseFinding(Cause.DRIFT, False, _NO_DAYS)
    last = days[-1]
    announced = next((day for day in days if day.day == last.announced), last)
    holds = last.alarm.outcome is Outcome.FAIL
    return CauseFinding(Cause.DRIFT, holds, last.alarm.reason, announced.day, announced.made_at)


def check_quality(days: Sequence[PerformanceDay]) -> CauseFinding:
    """Goes by the newest day on which a fall is shown or ruled out."""
    clear = next((day for day in reversed(days) if day.fall.outcome in (Outcome.PASS, Outcome.FAIL)), None)
    if clear is None:
        return CauseFinding(Cause.QUALITY, False, days[-1].fall.reason if days else _NO_DAYS)
    return CauseFinding(Cause.QUALITY, clear.fall.outcome is Outcome.FAIL, clear.fall.reason, clear.day, clear.made_at)


def check_volume(policy: RetrainPolicy, rows: int | None, now: datetime) -> CauseFinding:
    if rows is None:
        return CauseFinding(Cause.DATA_VOLUME, False, _UNKNOWN_AGE)
    reason = f"{rows:,} labelled rows are new, {policy.new_rows:,} are enough."
    return CauseFinding(Cause.DATA_VOLUME, rows >= policy.new_rows, reason, f"{now:%Y-%m-%d}", _midnight(now))


def check_age(policy: RetrainPolicy, trained_at: datetime | None, now: datetime) -> CauseFinding:
    if trained_at is None:
        return CauseFinding(Cause.STALENESS, False, _UNKNOWN_AGE)
    age, critical = now - trained_at, policy.age_critical
    reason = f"The champion is {age / _DAY:.0f} days old, {critical / _DAY:g} are critical."
    return CauseFinding(Cause.STALENESS, age >= critical, reason, f"{now:%Y-%m-%d}", _midnight(now))


def request_decision(
    model: str, champion: Champion, finding: CauseFinding, last: DecisionRecord | None
) -> DecisionRequest:
    """`last`: the latest decision."""
    if not finding.holds:
        return DecisionRequest("", finding.reason)
    same_champion = last is not None and last.evidence.champion == champion.version
    if last is not None and same_champion and finding.since is not None and last.made_at >= finding.since:
        return DecisionRequest("", f"{finding.reason} A decision has considered it: {last.decision.reason}")
    return DecisionRequest(f"{finding.cause}:{model}:{champion.number}:{finding.window}", finding.reason)


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.date(), time(), UTC)
