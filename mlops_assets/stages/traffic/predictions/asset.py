"""predictions: what the endpoint answered and what came of it, a Parquet partition a day, each row once."""

import dagster as dg

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.check_names import KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    days_of,
    partition_keys,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import data_version, report_partitions

_CHECKS = (KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG)


def predictions(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, predictions]`."""

    @stage_asset(
        spec,
        Stage.PREDICTIONS,
        "parquet",
        deps=[asset_key(spec.model, Stage.DEPLOYED_ENDPOINT)],
        partitions_def=days_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.PREDICTIONS, name) for name in _CHECKS],
        description="Answers and outcomes of a day from the endpoint's log, compacted; each row once.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        lake: Lake,
        traffic: Traffic,
        workspace: Workspace,
        registry: Registry,
        ledger: Ledger,
        clock: Clock,
    ) -> dg.MaterializeResult:
        from mlops_assets.stages.traffic.predictions import collect, judge, publish

        now, days = clock.now(spec), windows(Every.DAY, partition_keys(context))
        with workspace.in_turn(spec.model, Stage.PREDICTIONS.value) as folder, retried_on_infrastructure():
            compacted = collect.compact_days(spec, days, lake=lake, traffic=traffic, folder=folder, now=now)
            verdicts = judge.judge_logs(spec, compacted, registry, ledger)
            before = now - spec.serving.log_retention
            sound = all(verdict.passed for verdict in verdicts)
            removed = publish.remove_segments(spec, lake, compacted.logs, before) if sound else []
        context.log.info("%s rows of answers, %s of them new", f"{compacted.rows:,}", f"{compacted.added:,}")
        whole = publish.build_metadata(spec, compacted, removed)
        return dg.MaterializeResult(
            metadata=report_partitions(context, days, whole, publish.build_day_metadata(compacted)),
            data_version=data_version(
                {kind: each.snapshot for kind, each in day.items()} for day in compacted.days.values()
            ),
            check_results=[check_result(verdict) for verdict in verdicts],
        )

    return asset
