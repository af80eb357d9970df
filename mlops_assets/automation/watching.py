"""Each day of live traffic, once it is over in the model's time: log, quality, drift, decision.

One sensor for all models: for one that lives in the past it follows the replay's clock, for the others the wall's. A
day that was missed is made up for. Days whose labels were still to come are judged again with every later one: that
is the business of `performance`.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mlops_assets.automation.jobs import asset_job
from mlops_assets.automation.rollout import again
from mlops_assets.automation.sensors import RANGE, ranges
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CAUSE_TAG, MODEL_TAG, Stage
from mlops_assets.domain.registry.ledger import holds_release
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError
from mlops_assets.stages.common import asset_key, days_of
from mlops_assets.stages.retraining.collect import LIVE

WATCHED = (Stage.PREDICTIONS, Stage.PERFORMANCE, Stage.DRIFT_REPORT, Stage.RETRAIN_DECISION)
_INTERVAL = 60  # seconds
_FLUSHED = timedelta(minutes=15)  # after midnight, when what was answered before it has long been written
_AT_ONCE = 31  # days of one run
_UNREADABLE = (OSError, LedgerBrokenError, ValueError, LookupError)


def watch_job_name(model: str) -> str:
    return f"{model}_watch"


def watch_job(spec: ModelSpec) -> Any:
    """A day, or a range of them, from the log to the decision."""
    told = f"What {spec.model} answered on a day: quality, drift, and whether it is trained again."
    return asset_job(spec, watch_job_name(spec.model), WATCHED, told)


def watch_sensor(spec: ModelSpec, watch: Any) -> dg.SensorDefinition:
    """Asks for the days that are over and were not watched yet."""

    @dg.sensor(
        name=watch_job_name(spec.model),
        job=watch,
        minimum_interval_seconds=_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs {watch_job_name(spec.model)} for each day that is over in the model's time.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, ledger: Ledger, clock: Clock
    ) -> list[dg.RunRequest] | dg.SkipReason:
        try:
            return look(spec, context.instance, ledger, clock.now(spec))
        except _UNREADABLE as err:
            return dg.SkipReason(f"It cannot be told which days are due: {type(err).__name__}: {err}")

    return sensor


def look(
    spec: ModelSpec, instance: dg.DagsterInstance, ledger: Ledger, now: datetime
) -> list[dg.RunRequest] | dg.SkipReason:
    """One look: the runs that are due, or why none is."""
    released = [entry.time for entry in ledger.entries(spec.model) if holds_release(entry)]
    if not released:
        return dg.SkipReason(f"{spec.model} has no release yet: nothing is answered.")
    over = days_over(spec, min(released), now)
    done = [_materialized(spec, instance, stage) for stage in (Stage.PERFORMANCE, Stage.DRIFT_REPORT)]
    due = [day for day in over if not all(day in each for each in done)]
    if not due:
        return dg.SkipReason(f"Every day up to {over[-1] if over else 'now'} was watched.")
    busy = dg.RunsFilter(job_name=watch_job_name(spec.model), statuses=list(LIVE))
    if instance.get_runs_count(busy):
        return dg.SkipReason(f"{len(due)} days are due; a run for earlier ones goes on.")
    found = [again(request, instance) for request in _requests(spec, over, due[:_AT_ONCE])]
    requests = [each for each in found if isinstance(each, dg.RunRequest)]
    return requests or next(each for each in found if isinstance(each, dg.SkipReason))


def days_over(spec: ModelSpec, first: datetime, now: datetime) -> list[str]:
    """The days from the first release on that are over."""
    days = days_of(spec)
    names = days.get_partition_keys(current_time=now)
    return [day for day in names if day >= f"{first:%Y-%m-%d}" and _end(day) + _FLUSHED <= now]


def _end(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def _materialized(spec: ModelSpec, instance: dg.DagsterInstance, stage: Stage) -> Collection[str]:
    return instance.get_materialized_partitions(asset_key(spec.model, stage))


def _requests(spec: ModelSpec, over: Sequence[str], due: Sequence[str]) -> Iterator[dg.RunRequest]:
    """One run for each unbroken range."""
    for first, last in ranges(over, frozenset(due)):
        cause = f"watch:{spec.model}:{first}:{last}"
        tags = {**dict(zip(RANGE, (first, last), strict=True)), MODEL_TAG: spec.model, CAUSE_TAG: cause}
        yield dg.RunRequest(run_key=cause, tags=tags)
