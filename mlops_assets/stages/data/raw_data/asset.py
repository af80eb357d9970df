"""raw_data: the source's rows as they came, a snapshot a feed and partition. Judges, changes nothing."""

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import RAW_CHECKS
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.sources.sources import Sources
from mlops_assets.stages.common import (
    check_result,
    check_spec,
    partition_keys,
    partitions_of,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import counts, data_version, report_partitions


def raw_data(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, raw_data]`."""

    @stage_asset(
        spec,
        Stage.RAW_DATA,
        "parquet",
        partitions_def=partitions_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.RAW_DATA, name, blocking=False) for name in RAW_CHECKS],
        description=f"Rows of {', '.join(spec.source.feeds)} as they came, with a content hash.",
    )
    def asset(context: dg.AssetExecutionContext, sources: Sources, lake: Lake, clock: Clock) -> dg.MaterializeResult:
        from mlops_assets.stages.data.raw_data import read_feeds

        run_windows = windows(spec.partitions.every, partition_keys(context))
        with retried_on_infrastructure():
            feeds = read_feeds.read_feeds(spec, run_windows, source=sources.open(spec), lake=lake, now=clock.now(spec))
        after = {each.arrival.feed: each.arrival.after for each in feeds}
        by_partition = {each.partition: counts(after, each.partition) for each in run_windows}
        return dg.MaterializeResult(
            metadata=report_partitions(context, run_windows, read_feeds.describe_run(feeds, run_windows), by_partition),
            data_version=data_version(after.values()),
            check_results=[check_result(verdict, blocking=False) for verdict in read_feeds.judge_arrivals(feeds)],
        )

    return asset  # pyright: ignore[reportReturnType]  # of `**arguments` it takes dg.asset for a bare decorator
