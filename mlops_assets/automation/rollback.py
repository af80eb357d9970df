"""Rolls a champion back whose live answers are worse than its predecessor's, and alerts people of every rollback.

The verdict comes from `retraining.rollback`; the rollback job carries it out, as it does for a person.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlops_assets.automation.release_jobs import rollback_op_name
from mlops_assets.automation.run_requests import UNREADABLE, op_config, request_run, retry_failed, skip_unreadable
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.registry.champions import stack_champions, was_taken_down
from mlops_assets.domain.registry.ledger import Entry, LedgerAction
from mlops_assets.domain.release.release_state import find_release_in_force
from mlops_assets.domain.retraining.alerts import ledger_alerts
from mlops_assets.domain.retraining.rollback import ChampionTerm, judge_term
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.registry.ledger import Ledger

APPROVER = "monitoring"
_INTERVAL = 60  # seconds
_UNJUDGED = "The champion cannot be judged"


def rollback_sensor(spec: ModelSpec, rollback: Any) -> dg.SensorDefinition:
    """Requests one rollback of one promotion. `rollback` is the job that people use too."""

    @dg.sensor(
        name=f"{spec.model}_rollback",
        job=rollback,
        minimum_interval_seconds=_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Rolls {spec.model} back where live quality fell after a promotion; alerts of all rollbacks.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, monitoring: Monitoring, ledger: Ledger, alerts: Alerts, clock: Clock
    ) -> dg.SensorResult:
        try:
            entries = ledger.entries(spec.model)
            cursor = alert_of_entries(entries, context.cursor, alerts, datetime.now(UTC))
            request = request_rollback(spec, ledger, monitoring, clock.now(spec))
        except UNREADABLE as err:
            return dg.SensorResult(skip_reason=skip_unreadable(_UNJUDGED, err))
        if isinstance(request, dg.RunRequest):
            request = retry_failed(request, context.instance)
        if isinstance(request, dg.RunRequest):
            return dg.SensorResult(run_requests=[request], cursor=cursor)
        return dg.SensorResult(skip_reason=request, cursor=cursor)

    return sensor


def alert_of_entries(entries: Sequence[Entry], cursor: str | None, alerts: Alerts, now: datetime) -> str:
    """Alerts for the ledger entries since the cursor; the next cursor. Without a cursor only that is returned."""
    last = entries[-1].sequence if entries else 0
    if cursor is not None:
        new = [entry for entry in entries if entry.sequence > int(cursor)]
        alerts.record_events(*(event for entry in new for event in ledger_alerts(entry, at=now)), now=now)
    return str(last)


def request_rollback(
    spec: ModelSpec, ledger: Ledger, monitoring: Monitoring, now: datetime
) -> dg.RunRequest | dg.SkipReason:
    """The rollback that is due, or why none is."""
    from mlops_assets.stages.retraining.collect import read_days

    entries = ledger.entries(spec.model)
    state = find_release_in_force(entries)
    if state is None:
        return dg.SkipReason(f"{spec.model} has no release yet.")
    if state.frozen:
        return dg.SkipReason(f"Generation {state.generation} was frozen by {state.actor}: a person has to decide.")
    promoted, term = read_term(spec.model, entries, ledger)
    problems: list[str] = []
    _, days = read_days(spec, monitoring, problems, now=now)
    if problems:
        return dg.SkipReason(f"{_UNJUDGED}: {'; '.join(problems)}")
    verdict = judge_term(spec.monitoring.quality, term, days, now)
    if verdict.outcome is not Outcome.FAIL:
        return dg.SkipReason(verdict.reason)
    config = op_config(rollback_op_name(spec.model), approver=APPROVER, reason=verdict.reason, version=term.before)
    return request_run(spec.model, f"rollback:{spec.model}:{term.number}:{promoted.sequence}", config)


def read_term(model: str, entries: Sequence[Entry], ledger: Ledger) -> tuple[Entry, ChampionTerm]:
    """The entry that made the present champion, and its predecessor. After a rollback there is no predecessor."""
    changes = [entry for entry in entries if entry.action in (LedgerAction.PROMOTED, LedgerAction.ROLLBACK)]
    earlier = ["", *(entry.subject for entry in changes)]
    turns = [entry for entry, before in zip(changes, earlier, strict=False) if before != entry.subject]
    entry, champions = turns[-1], stack_champions(entries)
    before = champions[-2] if len(champions) > 1 else None
    gone = before is not None and was_taken_down(entries, before)
    if entry.action is LedgerAction.ROLLBACK or gone:
        before = None
    number = entry.subject
    bundles = {each.subject: each.details["bundle"] for each in entries if "bundle" in each.details}
    return entry, ChampionTerm(number, bundles.get(number, ""), entry.time, before, bundles.get(before or ""))
