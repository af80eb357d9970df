"""performance: what answers were worth once their labels are ripe, a record a day, and the estimate before that."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.check_names import LABELS_SOUND, QUALITY_HOLDS
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    days_of,
    partition_keys,
    partitions_of,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import picture, report_partitions, table

if TYPE_CHECKING:
    from mlops_assets.domain.quality.records import Estimated, PerformanceDay
    from mlops_assets.stages.quality.judge import JudgedQuality

_CHECKS = (QUALITY_HOLDS, LABELS_SOUND)
_SHOWN = 30  # days in a picture


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
        from mlops_assets.domain.quality.label_soundness import judge_labels, judge_latest_fall
        from mlops_assets.stages.quality.judge import QualityJudge
        from mlops_assets.stages.quality.reference import VersionReferences
        from mlops_assets.stages.traffic.labelled_days import LabelledDays

        now, asked = clock.now(spec), windows(Every.DAY, partition_keys(context))
        days = QualityJudge(
            spec, LabelledDays(spec, lake, now), VersionReferences(spec, lake, bundles, workspace), monitoring, now
        )
        with workspace.in_turn(spec.model, Stage.PERFORMANCE.value), retried_on_infrastructure():
            judged = days.judge([each.partition for each in asked])
        records = [each.record for each in judged]
        targeted = {each.partition: _of_day(days.records[each.partition]) for each in asked}
        context.log.info("judged %s", ", ".join(each.day for each in records))
        return dg.MaterializeResult(
            metadata=report_partitions(context, asked, _told(spec, judged, days.records), targeted),
            data_version=_version(records),
            check_results=[_checked(judge_latest_fall(records)), _checked(judge_labels(records))],
        )

    return asset


def _labels(spec: ModelSpec) -> dg.AssetDep:
    """The day after the last one that has data is judged too."""
    key = asset_key(spec.model, Stage.VALIDATED_DATA)
    if partitions_of(spec) is None:
        return dg.AssetDep(key)
    return dg.AssetDep(key, partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True))


def _checked(verdict: Verdict) -> dg.AssetCheckResult:
    """A warning, where something is wrong. Not to know yet is what most days begin with: told, and no warning."""
    result = check_result(verdict, blocking=False)
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return result
    return result._replace(passed=True, description=f"Inconclusive: {verdict.reason}")


def _version(records: "Sequence[PerformanceDay]") -> dg.DataVersion:
    """Of what was found; when it was found is no part of it."""
    import hashlib
    from dataclasses import replace

    first = records[0].made_at
    plain = repr([replace(each, made_at=first) for each in records]).replace(repr(first), "")
    return dg.DataVersion(hashlib.sha256(plain.encode()).hexdigest()[:16])


def _of_day(record: "PerformanceDay") -> dict[str, Any]:
    """Numbers that the UI draws over partitions."""
    numbers: dict[str, Any] = {
        "rows": record.rows,
        "labelled": record.labelled,
        "maturity": record.maturity,
        "version": record.version or "nobody answered",
        **_interval(record.metric, record.realised),
        **_interval(f"{record.metric} estimated", record.estimated),
        "fall": record.fall.outcome.value,
        "fall by estimate": record.estimated_fall.outcome.value,
        "trust in estimates": record.trust.outcome.value,
    }
    return numbers if record.business is None else {**numbers, "worth of an answer": record.business}


def _interval(name: str, found: "Estimated | None") -> dict[str, float]:
    return {name: found.value, f"{name} low": found.low, f"{name} high": found.high} if found else {}


def _told(spec: ModelSpec, judged: "Sequence[JudgedQuality]", records: "dict[str, PerformanceDay]") -> dict[str, Any]:
    latest = judged[-1]
    ripe = next((each for each in reversed(judged) if each.found.ripe is not None), latest)
    return {
        "days judged": ", ".join(each.record.day for each in judged),
        "notes": "; ".join(latest.notes) or "none",
        "days": table(_HEAD, (_line(each.record) for each in judged)),
        f"versions and arms on {latest.record.day}": table(
            ("version", "arm", "role", "rows", "labelled", spec.gates.metric),
            ((a.version, a.arm, a.role, a.rows, a.labelled, a.score) for a in latest.arms),
        ),
        f"scores to {ripe.record.day}": table(
            ("metric", "score"), ((each.metric, each.interval or each.problem) for each in ripe.found.scores)
        ),
        f"fairness to {ripe.record.day}": table(("attribute", "measure", "difference"), _fairness(ripe)),
        **{name: picture(png, name) for name, png in _pictures(spec, latest, ripe, records)},
    }


_HEAD = ("day", "version", "rows", "labelled", "maturity", "realised", "estimated", "odd", "verdict")


def _line(record: "PerformanceDay") -> tuple[Any, ...]:
    odd = ", ".join(f"{count:,} {name}" for name, count in record.odd.items() if count)
    scores = (f"{each.value:.4f} ({each.low:.4f} to {each.high:.4f})" if each else "" for each in _both(record))
    return (
        record.day, record.version, record.rows, record.labelled, f"{record.maturity:.1%}", *scores, odd,
        record.fall.reason,
    )  # fmt: skip


def _both(record: "PerformanceDay") -> "tuple[Estimated | None, Estimated | None]":
    return record.realised, record.estimated


def _fairness(judgement: "JudgedQuality") -> Iterator[tuple[str, str, str]]:
    for each in judgement.fairness.disparities:
        yield each.attribute, each.measure, f"{each.difference}, limit {each.limit:g}"
    for problem in judgement.fairness.unmeasured:
        yield problem, "", ""


def _pictures(
    spec: ModelSpec, latest: "JudgedQuality", ripe: "JudgedQuality", records: "dict[str, PerformanceDay]"
) -> "Iterator[tuple[str, bytes]]":
    from mlops_assets.resources.plots import evaluation as plots
    from mlops_assets.resources.plots import quality as performance_plots

    days = [record for _, record in sorted(records.items())][-_SHOWN:]
    yield "quality over days", performance_plots.draw_quality_by_day(days, spec.monitoring.quality.fall)
    yield "estimated and realised", performance_plots.draw_estimate_and_realised(days)
    yield "label delay", performance_plots.draw_label_delay(latest.curve, spec.monitoring.quality.maturity)
    if ripe.slices and ripe.record.recent and ripe.record.recent.realised:
        yield "slices", plots.slices(ripe.slices, ripe.record.recent.realised.value, ripe.record.metric)
    if ripe.calibration is not None:
        found, rows = ripe.calibration
        yield "calibration", plots.calibration(found, rows.scores, spec.target.kind)
