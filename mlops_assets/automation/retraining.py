"""How a model is trained again by itself: sensors that check one cause each, one decision, one sensor that launches it.

Each of these sensors can be stopped in the UI. Stopping one that checks a cause takes that cause out of the decision;
stopping the one that launches pauses all of them. A person's request goes through the same decision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.automation.jobs import asset_job
from mlops_assets.automation.run_requests import UNREADABLE, op_config, request_run, retry_failed, skip_unreadable
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import MODEL_TAG, MODEL_TIME_TAG, Stage, cause_sensor, retrain_sensor, training_job
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.retraining.alerts import age_alerts, training_alert
from mlops_assets.domain.retraining.causes import (
    CauseFinding,
    check_age,
    check_drift,
    check_quality,
    check_volume,
    request_decision,
)
from mlops_assets.domain.retraining.evidence import days_of_champion
from mlops_assets.domain.retraining.launching import choose_launch
from mlops_assets.domain.retraining.records import Champion, DecisionRecord, Pause
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.stages.common import asset_key
from mlops_assets.stages.retraining.stored_decisions import has_run, read_decisions, read_last_decision, write_pause

_LAUNCH_EVERY, _CHECK_EVERY, _COUNT_EVERY = 30, 60, 300  # seconds


class PersonRequest(dg.Config):
    """What a person says when requesting a training."""

    who: str = Field(min_length=1, description="Who requests it.")
    why: str = Field(min_length=1, description="The reason.")


class PauseConfig(dg.Config):
    """What a person says about trainings that start by themselves."""

    paused: bool = Field(default=True, description="true: none starts by itself. false: they go on.")
    who: str = Field(min_length=1, description="Who decides.")
    why: str = Field(min_length=1, description="Why.")


@dataclass(frozen=True)
class CauseContext:
    """What the check of a cause may read."""

    spec: ModelSpec
    monitoring: Monitoring
    lake: Lake
    ledger: Ledger
    alerts: Alerts
    now: datetime

    def read_days(self, champion: Champion) -> tuple[list[DriftDay], list[PerformanceDay]]:
        """The champion's days of drift and of quality."""
        from mlops_assets.stages.retraining.collect import read_days

        problems: list[str] = []
        drift, performance = read_days(self.spec, self.monitoring, problems, now=self.now)
        if problems:
            raise ValueError("; ".join(problems))
        return days_of_champion(champion, drift), days_of_champion(champion, performance)


CheckCause = Callable[[CauseContext, Champion], CauseFinding]


def decision_job(spec: ModelSpec) -> Any:
    """One decision; sensors and the schedule request it."""
    text = f"Decides whether {spec.model} is trained again, on the evidence of its days."
    return asset_job(spec, f"{spec.model}_decision", (Stage.RETRAIN_DECISION,), text)


def person_job(spec: ModelSpec) -> Any:
    """A person's request: the same decision, with a name and a reason."""

    @dg.config_mapping
    def request(val: PersonRequest) -> dg.RunConfig:
        return dg.RunConfig(ops=decision_config(spec.model, who=val.who, why=val.why)["ops"])

    return dg.define_asset_job(
        name=retrain_sensor(spec.model),
        selection=[asset_key(spec.model, Stage.RETRAIN_DECISION)],
        config=request,
        description=f"Trains {spec.model} again at a person's request, which no pause, cooldown or budget holds back.",
        tags={MODEL_TAG: spec.model},
    )


def pause_job(spec: ModelSpec) -> dg.JobDefinition:
    """A person stops the trainings that start by themselves, or lets them go on."""

    @dg.op(name=f"{spec.model}_pausing", description="Records whether a person has paused automatic training.")
    def op(context: dg.OpExecutionContext, config: PauseConfig, lake: Lake, clock: Clock) -> None:
        write_pause(lake, spec.model, Pause(config.paused, config.who, config.why, clock.now(spec)))
        text = f"{'paused' if config.paused else 'goes on'}: {config.why} ({config.who})"
        key = asset_key(spec.model, Stage.RETRAIN_DECISION)
        context.log_event(dg.AssetObservation(key, description=text, metadata={"paused": config.paused, "said": text}))

    @dg.job(name=f"{spec.model}_pause", description="Stops automatic training, or lets it go on.",
            tags={MODEL_TAG: spec.model})  # fmt: skip
    def job() -> None:
        op()

    return job


def decision_config(model: str, **request: Any) -> dict[str, Any]:
    """Run configuration of the decision."""
    return op_config(f"{model}__{Stage.RETRAIN_DECISION}", **request)


