"""What runs because something happened: rows that arrived at the source, late ones included."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import SNAPSHOT
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.sources.declared import Sources
from mlops_assets.stages.common import partitions_of

_INTERVAL = 300  # seconds
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def sensors_of(spec: ModelSpec, *, data: Any) -> list[dg.SensorDefinition]:
    return [new_data(spec, data)]


def new_data(spec: ModelSpec, data: Any) -> dg.SensorDefinition:
    """Asks for the partitions that hold rows which arrived since the last look."""

    @dg.sensor(
        name=f"{spec.model}_new_data",
        job=data,
        minimum_interval_seconds=_INTERVAL,
        description=f"Runs the data of {spec.model} again where rows arrived, in whichever partition they belong.",
    )
    def sensor(context: dg.SensorEvaluationContext, sources: Sources, clock: Clock) -> dg.SensorResult | dg.SkipReason:
        now = clock.now(spec)
        if context.cursor is None:
            return dg.SensorResult(skip_reason="First look: what arrives from now on counts.", cursor=now.isoformat())
        since, waiting = _read(context.cursor)
        source = sources.open(spec)
        changed = waiting.union(*(source.changed(feed, since, now) for feed in spec.source.feeds))
        asked, open_still = list(requests(spec, changed, since)), still_open(spec, changed)
        if not asked and open_still == waiting:
            return dg.SkipReason(f"No rows arrived since {since:%F %T} in a partition that is over.")
        return dg.SensorResult(run_requests=asked, cursor=_written(now, open_still))

    return sensor


def requests(spec: ModelSpec, changed: frozenset[str], since: datetime) -> Iterator[dg.RunRequest]:
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
    for first, last in ranges(keys, changed):
        yield dg.RunRequest(run_key=f"{cause}:{first}:{last}", tags=dict(zip(RANGE, (first, last), strict=True)))


def still_open(spec: ModelSpec, changed: frozenset[str]) -> frozenset[str]:
    """Partitions with new rows that are not over: they are asked for once they are."""
    definition = partitions_of(spec)
    if definition is None:
        return frozenset()
    keys = definition.get_partition_keys()
    return frozenset(name for name in changed if name != SNAPSHOT and (not keys or name > keys[-1]))


def _read(cursor: str) -> tuple[datetime, frozenset[str]]:
    moment, _, waiting = cursor.partition("|")
    return datetime.fromisoformat(moment), frozenset(waiting.split(",")) - {""}


def _written(now: datetime, waiting: frozenset[str]) -> str:
    return f"{now.isoformat()}|{','.join(sorted(waiting))}" if waiting else now.isoformat()


def ranges(keys: Sequence[str], wanted: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The unbroken runs of wanted keys, as first and last."""
    first = last = None
    for key in keys:
        if key in wanted:
            first, last = first or key, key
        elif first is not None and last is not None:
            yield first, last
            first = last = None
    if first is not None and last is not None:
        yield first, last
