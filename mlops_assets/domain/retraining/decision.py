"""Decides whether a model is trained again. Pure: a policy, the evidence and the time in; yes or no with reasons out.

Every cause is judged by itself, the first that asks is taken, and then what holds a run back is weighed. What
cannot be judged is inconclusive and never a yes. A person and the schedule ask without evidence, so bad
evidence does not stop them; a person is not stopped by a pause, the cooldown or the budget either.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops_assets.declaration.monitoring import JUDGED, Cause, RetrainPolicy
from mlops_assets.domain.verdict import Outcome, Verdict

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class RetrainEvidence:
    """All that the decision weighs. None means "not known"."""

    model: str
    champion: str | None  # version
    window: str  # the latest one judged
    trained_at: datetime | None  # the champion
    drift: Verdict | None  # of `drift_alarm`: FAIL is the alarm
    realised: Verdict | None  # of `performance`: FAIL is a fall
    estimated: Verdict | None  # likewise, before labels
    trust: Verdict | None  # in estimates: PASS believes them
    new_rows: int | None  # with a ripe label, since training
    due: bool  # the schedule asks
    person: str | None  # who asks, and for what: part of the run key
    paused: bool
    running: bool  # a training of this model
    on_trial: str | None  # a version that takes part of the traffic and is not decided on
    runs: tuple[datetime, ...]  # starts of its trainings
    spent: float  # hours of training in the policy's period
    cost: float | None  # hours that one run takes, by those before
    problems: tuple[str, ...]  # what is wrong with the input: no traffic, a half-written window, ...


@dataclass(frozen=True)
class RetrainDecision:
    """`cause` of a no is the one that was held back, if any. PASS is a yes, FAIL a clear no."""

    yes: bool
    cause: Cause | None
    run_key: str | None
    reason: str
    numbers: Mapping[str, float]
    outcome: Outcome
    verdicts: tuple[Verdict, ...]  # each cause by itself: PASS asks for a run


def decide(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> RetrainDecision:
    """One decision for one champion and window, or day where no window asks; repeated, it gives the same run key."""
    judged = {cause: _judge(cause, policy, evidence, now) for cause in Cause if _may_start(cause, policy)}
    numbers = _numbers(policy, evidence, now)
    asking, verdicts = next((cause for cause, verdict in judged.items() if verdict.passed), None), (*judged.values(),)
    if asking is None:
        unknown = any(verdict.outcome is Outcome.INCONCLUSIVE for verdict in judged.values())
        outcome = Outcome.INCONCLUSIVE if unknown else Outcome.FAIL
        reason = "No: " + "; ".join(verdict.reason for verdict in judged.values()) + "."
        return RetrainDecision(False, None, None, reason, numbers, outcome, verdicts)
    why = judged[asking].reason
    if held := list(_held_back(asking, policy, evidence, now)):
        reason = f"No: {why}, but {' and '.join(held)}."
        return RetrainDecision(False, asking, None, reason, numbers, Outcome.FAIL, verdicts)
    key = run_key(evidence, asking, now)
    return RetrainDecision(True, asking, key, f"Yes: {why}.", numbers, Outcome.PASS, verdicts)


def run_key(evidence: RetrainEvidence, cause: Cause, now: datetime) -> str:
    """The same for every look at one champion, window and cause; each wish of a person has its own.

    What no window shows, such as age, is a cause of the day: windows may not go on where nobody asks the endpoint.
    """
    if cause is Cause.PERSON:
        parts = (evidence.person or "", cause)
    else:
        window = evidence.window if cause in (Cause.QUALITY, Cause.DRIFT) else f"{now:%Y-%m-%d}"
        parts = (evidence.champion or "", window, cause)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"retrain:{evidence.model}:{cause}:{digest[:12]}"


def _may_start(cause: Cause, policy: RetrainPolicy) -> bool:
    return cause is Cause.PERSON or cause in policy.causes


def _judge(cause: Cause, policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Verdict:
    """PASS: it asks for a run."""
    wrong = list(_skew(evidence, now)) if cause is not Cause.PERSON else []
    if cause in JUDGED:
        wrong += evidence.problems
        wrong += [] if evidence.champion else ["there is no champion to judge"]
    if wrong:
        return Verdict(cause, Outcome.INCONCLUSIVE, f"{cause} cannot be judged: {', '.join(wrong)}", {})
    outcome, reason = _JUDGES[cause](policy, evidence, now)
    return Verdict(cause, outcome, reason, {})


Judged = tuple[Outcome, str]


def _person(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    if evidence.person:
        return Outcome.PASS, f"asked for by {evidence.person}"
    return Outcome.FAIL, "nobody asks"


def _schedule(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    return (Outcome.PASS, "the schedule asks") if evidence.due else (Outcome.FAIL, "the schedule does not ask")


def _quality(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    realised = evidence.realised
    if realised is None:
        return Outcome.INCONCLUSIVE, "realised quality is not known"
    if realised.outcome is not Outcome.FAIL:
        return _unless_fallen(realised)
    return _if_learnable(policy, evidence, _plain(realised))


def _unless_fallen(realised: Verdict) -> Judged:
    outcome = Outcome.FAIL if realised.outcome is Outcome.PASS else Outcome.INCONCLUSIVE
    return outcome, _plain(realised)


def _drift(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    alarm = evidence.drift
    if alarm is None:
        return Outcome.INCONCLUSIVE, "drift is not known"
    if alarm.outcome is not Outcome.FAIL:
        outcome = Outcome.FAIL if alarm.outcome is Outcome.PASS else Outcome.INCONCLUSIVE
        return outcome, f"no drift alarm: {_plain(alarm)}"
    besides = _besides(policy, evidence)
    if not besides:
        return Outcome.FAIL, f"drift alone is not enough ({_plain(alarm)})"
    return _if_learnable(policy, evidence, f"drift ({_plain(alarm)}) and {besides}")


def _besides(policy: RetrainPolicy, evidence: RetrainEvidence) -> str:
    """What makes drift a reason."""
    if evidence.realised and evidence.realised.outcome is Outcome.FAIL:
        return _plain(evidence.realised)
    if _fell_by_estimate(evidence):
        assert evidence.estimated is not None  # told by `_fell_by_estimate`
        return _plain(evidence.estimated)
    if evidence.new_rows is not None and evidence.new_rows >= policy.new_rows:
        return f"{evidence.new_rows:,} new labelled rows"
    return ""


def _fell_by_estimate(evidence: RetrainEvidence) -> bool:
    believed = evidence.trust is not None and evidence.trust.passed
    return believed and evidence.estimated is not None and evidence.estimated.outcome is Outcome.FAIL


def _data_volume(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    if evidence.new_rows is None:
        return Outcome.INCONCLUSIVE, "the number of new labelled rows is not known"
    said = f"{evidence.new_rows:,} new labelled rows, {policy.new_rows:,} are enough"
    return (Outcome.PASS if evidence.new_rows >= policy.new_rows else Outcome.FAIL), said


def _staleness(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    if evidence.trained_at is None:
        return Outcome.INCONCLUSIVE, "the champion's age is not known"
    age = now - evidence.trained_at
    said = f"the champion is {age / _DAY:.0f} days old"
    if age >= policy.age_critical:
        return _if_learnable(policy, evidence, f"{said}, which is critical")
    return Outcome.FAIL, f"{said}, which is a warning" if age >= policy.age_warning else said


def _if_learnable(policy: RetrainPolicy, evidence: RetrainEvidence, why: str) -> Judged:
    """The same rows again would give the same model."""
    if evidence.new_rows is None:
        return Outcome.INCONCLUSIVE, f"{why}, but the number of new labelled rows is not known"
    if evidence.new_rows < policy.least_rows:
        few = (
            f"{evidence.new_rows:,} labelled rows are new, at least {policy.least_rows:,} are needed to learn anything"
        )
        return Outcome.FAIL, f"{why}, but only {few}"
    return Outcome.PASS, why


_JUDGES: Mapping[Cause, Callable[[RetrainPolicy, RetrainEvidence, datetime], Judged]] = {
    Cause.PERSON: _person,
    Cause.QUALITY: _quality,
    Cause.DRIFT: _drift,
    Cause.DATA_VOLUME: _data_volume,
    Cause.STALENESS: _staleness,
    Cause.SCHEDULE: _schedule,
}


def _skew(evidence: RetrainEvidence, now: datetime) -> Iterator[str]:
    if evidence.trained_at and evidence.trained_at > now:
        yield f"the clock shows {now:%Y-%m-%d %H:%M}, but the champion was trained {evidence.trained_at:%Y-%m-%d %H:%M}"
    if later := [run for run in evidence.runs if run > now]:
        yield f"the clock shows {now:%Y-%m-%d %H:%M}, but a run began {max(later):%Y-%m-%d %H:%M}"


def _held_back(cause: Cause, policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Iterator[str]:
    """Everything at once, so that a person sees all that would have to change."""
    if evidence.running:
        yield "a training is running"
    if cause is Cause.PERSON:
        return
    if evidence.on_trial is not None:
        yield f"version {evidence.on_trial} is on trial, and one at a time can be judged"
    if evidence.paused:
        yield "retraining is paused"
    if evidence.runs and now - max(evidence.runs) < policy.cooldown:
        yield f"the last run began {_days(now - max(evidence.runs))} ago, the cooldown is {_days(policy.cooldown)}"
    yield from over_budget(policy, evidence, now)


def over_budget(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Iterator[str]:
    """What of the budget another run would break."""
    recent = _recent(policy, evidence, now)
    if recent >= policy.runs_at_most:
        yield f"{recent} runs began within {_days(policy.period)}, {policy.runs_at_most} are allowed"
    total = evidence.spent + (evidence.cost or 0.0)
    if policy.cost_at_most is not None and total > policy.cost_at_most:
        allowed = f"{policy.cost_at_most:g} are allowed"
        yield f"it would bring training to {total:.1f} hours within {_days(policy.period)}, {allowed}"


def _recent(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> int:
    return sum(now - policy.period < run <= now for run in evidence.runs)


def _numbers(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> dict[str, float]:
    found: dict[str, float | None] = {
        "new_rows": evidence.new_rows,
        "age_days": (now - evidence.trained_at) / _DAY if evidence.trained_at else None,
        "days_since_run": (now - max(evidence.runs)) / _DAY if evidence.runs else None,
        "runs_in_period": _recent(policy, evidence, now),
        "hours_spent": evidence.spent,
        "hours_of_a_run": evidence.cost,
    }
    for verdict in (evidence.drift, evidence.realised, evidence.estimated, evidence.trust):
        found |= {f"{verdict.name}.{name}": value for name, value in verdict.numbers.items()} if verdict else {}
    return {name: float(value) for name, value in found.items() if value is not None}


def _plain(verdict: Verdict) -> str:
    return verdict.reason.removesuffix(".")


def _days(length: timedelta) -> str:
    return f"{length / _DAY:g} days" if length >= _DAY else f"{length / timedelta(hours=1):g} hours"
