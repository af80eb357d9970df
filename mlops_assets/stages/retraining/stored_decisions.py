"""Stored decisions to train again, and the pause that a person sets. Light, so that sensors may import it."""

from datetime import UTC, datetime

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CAUSE_TAG, Layer, Stage, retrain_sensor
from mlops_assets.domain.retraining.launching import DecisionEvent
from mlops_assets.domain.retraining.records import DecisionRecord, Pause
from mlops_assets.resources.lake.files import put_bytes
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.records import LATEST, read_record, to_json
from mlops_assets.stages.common import asset_key

LIVE = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_PAGE = 100  # decisions that one tick reads


def read_last_decision(lake: Lake, model: str) -> DecisionRecord | None:
    try:
        return _read_decision(lake, model, LATEST)
    except FileNotFoundError:
        return None


def read_decisions(
    spec: ModelSpec, lake: Lake, instance: dg.DagsterInstance, cursor: str | None
) -> list[DecisionEvent]:
    """The decisions since the cursor, oldest first; without a cursor the latest alone. A broken record is an error."""
    key, after = asset_key(spec.model, Stage.RETRAIN_DECISION), int(cursor) if cursor else None
    since = dg.AssetRecordsFilter(asset_key=key, after_storage_id=after)
    page = instance.fetch_materializations(since, limit=_PAGE if cursor else 1, ascending=cursor is not None)
    return [_decision_event(spec, lake, event) for event in page.records]


def has_run(instance: dg.DagsterInstance, run_key: str) -> bool:
    """True where a run was made for this cause, whatever its result."""
    return instance.get_runs_count(dg.RunsFilter(tags={CAUSE_TAG: run_key})) > 0


def read_pause(lake: Lake, model: str) -> Pause:
    """The latest word of a person; without one retraining is not paused."""
    pause = read_record(Pause, _pause_file(lake, model))
    return pause or Pause(paused=False, who="", why="", since=datetime.min.replace(tzinfo=UTC))


def write_pause(lake: Lake, model: str, pause: Pause) -> None:
    put_bytes(_pause_file(lake, model), to_json(pause))


def _pause_file(lake: Lake, model: str) -> str:
    return record_file(lake, model, Stage.RETRAIN_DECISION, "pause")


def record_file(lake: Lake, model: str, stage: Stage, name: str) -> str:
    return f"{lake.root.rstrip('/')}/{model}/{Layer.RECORDS}/{stage}/{name}.json"


def _read_decision(lake: Lake, model: str, name: str) -> DecisionRecord:
    path = record_file(lake, model, Stage.RETRAIN_DECISION, name)
    record = read_record(DecisionRecord, path)
    if record is None:
        raise FileNotFoundError(path)
    return record


def _decision_event(spec: ModelSpec, lake: Lake, event: dg.EventLogRecord) -> DecisionEvent:
    try:
        record = _read_decision(lake, spec.model, event.run_id)
    except (FileNotFoundError, ValueError) as err:
        raise ValueError(
            f"Run {event.run_id or 'of nobody'} materialised {spec.model}/{Stage.RETRAIN_DECISION}, but its record "
            f"cannot be read: {err}. Materialise the decision again, then set the cursor of "
            f"{retrain_sensor(spec.model)} to {event.storage_id}, so that it goes on behind the broken one."
        ) from err
    return DecisionEvent(event.storage_id, event.timestamp, record)
