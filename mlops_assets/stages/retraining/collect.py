"""Gathers what the decision to train again stands on: watched days, the champion, new labels, runs, switches.

The asset that decides and the sensors that look at one cause each read the same way, so that both see the same.
Decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.monitoring import Cause, RetrainPolicy
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import (
    CAUSE_TAG,
    MODEL_TIME_TAG,
    Layer,
    Stage,
    cause_sensor,
    retrain_sensor,
    training_job,
)
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.records import TrainingSet
from mlops_assets.domain.registry.ledger import Entry, champion_at
from mlops_assets.domain.release.release_state import state_of
from mlops_assets.domain.retraining.decision import RetrainEvidence
from mlops_assets.domain.retraining.evidence import Asked, Champion, TrainingRun, evidence, of_champion
from mlops_assets.domain.retraining.records import Pause, Weighed
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.records import RecordIO, from_json, to_json
from mlops_assets.resources.lake.tables import Lake, put_atomically, read_json, utc
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError

LIVE = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_RUNS = 200  # that are looked back at
_LOOKED_BACK = timedelta(days=120)  # of watched days: labels may take long
_HOUR = 3600.0
_UNREADABLE = (ValueError, LedgerBrokenError)  # of a record: half-written, or of other code


@dataclass(frozen=True)
class Stores:
    """Where it is read from."""

    monitoring: Monitoring
    lake: Lake
    ledger: Ledger


@dataclass(frozen=True)
class Observed:
    """The evidence, the policy with the causes that are switched on, and the days it stands on."""

    evidence: RetrainEvidence
    policy: RetrainPolicy
    switched_off: tuple[str, ...]
    drift: Sequence[DriftDay]  # the champion's, oldest first
    performance: Sequence[PerformanceDay]
    champion: Champion | None


def observe(spec: ModelSpec, stores: Stores, instance: dg.DagsterInstance, asked: Asked, *, now: datetime) -> Observed:
    """Everything at once. What cannot be read is a problem that is told, never a guess."""
    model, problems = spec.model, list[str]()
    champion = _told(problems, lambda: champion_of(spec, stores.ledger, stores.lake), None)
    drift, performance = watched(spec, stores.monitoring, problems, now=now)
    off = switched_off(spec, instance)
    paused = retrain_sensor(model) in off or _told(problems, lambda: pause_of(stores.lake, model).paused, True)
    trained_at = champion.trained_at if champion else None
    found = evidence(
        model,
        (spec.monitoring.quality, spec.retraining.policy),
        champion,
        drift,
        performance,
        training_runs(spec, instance, stores.lake),
        new_rows=new_rows(spec, stores.lake, since=trained_at, now=now),
        asked=asked,
        paused=paused,
        pending=retrain_sensor(model) not in off and _pending(stores, model, instance, problems),
        problems=problems,
        now=now,
    )
    causes = tuple(cause for cause in spec.retraining.policy.causes if cause_sensor(model, cause) not in off)
    policy = replace(spec.retraining.policy, causes=causes)
    return Observed(found, policy, off, of_champion(champion, drift), of_champion(champion, performance), champion)


def champion_of(spec: ModelSpec, ledger: Ledger, lake: Lake) -> Champion | None:
    """Who answers: the release's champion; before the first release the one that was promoted."""
    entries = ledger.entries(spec.model)
    state = state_of(entries)
    if state is not None:
        arm = state.champion
        on_trial = state.challenger.version if state.is_judged and state.challenger else None
        return Champion(arm.number, arm.version, arm.bundle, _trained_at(spec, entries, arm.number, lake), on_trial)
    entry = champion_at(entries, datetime.max.replace(tzinfo=UTC))
    if entry is None:
        return None
    pins, number = entry.details, entry.subject
    trained_at = _trained_at(spec, entries, number, lake)
    return Champion(number, pins.get("semantic", number), pins.get("bundle", ""), trained_at, None)


def watched(
    spec: ModelSpec, monitoring: Monitoring, problems: list[str], *, now: datetime
) -> tuple[list[DriftDay], list[PerformanceDay]]:
    """The days of drift and of quality, oldest first. What cannot be read is put into `problems`."""
    since = f"{now - _LOOKED_BACK:%Y-%m-%d}"

    def read(stage: Stage, kind: Any) -> list[Any]:
        days = _told(problems, lambda: monitoring.read(spec.model, stage, kind, since=since), {})
        return [day for name, day in sorted(days.items()) if name <= f"{now:%Y-%m-%d}"]

    return read(Stage.DRIFT_REPORT, DriftDay), read(Stage.PERFORMANCE, PerformanceDay)


