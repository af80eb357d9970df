"""drift_report: a day of live rows against the training data of the version that answered them."""

import dagster as dg

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.check_names import DRIFT_ALARM, INPUT_QUALITY
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    days_of,
    partition_keys,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import report_partitions


def drift_report(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, drift_report]`."""

    @stage_asset(
        spec,
        Stage.DRIFT_REPORT,
        "evidently",
        deps=[asset_key(spec.model, Stage.PREDICTIONS)],
        partitions_def=days_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            check_spec(spec, Stage.DRIFT_REPORT, name, blocking=False) for name in (DRIFT_ALARM, INPUT_QUALITY)
        ],
        description="Live rows of a day against the training data: columns, answers, outcomes, quality of the input.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        lake: Lake,
        monitoring: Monitoring,
        bundles: Bundles,
        features: FeatureStore,
        registry: Registry,
        deployment: Deployment,
        clock: Clock,
        workspace: Workspace,
    ) -> dg.MaterializeResult:
        from mlops_assets.stages.drift import collect, judge, publish

        days, now = tuple(windows(Every.DAY, partition_keys(context))), clock.now(spec)
        collector = collect.DriftCollector(spec, days, now, lake, monitoring, bundles, workspace)
        each, whole, verdicts = {}, {}, []
        for day in days:
            with retried_on_infrastructure():
                judged = judge.judge_drift_day(collector, day)
                # written first: the verdict remains if the feature store or the page fails
                record = publish.build_record(judged, publish.NO_REACH, "", now)
                monitoring.write(spec.model, Stage.DRIFT_REPORT, record)
                reach = publish.find_reach(spec, judged, deployment=deployment, bundles=bundles, features=features)
                shown = day is days[-1] or judged.drifted
                page = publish.publish_page(spec, judged, registry, context.run.run_id) if shown else ""
                monitoring.write(spec.model, Stage.DRIFT_REPORT, publish.build_record(judged, reach, page, now))
            each[day.partition] = publish.build_day_metadata(judged.report, page)
            if day is days[-1]:
                reports = judge.read_reports(collector, day.partition)
                whole = publish.build_metadata(spec, judged, reach=reach, page=page, reports=reports, lake=lake.root)
                verdicts = [judged.report.alarm, judged.report.quality]
            context.log.info("%s: %s", day.partition, judged.report.window.reason)
        return dg.MaterializeResult(
            metadata=report_partitions(context, days, whole, each),
            check_results=[check_result(verdict, blocking=False) for verdict in verdicts],
        )

    return asset
