"""How a model is trained again by itself: sensors that look for a cause, one decision, one sensor that carries it out.

Each of these sensors can be stopped in the UI. One that looks for a cause takes that cause out of the decision; the
one that launches pauses all of them. A person's wish goes through the same decision.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.automation.rollout import again
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.names import (
    CAUSE_TAG,
    MODEL_TAG,
    MODEL_TIME_TAG,
    Stage,
    cause_sensor,
    retrain_sensor,
    training_job,
)
from mlops_assets.domain.retraining import cause_looks
from mlops_assets.domain.retraining.announcements import of_age, of_start
from mlops_assets.domain.retraining.cause_looks import Finding
from mlops_assets.domain.retraining.evidence import Champion, of_champion
from mlops_assets.domain.retraining.launching import Decided, launch
from mlops_assets.domain.retraining.records import Pause
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError
from mlops_assets.stages.common import asset_key
from mlops_assets.stages.retraining.asset import CAUSE, MADE_AT, REASON, RUN_KEY, YES
from mlops_assets.stages.retraining.collect import champion_of, last_decision, launched, new_rows, set_pause, watched

_LAUNCH_EVERY, _LOOK_EVERY, _COUNT_EVERY = 30, 60, 300  # seconds
_AT_ONCE = 100  # decisions that one tick reads
_UNREADABLE = (OSError, LedgerBrokenError, ValueError, LookupError)
Find = Callable[["Eyes", Champion], Finding]


class Wanted(dg.Config):
    """What a person says when asking for a training."""

    who: str = Field(min_length=1, description="Who asks.")
    why: str = Field(min_length=1, description="What for.")


class Pausing(dg.Config):
    """What a person says about trainings that start by themselves."""

    paused: bool = Field(default=True, description="true: none starts by itself. false: they go on.")
    who: str = Field(min_length=1, description="Who decides.")
    why: str = Field(min_length=1, description="Why.")


@dataclass(frozen=True)
class Eyes:
    """What a look at a cause may read."""

    spec: ModelSpec
    monitoring: Monitoring
    lake: Lake
    ledger: Ledger
    alerts: Alerts
    now: datetime

    def days(self, champion: Champion) -> tuple[list[Any], list[Any]]:
        """The champion's days of drift and of quality."""
        problems: list[str] = []
        drift, performance = watched(self.spec, self.monitoring, problems, now=self.now)
        if problems:
            raise ValueError("; ".join(problems))
        return of_champion(champion, drift), of_champion(champion, performance)


def decision_job_name(model: str) -> str:
    return f"{model}_decision"


def decision_job(spec: ModelSpec) -> Any:
    """One decision; sensors and the schedule ask for it."""
    return dg.define_asset_job(
        name=decision_job_name(spec.model),
        selection=[asset_key(spec.model, Stage.RETRAIN_DECISION)],
        description=f"Decides whether {spec.model} is trained again, on what was seen of it.",
        tags={MODEL_TAG: spec.model},
    )


def person_job(spec: ModelSpec) -> Any:
    """A person's wish: the same decision, with a name and a reason."""

    @dg.config_mapping
    def wish(val: Wanted) -> dg.RunConfig:
        return dg.RunConfig(ops=wish_config(spec.model, who=val.who, why=val.why)["ops"])

    return dg.define_asset_job(
        name=retrain_sensor(spec.model),
        selection=[asset_key(spec.model, Stage.RETRAIN_DECISION)],
        config=wish,
        description=f"Trains {spec.model} again because a person says so: no pause, cooldown or budget holds it back.",
        tags={MODEL_TAG: spec.model},
    )


def pause_job(spec: ModelSpec) -> dg.JobDefinition:
    """A person stops the trainings that start by themselves, or lets them go on."""

    @dg.op(name=f"{spec.model}_pausing", description="Notes a person's word on automatic training.")
    def op(context: dg.OpExecutionContext, config: Pausing, lake: Lake, clock: Clock) -> None:
        set_pause(lake, spec.model, Pause(config.paused, config.who, config.why, clock.now(spec)))
        told = f"{'paused' if config.paused else 'goes on'}: {config.why} ({config.who})"
        key = asset_key(spec.model, Stage.RETRAIN_DECISION)
        context.log_event(dg.AssetObservation(key, description=told, metadata={"paused": config.paused, "said": told}))

    @dg.job(name=f"{spec.model}_pause", description="Stops automatic training, or lets it go on.",
            tags={MODEL_TAG: spec.model})  # fmt: skip
    def job() -> None:
        op()

    return job


def wish_config(model: str, **wish: Any) -> dict[str, Any]:
    """Run configuration of the decision."""
    return {"ops": {f"{model}__{Stage.RETRAIN_DECISION}": {"config": wish}}}


def cause_sensors(spec: ModelSpec, decision: Any) -> list[dg.SensorDefinition]:
    """One for each cause that something shows; the schedule is another, a person needs none."""
    drift: Find = lambda eyes, champion: cause_looks.of_drift(eyes.days(champion)[0])  # noqa: E731 beside its like
    quality: Find = lambda eyes, champion: cause_looks.of_quality(eyes.days(champion)[1])  # noqa: E731
    return [
        _cause_sensor(spec, decision, Cause.DRIFT, drift, "a drift alarm", _LOOK_EVERY),
        _cause_sensor(spec, decision, Cause.QUALITY, quality, "realised quality that fell", _LOOK_EVERY),
        _cause_sensor(spec, decision, Cause.DATA_VOLUME, _volume, "enough new labelled rows", _COUNT_EVERY),
        _cause_sensor(spec, decision, Cause.STALENESS, _age, "a champion that is too old", _COUNT_EVERY),
    ]


