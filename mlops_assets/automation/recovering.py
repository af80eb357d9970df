"""Takes a champion back whose live answers are worse than those before, and tells of every version taken back.

The verdict is `quality_rollback`'s; the rollback job carries it out, as it does for a person.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlops_assets.automation.rollout import again
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CAUSE_TAG, MODEL_TAG
from mlops_assets.domain.registry.ledger import Action, Entry
from mlops_assets.domain.release.release_state import state_of
from mlops_assets.domain.retraining.announcements import of_entry
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.registry import promotion
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError
from mlops_assets.stages.retraining.collect import watched

APPROVER = "monitoring"
_INTERVAL = 60  # seconds
_UNREADABLE = (OSError, LedgerBrokenError, ValueError, LookupError)


def rollback_sensor(spec: ModelSpec, rollback: Any) -> dg.SensorDefinition:
    """Asks for one rollback of one promotion. `rollback` is the job by which people go back too."""

    @dg.sensor(
        name=f"{spec.model}_rollback",
        job=rollback,
        minimum_interval_seconds=_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Goes back where live quality fell after a promotion of {spec.model}; tells of all rollbacks.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, monitoring: Monitoring, ledger: Ledger, alerts: Alerts, clock: Clock
    ) -> dg.SensorResult:
        try:
            entries = ledger.entries(spec.model)
            cursor = tell(entries, context.cursor, alerts, datetime.now(UTC))
            found = look(spec, entries, ledger, monitoring, clock.now(spec))
        except _UNREADABLE as err:
            return dg.SensorResult(skip_reason=f"It cannot be judged: {type(err).__name__}: {err}")
        if isinstance(found, dg.RunRequest):
            found = again(found, context.instance)
        if isinstance(found, dg.RunRequest):
            return dg.SensorResult(run_requests=[found], cursor=cursor)
        return dg.SensorResult(skip_reason=found.skip_message, cursor=cursor)

    return sensor


def tell(entries: list[Entry], cursor: str | None, alerts: Alerts, now: datetime) -> str:
    """Alerts for what the ledger holds since the last look; the cursor after it. The first look only takes note."""
    last = entries[-1].sequence if entries else 0
    if cursor is not None:
        new = [entry for entry in entries if entry.sequence > int(cursor)]
        alerts.note(*(event for entry in new for event in of_entry(entry, at=now)), now=now)
    return str(last)


def look(
    spec: ModelSpec, entries: list[Entry], ledger: Ledger, monitoring: Monitoring, now: datetime
) -> dg.RunRequest | dg.SkipReason:
    """The rollback that is due, or why none is."""
    from mlops_assets.domain.retraining.rollback import judge_reign

    state = state_of(entries)
    if state is None:
        return dg.SkipReason(f"{spec.model} has no release yet.")
    if state.frozen:
        return dg.SkipReason(f"Generation {state.generation} was frozen by {state.actor}: a person has to decide.")
    crowned, reign = reign_of(spec, entries, ledger)
    problems: list[str] = []
    _, days = watched(spec, monitoring, problems, now=now)
    if problems:
        return dg.SkipReason(f"It cannot be judged: {'; '.join(problems)}")
    verdict = judge_reign(spec.monitoring.quality, reign, days, now)
    if verdict.outcome is not Outcome.FAIL:
        return dg.SkipReason(verdict.reason)
    cause = f"rollback:{spec.model}:{reign.number}:{crowned.sequence}"
    config = {"approver": APPROVER, "reason": verdict.reason, "version": reign.before}
    return dg.RunRequest(
        run_key=cause,
        run_config={"ops": {f"{spec.model}_going_back": {"config": config}}},
        tags={MODEL_TAG: spec.model, CAUSE_TAG: cause},
    )


def reign_of(spec: ModelSpec, entries: list[Entry], ledger: Ledger) -> tuple[Entry, Any]:
    """The entry that made the present champion, and whom it followed. One that came by a rollback followed nobody."""
    from mlops_assets.domain.retraining.rollback import Reign

    crowned = [each for each in entries if each.action in (Action.PROMOTED, Action.ROLLBACK)]
    held = [each.subject for each in crowned]
    turns = [each for each, one in zip(crowned, ["", *held], strict=False) if one != each.subject]
    entry, reigns = turns[-1], promotion.champions(entries)
    before = reigns[-2] if len(reigns) > 1 else None
    gone = before is not None and promotion.was_taken_down(ledger, model=spec.model, number=before)
    if entry.action is Action.ROLLBACK or gone:
        before = None
    number = entry.subject
    bundles = {each.subject: each.details["bundle"] for each in entries if "bundle" in each.details}
    return entry, Reign(number, bundles.get(number, ""), entry.time, before, bundles.get(before or ""))
