"""What runs because something happened: rows that arrived at the source, late ones included."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.domain.spec import Every, ModelSpec
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.sources import Sources
from mlops_assets.stages.common import partitions_of

_INTERVAL = 300  # seconds
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


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
        since = datetime.fromisoformat(context.cursor)
        source = sources.open(spec)
        changed = frozenset[str]().union(*(source.changed(feed, since, now) for feed in spec.source.feeds))
        asked = list(requests(spec, changed, since))
        if not asked:
            return dg.SkipReason(f"No rows arrived since {since:%F %T}.")
        return dg.SensorResult(run_requests=asked, cursor=now.isoformat())

    return sensor


def requests(spec: ModelSpec, changed: frozenset[str], since: datetime) -> Iterator[dg.RunRequest]:
    """One run for each unbroken range of partitions; its key says the cause."""
    definition = partitions_of(spec)
    cause = f"data:{spec.model}:{since.isoformat()}"
    if spec.partitions.every is Every.NONE or definition is None:
        if changed:
            yield dg.RunRequest(run_key=cause)
        return
    for first, last in ranges(definition.get_partition_keys(), changed):
        yield dg.RunRequest(run_key=f"{cause}:{first}:{last}", tags=dict(zip(_RANGE, (first, last), strict=True)))


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
