"""Each day of live traffic, once it is over in the model's time: log, quality, drift, decision.

A model that lives in the past follows the replay's clock, the others the wall clock. A day that was missed is made up
for. `performance` itself judges earlier days again whose labels were still to come.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mlops_assets.automation.jobs import asset_job
from mlops_assets.automation.run_requests import (
    UNREADABLE,
    range_tags,
    request_run,
    retry_failed,
    skip_unreadable,
    unbroken_ranges,
)
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.registry.champions import holds_release
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.stages.common import asset_key, days_of
from mlops_assets.stages.retraining.stored_decisions import LIVE

_STAGES = (Stage.PREDICTIONS, Stage.PERFORMANCE, Stage.DRIFT_REPORT, Stage.RETRAIN_DECISION)
_INTERVAL = 60  # seconds
_FLUSHED = timedelta(minutes=15)  # after midnight, when the day's answers have long been written
_MOST_DAYS = 31  # of one run


def watch_job_name(model: str) -> str:
    return f"{model}_watch"


def watch_job(spec: ModelSpec) -> Any:
    """A day, or a range of them, from the log to the decision."""
    text = f"Judges the answers that {spec.model} gave on a day: quality, drift, and whether it is trained again."
    return asset_job(spec, watch_job_name(spec.model), _STAGES, text)


def watch_sensor(spec: ModelSpec, watch: Any) -> dg.SensorDefinition:
    """Requests the days that are over and were not watched yet."""

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
            return request_due_days(spec, context.instance, ledger, clock.now(spec))
        except UNREADABLE as err:
            return skip_unreadable("The days that are due cannot be determined", err)

    return sensor


def request_due_days(
    spec: ModelSpec, instance: dg.DagsterInstance, ledger: Ledger, now: datetime
) -> list[dg.RunRequest] | dg.SkipReason:
    """The runs that are due, or why none is."""
    released = [entry.time for entry in ledger.entries(spec.model) if holds_release(entry)]
    if not released:
        return dg.SkipReason(f"{spec.model} has no release yet, so there are no answers to watch.")
    over = days_over(spec, min(released), now)
    done = [_materialized(spec, instance, stage) for stage in (Stage.PERFORMANCE, Stage.DRIFT_REPORT)]
    due = [day for day in over if not all(day in days for days in done)]
    if not due:
        return dg.SkipReason(f"Every day up to {over[-1] if over else 'now'} was watched.")
    busy = dg.RunsFilter(job_name=watch_job_name(spec.model), statuses=list(LIVE))
    if instance.get_runs_count(busy):
        return dg.SkipReason(f"{len(due)} days are due; a run for earlier ones goes on.")
    prepared = [retry_failed(request, instance) for request in _requests(spec, over, due[:_MOST_DAYS])]
    requests = [each for each in prepared if isinstance(each, dg.RunRequest)]
    return requests or next(each for each in prepared if isinstance(each, dg.SkipReason))


def days_over(spec: ModelSpec, first: datetime, now: datetime) -> list[str]:
    """The days from the first release on that are over."""
    names = days_of(spec).get_partition_keys(current_time=now)
    return [day for day in names if day >= f"{first:%Y-%m-%d}" and _end(day) + _FLUSHED <= now]


def _end(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def _materialized(spec: ModelSpec, instance: dg.DagsterInstance, stage: Stage) -> Collection[str]:
    return instance.get_materialized_partitions(asset_key(spec.model, stage))


def _requests(spec: ModelSpec, over: Sequence[str], due: Sequence[str]) -> Iterator[dg.RunRequest]:
    """One run for each unbroken range."""
    for first, last in unbroken_ranges(over, frozenset(due)):
        yield request_run(spec.model, f"watch:{spec.model}:{first}:{last}", tags=range_tags(first, last))
