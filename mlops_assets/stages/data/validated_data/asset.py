"""validated_data: rows that hold what is declared. A broken schema stops everything downstream."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import ONLY_WARNS, QUARANTINE, SCHEMA, vital_checks
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import Window, windows
from mlops_assets.domain.verdict import Verdict
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
from mlops_assets.stages.metadata import counts, data_version, report_partitions

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from mlops_assets.stages.data.validated_data.validate_partition import Line, ValidatedFeed

_CAUSES = 3  # told in the check; all of them stand in the table
_HEAD = "| feed | column | expectation | severity | rows failing | share |\n|---|---|---|---|---:|---:|\n"


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
        from mlops_assets.domain.data.schema import judge_schema
        from mlops_assets.stages.data.validated_data.partition_inputs import held, observed
        from mlops_assets.stages.data.validated_data.validate_partition import validate

        now = clock.now(spec)
        asked = windows(spec.partitions.every, partition_keys(context))
        feeds = [held(spec, feed, feed_windows(feed, asked), lake) for feed in spec.source.feeds.values()]
        schema = judge_schema(
            spec, [each for feed in feeds for each in observed(feed)], accept=config.accept_new_schema
        )
        yield check_result(schema)
        if not schema.passed:
            raise dg.Failure(schema.reason, allow_retries=False)
        outcomes = [validate(spec, each, lake, now) for each in feeds]
        after = {each.vitals.feed: each.after for each in outcomes}
        frame, results = _judged(spec, outcomes, now)
        each_partition = {each.partition: _counts(outcomes, each.partition) for each in asked}
        yield dg.MaterializeResult(
            metadata=report_partitions(context, asked, _whole(outcomes, frame, asked), each_partition),
            data_version=data_version(after.values()),
            check_results=results,
        )

    return asset  # pyright: ignore[reportReturnType]  # of `**arguments` it takes dg.asset for a bare decorator


def _judged(
    spec: ModelSpec, outcomes: "Sequence[ValidatedFeed]", now: "datetime"
) -> "tuple[pd.DataFrame, list[dg.AssetCheckResult]]":
    """The vital signs of every partition, and the checks on them."""
    from mlops_assets.domain.data.vitals import judge_vitals, limits_of, vitals_frame
    from mlops_assets.resources.checks.expectations import judge_between

    frame = vitals_frame([each.vitals for each in outcomes], spec.validation, now)
    limits = limits_of(spec.validation, frame)
    verdicts = judge_vitals(frame, limits, judge_between(frame, limits), spec.validation)
    verdicts = [_with_causes(each, outcomes) if each.name == QUARANTINE else each for each in verdicts]
    return frame, [check_result(verdict, blocking=verdict.name not in ONLY_WARNS) for verdict in verdicts]


def _with_causes(verdict: Verdict, outcomes: "Sequence[ValidatedFeed]") -> Verdict:
    """What most of the refused rows have in common: who reads a log sees no table."""
    lines = [line for each in outcomes for line in each.lines if line.failing and line.severity == "error"]
    most = sorted(lines, key=lambda line: -line.failing)[:_CAUSES]
    if verdict.passed or not most:
        return verdict
    told = "; ".join(f"{line.feed}.{line.column} {line.expectation} ({line.failing:,} rows)" for line in most)
    return replace(verdict, reason=f"{verdict.reason} Most often: {told}.")


def _whole(outcomes: "Sequence[ValidatedFeed]", frame: "pd.DataFrame", asked: Sequence[Window]) -> dict[str, Any]:
    rows, wrong = int(frame["rows"].sum()), int(frame["quarantined_rows"].sum())
    untimed = sum(each.untimed for each in outcomes)
    return {
        "rows in": rows + untimed,
        "rows valid": rows - wrong,
        "rows quarantined": wrong + untimed,
        "expectations": dg.MetadataValue.md(_HEAD + "\n".join(_line(line) for each in outcomes for line in each.lines)),
        "quarantine": dg.MetadataValue.md(_picture(outcomes, [each.partition for each in asked])),
    }


def _line(line: "Line") -> str:
    share = line.failing / line.rows if line.rows else 0.0
    text = line.expectation.replace("|", "\\|")
    return f"| {line.feed} | {line.column} | {text} | {line.severity} | {line.failing:,} | {share:.3%} |"


def _picture(outcomes: "Sequence[ValidatedFeed]", partitions: Sequence[str]) -> str:
    from mlops_assets.resources.plots.data import draw_rows_by_partition, inline

    shown = [each.vitals for each in outcomes if [window.partition for window in each.vitals.windows] == partitions]
    rows, wrong = ({each.feed: getattr(each, part) for each in shown} for part in ("rows", "quarantined"))
    return (
        inline(draw_rows_by_partition(rows, partitions, wrong), "rows and quarantined rows by partition")
        if shown
        else ""
    )


def _counts(outcomes: "Sequence[ValidatedFeed]", partition: str) -> dict[str, Any]:
    wrong = {
        f"quarantined/{each.vitals.feed}": each.quarantined[partition]
        for each in outcomes
        if partition in each.quarantined
    }
    return {**counts({each.vitals.feed: each.after for each in outcomes}, partition), **wrong}
