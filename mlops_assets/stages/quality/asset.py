"""performance: quality on ripe labels and the estimate before that, one record a day."""

import dagster as dg

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.check_names import LABELS_SOUND, QUALITY_HOLDS
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.common import (
    asset_key,
    check_spec,
    days_of,
    partition_keys,
    partitions_of,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import report_partitions

_CHECKS = (QUALITY_HOLDS, LABELS_SOUND)


def performance(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, performance]`."""

    @stage_asset(
        spec,
        Stage.PERFORMANCE,
        "python",
        deps=[asset_key(spec.model, Stage.PREDICTIONS), _labels(spec)],
        partitions_def=days_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.PERFORMANCE, name, blocking=False) for name in _CHECKS],
        description="Answers of a day beside what came of them: quality on ripe labels, and the estimate before.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        lake: Lake,
        bundles: Bundles,
        monitoring: Monitoring,
        workspace: Workspace,
        clock: Clock,
    ) -> dg.MaterializeResult:
        from mlops_assets.stages.quality import collect, publish

        now, days = clock.now(spec), windows(Every.DAY, partition_keys(context))
        collector = collect.QualityCollector.open(spec, now, lake=lake, bundles=bundles, workspace=workspace)
        with workspace.in_turn(spec.model, Stage.PERFORMANCE.value), retried_on_infrastructure():
            judged = publish.publish_days(collector, monitoring, [day.partition for day in days])
        records = collector.records
        each_day = {day.partition: publish.build_day_metadata(records[day.partition]) for day in days}
        context.log.info("judged %s", ", ".join(each.record.day for each in judged))
        return dg.MaterializeResult(
            metadata=report_partitions(context, days, publish.build_metadata(spec, judged, records), each_day),
            data_version=publish.build_data_version(judged),
            check_results=publish.check_records(judged),
        )

    return asset


def _labels(spec: ModelSpec) -> dg.AssetDep:
    """The day after the last one that has data is judged too."""
    key = asset_key(spec.model, Stage.VALIDATED_DATA)
    if partitions_of(spec) is None:
        return dg.AssetDep(key)
    return dg.AssetDep(key, partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True))
