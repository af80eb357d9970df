"""Reads what the decision to train again rests on: watched days, the champion, new labels, runs, switches.

The asset that decides and the sensors that check one cause read through the same functions, so that both see the
same. Decides nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.monitoring import Cause, RetrainPolicy
from mlops_assets.declaration.values import moment
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import (
    CREATED_TIME,
    MODEL_TIME_TAG,
    Stage,
    cause_sensor,
    retrain_sensor,
    training_job,
    training_set_path,
)
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.records import TrainingSet
from mlops_assets.domain.registry.champions import champion_at
from mlops_assets.domain.registry.ledger import Entry
from mlops_assets.domain.release.release_state import find_release_in_force
from mlops_assets.domain.retraining.evidence import ModelHistory, build_evidence, days_of_champion
from mlops_assets.domain.retraining.records import Champion, RetrainEvidence, TrainingRequest, TrainingRun
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.records import read_record
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError
from mlops_assets.stages.retraining.stored_decisions import LIVE, has_run, read_last_decision, read_pause, record_file
from mlops_assets.stages.traffic.source_labels import source_labels

_RUNS = 200  # of the training job, the latest ones
_DAYS_BACK = timedelta(days=120)  # of watched days: labels may take long
_HOUR = 3600.0
_UNREADABLE = (ValueError, LedgerBrokenError)  # a record that is half-written, or of other code
T = TypeVar("T")


@dataclass(frozen=True)
class RetrainStores:
    """Where the evidence comes from."""

    monitoring: Monitoring
    lake: Lake
    ledger: Ledger
    instance: dg.DagsterInstance


@dataclass(frozen=True)
class RetrainInputs:
    """The evidence, the policy with the causes that are switched on, and the champion's days, oldest first."""

    evidence: RetrainEvidence
    policy: RetrainPolicy
    switched_off: tuple[str, ...]
    drift: Sequence[DriftDay]
    performance: Sequence[PerformanceDay]
    champion: Champion | None


def read_retrain_evidence(
    spec: ModelSpec, stores: RetrainStores, request: TrainingRequest, *, now: datetime
) -> RetrainInputs:
    """Reads everything. What cannot be read is a problem in the evidence, never a guess."""
    model, lake, instance, problems = spec.model, stores.lake, stores.instance, list[str]()
    champion = _read_or_note(problems, lambda: read_champion(spec, stores.ledger, lake), None)
    drift, performance = read_days(spec, stores.monitoring, problems, now=now)
    off = stopped_sensors(spec, instance)
    stopped = retrain_sensor(model) in off
    evidence = build_evidence(
        model,
        (spec.monitoring.quality, spec.retraining),
        ModelHistory(champion, drift, performance, read_training_runs(spec, instance, lake)),
        new_rows=count_new_rows(spec, lake, since=champion.trained_at if champion else None, now=now),
        request=request,
        paused=stopped or _read_or_note(problems, lambda: read_pause(lake, model).paused, True),
        pending=not stopped and _is_pending(stores, model, problems),
        problems=problems,
        now=now,
    )
    causes = tuple(cause for cause in spec.retraining.causes if cause_sensor(model, cause) not in off)
    policy = spec.retraining.with_changes(causes=causes)
    ours = days_of_champion(champion, drift), days_of_champion(champion, performance)
    return RetrainInputs(evidence, policy, off, *ours, champion)


def read_champion(spec: ModelSpec, ledger: Ledger, lake: Lake) -> Champion | None:
    """The release's champion; before the first release the version that was promoted."""
    entries = ledger.entries(spec.model)
    state = find_release_in_force(entries)
    if state is not None:
        arm = state.champion
        on_trial = state.challenger.version if state.is_judged and state.challenger else None
        return Champion(arm.number, arm.version, arm.bundle, _trained_at(spec, entries, arm.number, lake), on_trial)
    entry = champion_at(entries)
    if entry is None:
        return None
    pins, number = entry.details, entry.subject
    trained_at = _trained_at(spec, entries, number, lake)
    return Champion(number, pins.get("semantic", number), pins.get("bundle", ""), trained_at, None)


