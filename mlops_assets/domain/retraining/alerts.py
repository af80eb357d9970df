"""The alerts that a decision, an old champion, a training or a rollback opens, and those that it resolves. Pure.

An inconclusive verdict neither opens an alert nor resolves one: not knowing is no all-clear.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from mlops_assets.declaration.monitoring import RetrainPolicy
from mlops_assets.domain.alerts.alerting import Alert, AlertEvent, AlertKind, AlertResolution, Severity
from mlops_assets.domain.registry.ledger import Entry, LedgerAction
from mlops_assets.domain.retraining.decision import over_budget
from mlops_assets.domain.retraining.records import DecisionRecord
from mlops_assets.domain.verdict import Outcome, Verdict

BUDGET, TRAINING = "budget", "training"
_DAY = timedelta(days=1)
_REPORT = "Read the day's drift report: mend a fault at its source; a real change is learnt by training."
_WORSE = "See which slices fell; roll back if the previous version was better on the same days."
_AGED = "See why no training ran: retrain_decision says what holds it back."
_OVER_BUDGET = "Raise the budget, or launch the retrain job: the budget does not hold a person back."


def decision_alerts(policy: RetrainPolicy, record: DecisionRecord, *, at: datetime, link: str) -> Iterator[AlertEvent]:
    """Everything that follows from one decision. `at`: wall time."""
    evidence, model = record.evidence, record.evidence.model
    judged = (
        (AlertKind.DRIFT, "live rows", Severity.WARNING, evidence.drift, _REPORT),
        (AlertKind.QUALITY, "realised", Severity.CRITICAL, evidence.realised, _WORSE),
        (AlertKind.QUALITY, "estimated", Severity.WARNING, _trusted_estimate(record), _WORSE),
    )
    for kind, key, severity, verdict, step in judged:
        if verdict is not None:
            numbers, reason = verdict.numbers, verdict.reason
            is_news = numbers.get("announced", 1.0) > 0  # a shift that goes on was told when it was announced
            alert = Alert(kind, model, key, severity, reason, step, at, link=link, numbers=numbers, is_news=is_news)
            yield from _verdict_alerts(alert, verdict.outcome)
    yield from age_alerts(policy, model, evidence.trained_at, record.made_at, at=at, link=link)
    yield from _budget_alerts(policy, record, at, link)
    if not evidence.running and not record.decision.yes:
        yield AlertResolution(AlertKind.RETRAIN, model, TRAINING, "No training is running any more.", at, link)


def age_alerts(
    policy: RetrainPolicy, model: str, trained_at: datetime | None, now: datetime, *, at: datetime, link: str = ""
) -> Iterator[AlertEvent]:
    """An old champion opens an alert, a new one resolves it."""
    if trained_at is None:
        return
    age = now - trained_at
    text = f"The champion was trained {age / _DAY:.0f} days ago"
    if age < policy.age_warning:
        yield AlertResolution(AlertKind.STALENESS, model, "champion", f"{text}.", at, link)
        return
    critical = age >= policy.age_critical
    severity = Severity.CRITICAL if critical else Severity.WARNING
    limit = policy.age_critical if critical else policy.age_warning
    cause = f"{text}, {limit / _DAY:g} are {'critical' if critical else 'a warning'}."
    yield Alert(
        AlertKind.STALENESS, model, "champion", severity, cause, _AGED, at, link=link, numbers={"days": age / _DAY}
    )


def training_alert(model: str, reason: str, *, at: datetime, link: str = "") -> Alert:
    """A training begins."""
    step = "There is nothing to do: gates, replay and canary judge the result."
    return Alert(AlertKind.RETRAIN, model, TRAINING, Severity.INFO, reason, step, at, link=link)


def ledger_alerts(entry: Entry, *, at: datetime, link: str = "") -> Iterator[AlertEvent]:
    """A rollback opens an alert; a later promotion or release resolves it."""
    model, key = entry.model, "release"
    if entry.action is LedgerAction.ROLLBACK:
        cause = f"{entry.actor} rolled back to version {entry.subject}: {entry.reason}"
        step = "Do not release the withdrawn version again before the cause is known."
        numbers: Mapping[str, float] = entry.numbers
        yield Alert(AlertKind.ROLLBACK, model, key, Severity.CRITICAL, cause, step, at, link=link, numbers=numbers)
    elif entry.action in (LedgerAction.PROMOTED, LedgerAction.RELEASE):
        cause = f"{entry.actor} has given version {entry.subject} its traffic since."
        yield AlertResolution(AlertKind.ROLLBACK, model, key, cause, at, link)


def _trusted_estimate(record: DecisionRecord) -> Verdict | None:
    """The estimated fall, where estimates have been right so far."""
    evidence = record.evidence
    return evidence.estimated if evidence.trust is not None and evidence.trust.passed else None


def _verdict_alerts(alert: Alert, outcome: Outcome) -> Iterator[AlertEvent]:
    if outcome is Outcome.FAIL:
        yield alert
    elif outcome is Outcome.PASS:
        yield AlertResolution(alert.kind, alert.model, alert.key, alert.cause, alert.at, alert.link)


def _budget_alerts(policy: RetrainPolicy, record: DecisionRecord, at: datetime, link: str) -> Iterator[AlertEvent]:
    decision, model = record.decision, record.evidence.model
    exceeded = list(over_budget(policy, record.evidence, record.made_at))
    if decision.cause is None or not exceeded or decision.yes:
        if not exceeded:
            yield AlertResolution(AlertKind.RETRAIN, model, BUDGET, "The budget allows a training again.", at, link)
        return
    yield Alert(AlertKind.RETRAIN, model, BUDGET, Severity.WARNING, decision.reason, _OVER_BUDGET, at, link=link)
