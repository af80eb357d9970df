"""Runs the data again for the partitions in which rows arrived at the source, late ones included."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.automation.run_requests import range_tags, unbroken_ranges
from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import SNAPSHOT
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.sources.sources import Sources
from mlops_assets.stages.common import partitions_of

_INTERVAL = 300  # seconds


def new_data_sensor(spec: ModelSpec, data: Any) -> dg.SensorDefinition:
    """Requests the partitions that hold rows which arrived since the last tick."""

    @dg.sensor(
        name=f"{spec.model}_new_data",
        job=data,
        minimum_interval_seconds=_INTERVAL,
        description=f"Runs the data of {spec.model} again where rows arrived, in whichever partition they belong.",
    )
    def sensor(context: dg.SensorEvaluationContext, sources: Sources, clock: Clock) -> dg.SensorResult | dg.SkipReason:
        now = clock.now(spec)
        if context.cursor is None:
            return dg.SensorResult(
                skip_reason="First tick: rows that arrive from now on count.", cursor=now.isoformat()
            )
        since, waiting = _read_cursor(context.cursor)
        source = sources.open(spec)
        changed = waiting.union(*(source.changed(feed, since, now) for feed in spec.source.feeds))
        requests, waiting_now = list(request_partitions(spec, changed, since)), open_partitions(spec, changed)
        if not requests and waiting_now == waiting:
            return dg.SkipReason(f"No rows arrived since {since:%F %T} in a partition that is over.")
        return dg.SensorResult(run_requests=requests, cursor=_write_cursor(now, waiting_now))

    return sensor


def request_partitions(spec: ModelSpec, changed: frozenset[str], since: datetime) -> Iterator[dg.RunRequest]:
    """One run for each unbroken range of partitions; its key says the cause."""
    definition = partitions_of(spec)
    cause = f"data:{spec.model}:{since.isoformat()}"
    if spec.partitions.every is Every.NONE or definition is None:
        if changed:
            yield dg.RunRequest(run_key=cause)
        return
    keys = definition.get_partition_keys()
    if SNAPSHOT in changed and keys:  # a feed without time: every run reads it, the latest partition's too
        changed = changed | {keys[-1]}
    for first, last in unbroken_ranges(keys, changed):
        yield dg.RunRequest(run_key=f"{cause}:{first}:{last}", tags=range_tags(first, last))


def open_partitions(spec: ModelSpec, changed: frozenset[str]) -> frozenset[str]:
    """Partitions with new rows that are not over: they are requested once they are."""
    definition = partitions_of(spec)
    if definition is None:
        return frozenset()
    keys = definition.get_partition_keys()
    return frozenset(name for name in changed if name != SNAPSHOT and (not keys or name > keys[-1]))


def _read_cursor(cursor: str) -> tuple[datetime, frozenset[str]]:
    moment, _, waiting = cursor.partition("|")
    return datetime.fromisoformat(moment), frozenset(waiting.split(",")) - {""}


def _write_cursor(now: datetime, waiting: frozenset[str]) -> str:
    return f"{now.isoformat()}|{','.join(sorted(waiting))}" if waiting else now.isoformat()
