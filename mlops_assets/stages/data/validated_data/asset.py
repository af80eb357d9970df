"""validated_data: rows that hold what is declared. A broken schema stops everything downstream."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import ONLY_WARNS, SCHEMA, vital_checks
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    feed_windows,
    partition_keys,
    partitions_of,
    stage_asset,
)
from mlops_assets.stages.metadata import data_version, report_partitions


class Validation(dg.Config):
    """What a person may say when launching."""

    accept_new_schema: bool = Field(
        default=False,
        description="Take missing and changed columns as meant: from now on they are the schema.",
    )


def validated_data(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, validated_data]`."""
    checks = [SCHEMA, *vital_checks(spec.validation)]

    @stage_asset(
        spec,
        Stage.VALIDATED_DATA,
        "greatexpectations",
        "parquet",
        deps=[asset_key(spec.model, Stage.RAW_DATA)],
        partitions_def=partitions_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.VALIDATED_DATA, name, blocking=name not in ONLY_WARNS) for name in checks],
        description="Rows that hold what is declared; the others wait in quarantine with their reasons.",
    )
    def asset(
        context: dg.AssetExecutionContext, config: Validation, lake: Lake, clock: Clock
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        from mlops_assets.stages.data.validated_data import partition_inputs, publish, validate_partition

        now, run_windows = clock.now(spec), windows(spec.partitions.every, partition_keys(context))
        feeds = [
            partition_inputs.read_inputs(spec, feed, feed_windows(feed, run_windows), lake)
            for feed in spec.source.feeds.values()
        ]
        schema = partition_inputs.judge_columns(spec, feeds, accept=config.accept_new_schema)
        yield check_result(schema)
        if not schema.passed:
            raise dg.Failure(schema.reason, allow_retries=False)
        validated = [validate_partition.validate_feed(each, now) for each in feeds]
        frame, verdicts = publish.judge_feeds(spec, validated, now)
        by_partition = {each.partition: publish.count_rows(validated, each.partition) for each in run_windows}
        whole = publish.describe_run(validated, frame, run_windows)
        yield dg.MaterializeResult(
            metadata=report_partitions(context, run_windows, whole, by_partition),
            data_version=data_version(each.after for each in validated),
            check_results=[check_result(each, blocking=each.name not in ONLY_WARNS) for each in verdicts],
        )

    return asset  # pyright: ignore[reportReturnType]  # of `**arguments` it takes dg.asset for a bare decorator