def _cause_sensor(
    spec: ModelSpec, decision: Any, cause: Cause, find: Find, what: str, interval: int
) -> dg.SensorDefinition:
    @dg.sensor(
        name=cause_sensor(spec.model, cause),
        job=decision,
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks for {what}, and asks for a decision. Stop it, and this cause starts no training.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        monitoring: Monitoring,
        lake: Lake,
        ledger: Ledger,
        alerts: Alerts,
        clock: Clock,
    ) -> dg.RunRequest | dg.SkipReason:
        eyes = Eyes(spec, monitoring, lake, ledger, alerts, clock.now(spec))
        try:
            found = look(eyes, find)
        except _UNREADABLE as err:
            return dg.SkipReason(f"It cannot be looked at: {type(err).__name__}: {err}")
        return again(found, context.instance) if isinstance(found, dg.RunRequest) else found

    return sensor


def look(eyes: Eyes, find: Find) -> dg.RunRequest | dg.SkipReason:
    """One look: the decision that is due, or why none is."""
    model = eyes.spec.model
    champion = champion_of(eyes.spec, eyes.ledger, eyes.lake)
    if champion is None:
        return dg.SkipReason(f"{model} has no champion yet.")
    ask = cause_looks.to_ask(model, champion, find(eyes, champion), last_decision(eyes.lake, model))
    if not ask.run_key:
        return dg.SkipReason(ask.reason)
    return dg.RunRequest(run_key=ask.run_key, tags={MODEL_TAG: model, CAUSE_TAG: ask.run_key})


def _volume(eyes: Eyes, champion: Champion) -> Finding:
    rows = new_rows(eyes.spec, eyes.lake, since=champion.trained_at, now=eyes.now)
    return cause_looks.of_volume(eyes.spec.retraining.policy, rows, eyes.now)


def _age(eyes: Eyes, champion: Champion) -> Finding:
    """Age is told before it is critical, also where nobody asks the endpoint and so nothing is decided."""
    policy, wall = eyes.spec.retraining.policy, datetime.now(UTC)
    eyes.alerts.note(*of_age(policy, eyes.spec.model, champion.trained_at, eyes.now, at=wall), now=wall)
    return cause_looks.of_age(policy, champion.trained_at, eyes.now)


def launch_sensor(spec: ModelSpec, training: Any) -> dg.SensorDefinition:
    """Carries out each yes once: its cursor, the run key and the tag of the runs there are see to it."""

    @dg.sensor(
        name=retrain_sensor(spec.model),
        job=training,
        minimum_interval_seconds=_LAUNCH_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Launches {training_job(spec.model)} once for each decision that says yes. Stop it to pause all.",
    )
    def sensor(context: dg.SensorEvaluationContext, alerts: Alerts) -> dg.SensorResult | dg.SkipReason:
        decisions = _decisions(spec, context.instance, context.cursor)
        keys = {each.run_key for each in decisions if each.yes and launched(context.instance, each.run_key)}
        chosen = launch(decisions, keys, _last_run(spec, context.instance))
        cursor = str(decisions[-1].place) if decisions else context.cursor or "0"
        if chosen.decided is None:
            return dg.SensorResult(skip_reason=chosen.reason, cursor=cursor)
        alerts.raise_(of_start(spec.model, chosen.reason, at=(now := datetime.now(UTC))), now=now)
        return dg.SensorResult(run_requests=[training_request(spec, chosen.decided)], cursor=cursor)

    return sensor


def training_request(spec: ModelSpec, decided: Decided) -> dg.RunRequest:
    """The one run of a decision."""
    tags = {MODEL_TAG: spec.model, CAUSE_TAG: decided.run_key, MODEL_TIME_TAG: decided.made_at}
    return dg.RunRequest(run_key=decided.run_key, tags=tags)


def _decisions(spec: ModelSpec, instance: dg.DagsterInstance, cursor: str | None) -> list[Decided]:
    """Those made since the last look, oldest first. The first look takes the latest alone."""
    key, after = asset_key(spec.model, Stage.RETRAIN_DECISION), int(cursor) if cursor else None
    wanted = dg.AssetRecordsFilter(asset_key=key, after_storage_id=after)
    found = instance.fetch_materializations(wanted, limit=_AT_ONCE if cursor else 1, ascending=cursor is not None)
    return [_decided(record) for record in found.records]


def _decided(record: dg.EventLogRecord) -> Decided:
    materialization = record.asset_materialization
    told = {name: value.value for name, value in materialization.metadata.items()} if materialization else {}
    texts: Iterable[str] = (str(told.get(name, "")) for name in (CAUSE, RUN_KEY, MADE_AT, REASON))
    return Decided(record.storage_id, record.timestamp, bool(told.get(YES)), *texts)


def _last_run(spec: ModelSpec, instance: dg.DagsterInstance) -> float | None:
    filters = dg.RunsFilter(job_name=training_job(spec.model))
    found = instance.get_run_records(filters, limit=1)
    return found[0].create_timestamp.timestamp() if found else None
