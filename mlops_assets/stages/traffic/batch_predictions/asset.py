"""batch_predictions: the champion's answer for every validated example, with the features known at its moment."""

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.common import asset_key, partition_keys, partitions_of, retried_on_infrastructure, stage_asset
from mlops_assets.stages.metadata import counts, data_version, report_partitions


def batch_predictions(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, batch_predictions]`."""

    @stage_asset(
        spec,
        Stage.BATCH_PREDICTIONS,
        "onnx",
        "parquet",
        deps=[asset_key(spec.model, Stage.FEATURES), asset_key(spec.model, Stage.REGISTERED_VERSION)],
        partitions_def=partitions_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        description="The champion's answer for every example of a partition, straight on its bundle.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        lake: Lake,
        features: FeatureStore,
        bundles: Bundles,
        registry: Registry,
        clock: Clock,
    ) -> dg.MaterializeResult:
        from mlops_assets.stages.traffic.batch_predictions import batch_run

        now = clock.now(spec)
        run_windows = windows(spec.partitions.every, partition_keys(context))
        with retried_on_infrastructure():
            champion = batch_run.open_champion(spec, registry, bundles)
            batch = batch_run.BatchRun(spec, champion, lake, features, now)
            batch.check(names := [each.partition for each in run_windows])
            for name in names:
                batch.answer(name)
                context.log.info("%s: %s rows", name, f"{batch.written[name].rows:,}")
        after = {batch_run.TABLE: batch.written}
        each = {name: counts(after, name) for name in names}
        return dg.MaterializeResult(
            metadata=report_partitions(context, run_windows, batch.metadata(), each),
            data_version=data_version(after.values()),
        )

    return asset