def read_days(
    spec: ModelSpec, monitoring: Monitoring, problems: list[str], *, now: datetime
) -> tuple[list[DriftDay], list[PerformanceDay]]:
    """The days of drift and of quality, oldest first. What cannot be read is added to `problems`."""
    since, today = f"{now - _DAYS_BACK:%Y-%m-%d}", f"{now:%Y-%m-%d}"

    def read(stage: Stage, kind: type[T]) -> list[T]:
        days: dict[str, T] = _read_or_note(
            problems,
            lambda: monitoring.read(spec.model, stage, kind, since=since),  # type: ignore[type-var]  # both have a day
            {},
        )
        return [day for name, day in sorted(days.items()) if name <= today]

    return read(Stage.DRIFT_REPORT, DriftDay), read(Stage.PERFORMANCE, PerformanceDay)


def count_new_rows(spec: ModelSpec, lake: Lake, *, since: datetime | None, now: datetime) -> int | None:
    """Labels that became known after the champion's training read them; None: it is not known when that was."""
    if since is None:
        return None
    labels = source_labels(spec, lake, since=since - spec.target.ripe_after, now=now)
    known = labels[CREATED_TIME]
    return int(pc.sum(pc.greater(known, pa.scalar(since, known.type))).as_py() or 0)


def read_training_runs(spec: ModelSpec, instance: dg.DagsterInstance, lake: Lake) -> list[TrainingRun]:
    """The runs of the training job, newest first."""
    filters = dg.RunsFilter(job_name=training_job(spec.model))
    return [_training_run(spec, record, lake) for record in instance.get_run_records(filters, limit=_RUNS)]


def stopped_sensors(spec: ModelSpec, instance: dg.DagsterInstance) -> tuple[str, ...]:
    """The model's sensors of retraining that a person stopped in the UI."""
    if instance.schedule_storage is None:  # an instance in memory: nothing ticks, so nothing is switched
        return ()
    ours = {cause_sensor(spec.model, cause) for cause in Cause} | {retrain_sensor(spec.model)}
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    stopped = {state.instigator_name for state in states if state.status is InstigatorStatus.STOPPED}
    return tuple(sorted(ours & stopped))


def _read_or_note(problems: list[str], read: Callable[[], T], otherwise: T) -> T:
    """The result of `read`; what cannot be read is added to `problems`."""
    try:
        return read()
    except _UNREADABLE as err:
        problems.append(f"{type(err).__name__}: {err}")
        return otherwise


def _is_pending(stores: RetrainStores, model: str, problems: list[str]) -> bool:
    """True for a yes that the sensor has not launched yet: a second one would train twice for one cause."""
    last = _read_or_note(problems, lambda: read_last_decision(stores.lake, model), None)
    key = last.decision.run_key if last is not None else None
    return key is not None and not has_run(stores.instance, key)


def _trained_at(spec: ModelSpec, entries: Sequence[Entry], number: str, lake: Lake) -> datetime | None:
    """The time up to which the version's training set knew labels."""
    pinned = (entry.details.get("training_set") for entry in reversed(entries) if entry.subject == number)
    digest = next(filter(None, pinned), None)
    return _as_of(lake.place(f"{training_set_path(spec.model, str(digest))}/manifest.json"))


def _as_of(path: str) -> datetime | None:
    record = read_record(TrainingSet, path)
    return None if record is None else record.as_of


def _training_run(spec: ModelSpec, record: dg.RunRecord, lake: Lake) -> TrainingRun:
    run, hours = record.dagster_run, None
    if run.status is dg.DagsterRunStatus.SUCCESS and record.start_time and record.end_time:
        hours = (record.end_time - record.start_time) / _HOUR
    return TrainingRun(_start_of(spec, record, lake), hours, run.status in LIVE)


def _start_of(spec: ModelSpec, record: dg.RunRecord, lake: Lake) -> datetime | None:
    """In the model's time: as decided; by the wall clock; or when its training set was made."""
    run = record.dagster_run
    tags: Mapping[str, str] = run.tags
    if MODEL_TIME_TAG in tags:
        return datetime.fromisoformat(tags[MODEL_TIME_TAG])
    if spec.replay is None:
        return moment(record.create_timestamp)
    return _as_of(record_file(lake, spec.model, Stage.TRAINING_SET, run.run_id))
