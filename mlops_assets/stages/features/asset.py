"""features: the rows of each feature view in the offline store, then the online store brought up to the same moment."""

from collections.abc import Sequence

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import ONLINE
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    partition_keys,
    partitions_of,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import counts, data_version, report_partitions


def features(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, features]`."""

    @stage_asset(
        spec,
        Stage.FEATURES,
        "feast",
        "parquet",
        deps=[asset_key(spec.model, Stage.VALIDATED_DATA)],
        partitions_def=partitions_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.FEATURES, name) for name in _checks(spec)],
        description="Feature rows by view, point in time; the online store stands at the same moment.",
    )
    def asset(
        context: dg.AssetExecutionContext, lake: Lake, features: FeatureStore, clock: Clock
    ) -> dg.MaterializeResult:
        from mlops_assets.stages.features import build_rows, publish

        run_windows = windows(spec.partitions.every, partition_keys(context))
        run = build_rows.FeatureRun(spec, run_windows, lake, clock.now(spec))
        with retried_on_infrastructure():
            written = publish.write_features(run, features)
            until = publish.bring_online(written, features, run.now)
            compared = [publish.compare_stores(run, written, features)] if _checks(spec) else []
        after = {view: dict(snapshots) for view, snapshots in written.views.items()}
        by_partition = {each.partition: counts(after, each.partition) for each in run_windows}
        return dg.MaterializeResult(
            metadata=report_partitions(context, run_windows, publish.describe_views(written, until), by_partition),
            data_version=data_version(after.values()),
            check_results=[check_result(each, blocking=each.outcome is not Outcome.INCONCLUSIVE) for each in compared],
        )

    return asset


def _checks(spec: ModelSpec) -> Sequence[str]:
    """Rows that bring their own features have no online values that could differ from the offline ones."""
    return [ONLINE] if spec.features.service or spec.features.entity else []
