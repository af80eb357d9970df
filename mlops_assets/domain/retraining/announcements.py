"""What a look at drift, quality, age and budget tells people: alerts that open and that end. Pure.

A judgement that is inconclusive neither opens an alert nor ends one: not to know is no all-clear.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from mlops_assets.declaration.monitoring import RetrainPolicy
from mlops_assets.domain.alerts.alerting import Alert, AlertKind, Event, Resolved, Severity
from mlops_assets.domain.registry.ledger import Action, Entry
from mlops_assets.domain.retraining.decision import over_budget
from mlops_assets.domain.retraining.records import Weighed
from mlops_assets.domain.verdict import Outcome, Verdict

BUDGET, TRAINING = "budget", "training"
_DAY = timedelta(days=1)
_REPORT = "Read the drift report of the day: a fault at the source is mended there, a change is learnt by training."
_WORSE = "See which slices fell; roll back if the version before was better on the same days."
_OLD = "Look why nothing trained it: retrain_decision says what is held back."
_HELD = "Raise the budget, or launch the retrain job: a person is not held back."


def of_decision(policy: RetrainPolicy, weighed: Weighed, *, at: datetime, link: str) -> Iterator[Event]:
    """Everything that one decision says. `at`: wall time."""
    seen, model = weighed.evidence, weighed.evidence.model
    judged = (
        (AlertKind.DRIFT, "live rows", Severity.WARNING, seen.drift, _REPORT),
        (AlertKind.QUALITY, "realised", Severity.CRITICAL, seen.realised, _WORSE),
        (AlertKind.QUALITY, "estimated", Severity.WARNING, _believed(weighed), _WORSE),
    )
    for kind, key, severity, verdict, step in judged:
        if verdict is not None:
            yield from _of_verdict(kind, model, key, severity, verdict, step, at, link)
    yield from of_age(policy, model, seen.trained_at, weighed.made_at, at=at, link=link)
    yield from _of_budget(policy, weighed, at, link)
    if not seen.running and not weighed.decision.yes:
        yield Resolved(AlertKind.RETRAIN, model, TRAINING, "No training is running any more.", at, link)


def of_age(
    policy: RetrainPolicy, model: str, trained_at: datetime | None, now: datetime, *, at: datetime, link: str = ""
) -> Iterator[Event]:
    """A champion that is old, or no longer."""
    if trained_at is None:
        return
    age = now - trained_at
    told = f"The champion was trained {age / _DAY:.0f} days ago"
    if age < policy.age_warning:
        yield Resolved(AlertKind.STALENESS, model, "champion", f"{told}.", at, link)
        return
    critical = age >= policy.age_critical
    severity = Severity.CRITICAL if critical else Severity.WARNING
    limit = policy.age_critical if critical else policy.age_warning
    cause = f"{told}, {limit / _DAY:g} are {'critical' if critical else 'a warning'}."
    yield Alert(
        AlertKind.STALENESS, model, "champion", severity, cause, _OLD, at, link=link, numbers={"days": age / _DAY}
    )


def of_start(model: str, reason: str, *, at: datetime, link: str = "") -> Alert:
    """A training begins by itself, or at a person's word."""
    step = "Nothing to do: gates, replay and canary judge what comes of it."
    return Alert(AlertKind.RETRAIN, model, TRAINING, Severity.INFO, reason, step, at, link=link)


def of_entry(entry: Entry, *, at: datetime, link: str = "") -> Iterator[Event]:
    """What a ledger entry says about versions that were taken back."""
    model, key = entry.model, "release"
    if entry.action is Action.ROLLBACK:
        cause = f"Taken back to version {entry.subject} by {entry.actor}: {entry.reason}"
        step = "Do not release that version again before its cause is known."
        numbers: Mapping[str, float] = entry.numbers
        yield Alert(AlertKind.ROLLBACK, model, key, Severity.CRITICAL, cause, step, at, link=link, numbers=numbers)
    elif entry.action in (Action.PROMOTED, Action.RELEASE):
        told = f"Version {entry.subject} has its traffic since then, by {entry.actor}."
        yield Resolved(AlertKind.ROLLBACK, model, key, told, at, link)


def _believed(weighed: Weighed) -> Verdict | None:
    """The estimate, where it has been right so far."""
    seen = weighed.evidence
    return seen.estimated if seen.trust is not None and seen.trust.passed else None


def _of_verdict(
    kind: AlertKind, model: str, key: str, severity: Severity, verdict: Verdict, step: str, at: datetime, link: str
) -> Iterator[Event]:
    if verdict.outcome is Outcome.FAIL:
        yield Alert(kind, model, key, severity, verdict.reason, step, at, link=link, numbers=verdict.numbers)
    elif verdict.outcome is Outcome.PASS:
        yield Resolved(kind, model, key, verdict.reason, at, link)


def _of_budget(policy: RetrainPolicy, weighed: Weighed, at: datetime, link: str) -> Iterator[Event]:
    decision, model = weighed.decision, weighed.evidence.model
    broken = list(over_budget(policy, weighed.evidence, weighed.made_at))
    if decision.cause is None or not broken or decision.yes:
        if not broken:
            yield Resolved(AlertKind.RETRAIN, model, BUDGET, "The budget allows a training again.", at, link)
        return
    yield Alert(AlertKind.RETRAIN, model, BUDGET, Severity.WARNING, decision.reason, _HELD, at, link=link)