def cause_sensors(spec: ModelSpec, decision: Any) -> list[dg.SensorDefinition]:
    """One for each cause that evidence shows; the schedule is another cause, and a person needs none."""
    checks: tuple[tuple[Cause, CheckCause, str, int], ...] = (
        (Cause.DRIFT, lambda at, champion: check_drift(at.read_days(champion)[0]), "a drift alarm", _CHECK_EVERY),
        (Cause.QUALITY, lambda at, champion: check_quality(at.read_days(champion)[1]), "realised quality that fell",
         _CHECK_EVERY),
        (Cause.DATA_VOLUME, _check_volume, "enough new labelled rows", _COUNT_EVERY),
        (Cause.STALENESS, _check_age, "a champion that is too old", _COUNT_EVERY),
    )  # fmt: skip
    return [
        _cause_sensor(spec, decision, cause, check=check, text=text, every=every)
        for cause, check, text, every in checks
    ]


def _cause_sensor(
    spec: ModelSpec, decision: Any, cause: Cause, *, check: CheckCause, text: str, every: int
) -> dg.SensorDefinition:
    @dg.sensor(
        name=cause_sensor(spec.model, cause),
        job=decision,
        minimum_interval_seconds=every,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Checks for {text}, and requests a decision. Stop it, and this cause starts no training.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        monitoring: Monitoring,
        lake: Lake,
        ledger: Ledger,
        alerts: Alerts,
        clock: Clock,
    ) -> dg.RunRequest | dg.SkipReason:
        try:
            request = check_cause(CauseContext(spec, monitoring, lake, ledger, alerts, clock.now(spec)), check)
        except UNREADABLE as err:
            return skip_unreadable("The cause cannot be judged", err)
        return retry_failed(request, context.instance) if isinstance(request, dg.RunRequest) else request

    return sensor


def check_cause(context: CauseContext, check: CheckCause) -> dg.RunRequest | dg.SkipReason:
    """The request of a decision that is due, or why none is."""
    from mlops_assets.stages.retraining.collect import read_champion

    model = context.spec.model
    champion = read_champion(context.spec, context.ledger, context.lake)
    if champion is None:
        return dg.SkipReason(f"{model} has no champion yet.")
    last = read_last_decision(context.lake, model)
    request = request_decision(model, champion, check(context, champion), last)
    return request_run(model, request.run_key) if request.run_key else dg.SkipReason(request.reason)


def _check_volume(context: CauseContext, champion: Champion) -> CauseFinding:
    from mlops_assets.stages.retraining.collect import count_new_rows

    rows = count_new_rows(context.spec, context.lake, since=champion.trained_at, now=context.now)
    return check_volume(context.spec.retraining, rows, context.now)


def _check_age(context: CauseContext, champion: Champion) -> CauseFinding:
    """Warns of age here, before it is critical: without traffic no decision is made that could warn."""
    policy, wall = context.spec.retraining, datetime.now(UTC)
    events = age_alerts(policy, context.spec.model, champion.trained_at, context.now, at=wall)
    context.alerts.record_events(*events, now=wall)
    return check_age(policy, champion.trained_at, context.now)


def launch_sensor(spec: ModelSpec, training: Any) -> dg.SensorDefinition:
    """Launches each yes once: its cursor, the run key and the tag of earlier runs guarantee it."""

    @dg.sensor(
        name=retrain_sensor(spec.model),
        job=training,
        minimum_interval_seconds=_LAUNCH_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Launches {training_job(spec.model)} once for each decision that says yes. Stop it to pause all.",
    )
    def sensor(context: dg.SensorEvaluationContext, lake: Lake, alerts: Alerts) -> dg.SensorResult:
        events = read_decisions(spec, lake, context.instance, context.cursor)
        keys = {key for event in events if (key := event.run_key) and has_run(context.instance, key)}
        launch = choose_launch(events, keys, _last_training(spec, context.instance))
        cursor = str(events[-1].position) if events else context.cursor or "0"
        if launch.event is None:
            return dg.SensorResult(skip_reason=launch.reason, cursor=cursor)
        wall = datetime.now(UTC)
        alerts.record_events(training_alert(spec.model, launch.reason, at=wall), now=wall)
        return dg.SensorResult(run_requests=[training_run(launch.event.record)], cursor=cursor)

    return sensor


def training_run(record: DecisionRecord) -> dg.RunRequest:
    """The one run of a decision that says yes."""
    key = record.decision.run_key
    if key is None:
        raise ValueError(f"{record.evidence.model}: a decision that says no has no run: {record.decision.reason}")
    return request_run(record.evidence.model, key, tags={MODEL_TIME_TAG: record.made_at.isoformat()})


def _last_training(spec: ModelSpec, instance: dg.DagsterInstance) -> float | None:
    """When the latest training was created, in wall time."""
    records = instance.get_run_records(dg.RunsFilter(job_name=training_job(spec.model)), limit=1)
    return records[0].create_timestamp.timestamp() if records else None
