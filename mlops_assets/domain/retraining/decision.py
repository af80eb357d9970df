"""Decides whether a model is trained again. Pure: a policy, the evidence and the time in; yes or no with reasons out.

Every cause is judged by itself; the first that passes is taken unless something holds a run back. A cause that cannot
be judged is inconclusive and never a yes. A person and the schedule need no evidence, so bad evidence does not stop
them. A pause, the cooldown and the budget do not stop a person either.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from mlops_assets.declaration.monitoring import JUDGED, Cause, RetrainPolicy
from mlops_assets.domain.retraining.records import RetrainDecision, RetrainEvidence
from mlops_assets.domain.verdict import Outcome, Verdict

_DAY = timedelta(days=1)


def decide(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> RetrainDecision:
    """The decision on one champion and window, or on one day; the same evidence gives the same run key."""
    judged = {cause: _judge(cause, policy, evidence, now) for cause in Cause if _may_start(cause, policy)}
    numbers = _numbers(policy, evidence, now)
    chosen, verdicts = next((cause for cause, verdict in judged.items() if verdict.passed), None), (*judged.values(),)
    if chosen is None:
        unknown = any(verdict.outcome is Outcome.INCONCLUSIVE for verdict in judged.values())
        outcome = Outcome.INCONCLUSIVE if unknown else Outcome.FAIL
        reason = "No: " + "; ".join(verdict.reason for verdict in judged.values()) + "."
        return RetrainDecision(False, None, None, reason, numbers, outcome, verdicts)
    why = judged[chosen].reason
    if obstacles := list(_obstacles(chosen, policy, evidence, now)):
        reason = f"No: {why}, but {' and '.join(obstacles)}."
        return RetrainDecision(False, chosen, None, reason, numbers, Outcome.FAIL, verdicts)
    key = run_key(evidence, chosen, now)
    return RetrainDecision(True, chosen, key, f"Yes: {why}.", numbers, Outcome.PASS, verdicts)


def run_key(evidence: RetrainEvidence, cause: Cause, now: datetime) -> str:
    """One key for a champion, window and cause, however often they are judged; each request of a person has its own.

    A cause that no window shows, such as age, has the key of the day: without traffic there are no new windows.
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
    """PASS: the cause calls for a run."""
    problems = list(_skew(evidence, now)) if cause is not Cause.PERSON else []
    if cause in JUDGED:
        problems += evidence.problems
        problems += [] if evidence.champion else ["there is no champion to judge"]
    if problems:
        return Verdict(cause, Outcome.INCONCLUSIVE, f"{cause} cannot be judged: {', '.join(problems)}", {})
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
        return _without_fall(realised)
    return _if_learnable(policy, evidence, _reason(realised))


def _without_fall(realised: Verdict) -> Judged:
    outcome = Outcome.FAIL if realised.outcome is Outcome.PASS else Outcome.INCONCLUSIVE
    return outcome, _reason(realised)


def _drift(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    alarm = evidence.drift
    if alarm is None:
        return Outcome.INCONCLUSIVE, "drift is not known"
    if alarm.outcome is not Outcome.FAIL:
        outcome = Outcome.FAIL if alarm.outcome is Outcome.PASS else Outcome.INCONCLUSIVE
        return outcome, f"no drift alarm: {_reason(alarm)}"
    second = _second_reason(policy, evidence)
    if not second:
        return Outcome.FAIL, f"drift alone is not enough ({_reason(alarm)})"
    return _if_learnable(policy, evidence, f"drift ({_reason(alarm)}) and {second}")


def _second_reason(policy: RetrainPolicy, evidence: RetrainEvidence) -> str:
    """What has to accompany drift before it calls for a training; empty where there is nothing."""
    if evidence.realised and evidence.realised.outcome is Outcome.FAIL:
        return _reason(evidence.realised)
    if _estimate_fell(evidence):
        assert evidence.estimated is not None  # `_estimate_fell` says so
        return _reason(evidence.estimated)
    if evidence.new_rows is not None and evidence.new_rows >= policy.new_rows:
        return f"{evidence.new_rows:,} new labelled rows"
    return ""


def _estimate_fell(evidence: RetrainEvidence) -> bool:
    believed = evidence.trust is not None and evidence.trust.passed
    return believed and evidence.estimated is not None and evidence.estimated.outcome is Outcome.FAIL


def _data_volume(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    if evidence.new_rows is None:
        return Outcome.INCONCLUSIVE, "the number of new labelled rows is not known"
    text = f"{evidence.new_rows:,} new labelled rows, {policy.new_rows:,} are enough"
    return (Outcome.PASS if evidence.new_rows >= policy.new_rows else Outcome.FAIL), text


def _staleness(policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Judged:
    if evidence.trained_at is None:
        return Outcome.INCONCLUSIVE, "the champion's age is not known"
    age = now - evidence.trained_at
    text = f"the champion is {age / _DAY:.0f} days old"
    if age >= policy.age_critical:
        return _if_learnable(policy, evidence, f"{text}, which is critical")
    return Outcome.FAIL, f"{text}, which is a warning" if age >= policy.age_warning else text


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


def _obstacles(cause: Cause, policy: RetrainPolicy, evidence: RetrainEvidence, now: datetime) -> Iterator[str]:
    """Everything that holds a run back, so that a person sees all that would have to change."""
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
    """The limits of the budget that another run would break."""
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


def _reason(verdict: Verdict) -> str:
    return verdict.reason.removesuffix(".")


def _days(length: timedelta) -> str:
    return f"{length / _DAY:g} days" if length >= _DAY else f"{length / timedelta(hours=1):g} hours"