def new_rows(spec: ModelSpec, lake: Lake, *, since: datetime | None, now: datetime) -> int | None:
    """Labels that became known after the champion's training looked; None: it is not known when that was."""
    if since is None:
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlops_assets.domain.names import CREATED_TIME
    from mlops_assets.stages.traffic.source_labels import source_labels

    labels = source_labels(spec, lake, since=since - spec.target.known_after, now=now)
    known = labels[CREATED_TIME]
    return int(pc.sum(pc.greater(known, pa.scalar(since, known.type))).as_py() or 0)


def training_runs(spec: ModelSpec, instance: dg.DagsterInstance, lake: Lake) -> list[TrainingRun]:
    """The runs of the training job, newest first."""
    filters = dg.RunsFilter(job_name=training_job(spec.model))
    return [_run(spec, record, lake) for record in instance.get_run_records(filters, limit=_RUNS)]


def launched(instance: dg.DagsterInstance, run_key: str) -> bool:
    """True where a run was made for this cause, whatever became of it."""
    return instance.get_runs_count(dg.RunsFilter(tags={CAUSE_TAG: run_key})) > 0


def last_decision(lake: Lake, model: str) -> Weighed | None:
    return RecordIO(root=lake.root).latest(model, Stage.RETRAIN_DECISION, Weighed)


def switched_off(spec: ModelSpec, instance: dg.DagsterInstance) -> tuple[str, ...]:
    """The model's sensors of retraining that a person stopped in the UI."""
    from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

    if instance.schedule_storage is None:  # an instance in memory: nothing ticks, so nothing is switched
        return ()
    ours = {cause_sensor(spec.model, cause) for cause in Cause} | {retrain_sensor(spec.model)}
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    stopped = {each.instigator_name for each in states if each.status is InstigatorStatus.STOPPED}
    return tuple(sorted(ours & stopped))


def pause_of(lake: Lake, model: str) -> Pause:
    """What a person said last; nobody said anything: it is not paused."""
    path = _pause_file(lake, model)
    try:
        return from_json(Pause, read_json(path), path)
    except FileNotFoundError:
        return Pause(paused=False, who="", why="", since=datetime.min.replace(tzinfo=UTC))


def set_pause(lake: Lake, model: str, pause: Pause) -> None:
    put_atomically(_pause_file(lake, model), to_json(pause))


def _pause_file(lake: Lake, model: str) -> str:
    return f"{lake.root.rstrip('/')}/{model}/{Layer.RECORDS}/{Stage.RETRAIN_DECISION}/pause.json"


def _told(problems: list[str], read: Any, otherwise: Any) -> Any:
    """What `read` gives; where it cannot be read, that is noted."""
    try:
        return read()
    except _UNREADABLE as err:
        problems.append(f"{type(err).__name__}: {err}")
        return otherwise


def _pending(stores: Stores, model: str, instance: dg.DagsterInstance, problems: list[str]) -> bool:
    """A yes that the sensor has not launched yet: a second one beside it would train twice for one thing."""
    last = _told(problems, lambda: last_decision(stores.lake, model), None)
    key = last.decision.run_key if last is not None else None
    return bool(key) and not launched(instance, key)


def _trained_at(spec: ModelSpec, entries: Sequence[Entry], number: str, lake: Lake) -> datetime | None:
    """Up to when the version's training set knew labels."""
    pinned = (each.details.get("training_set") for each in reversed(entries) if each.subject == number)
    digest = next(filter(None, pinned), None)
    return _as_of(f"{lake.root.rstrip('/')}/{spec.model}/{Layer.TRAINING_SETS}/{digest}/manifest.json")


def _as_of(path: str) -> datetime | None:
    try:
        return from_json(TrainingSet, read_json(path), path).as_of
    except FileNotFoundError:
        return None


def _run(spec: ModelSpec, record: dg.RunRecord, lake: Lake) -> TrainingRun:
    run = record.dagster_run
    ended = run.status is dg.DagsterRunStatus.SUCCESS and record.start_time and record.end_time
    hours = (record.end_time - record.start_time) / _HOUR if ended else None  # type: ignore[operator]  # told by `ended`
    return TrainingRun(_began(spec, run, record, lake), hours, run.status in LIVE)


def _began(spec: ModelSpec, run: dg.DagsterRun, record: dg.RunRecord, lake: Lake) -> datetime | None:
    """In the model's time: as decided; by the clock on the wall; or when its training set was made."""
    tags: Mapping[str, str] = run.tags
    if MODEL_TIME_TAG in tags:
        return datetime.fromisoformat(tags[MODEL_TIME_TAG])
    if spec.replay is None:
        return utc(record.create_timestamp)
    folder = f"{lake.root.rstrip('/')}/{spec.model}/{Layer.RECORDS}/{Stage.TRAINING_SET}"
    return _as_of(f"{folder}/{run.run_id}.json")
