"""Publishes a judged day: its record, its metadata, its pictures and the page to browse."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.drift.blast_radius import BlastRadius, trace_blast_radius
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference
from mlops_assets.domain.drift.report import DriftReport
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch
from mlops_assets.domain.drift.strength import describe_column, measure_strengths
from mlops_assets.domain.names import Stage
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.plots.drift import draw_category_change, draw_drift_by_day, draw_number_change
from mlops_assets.resources.plots.drift_page import ROWS, build_drift_page
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.stages.drift.blast_radius import feature_name, find_views, read_released_lineage
from mlops_assets.stages.drift.judge import JudgedDrift
from mlops_assets.stages.metadata import picture, table

PAGE = "drift.html"
_PICTURES = 12  # drifted columns that are drawn
_LINES = 60  # findings in the table; all are in the JSON


@dataclass(frozen=True)
class DriftReach:
    """What uses the columns that drifted, and which lineage could not be read."""

    radius: BlastRadius
    problems: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.radius.features, *self.radius.models, *self.radius.endpoints)


NO_REACH = DriftReach(BlastRadius((), (), (), (), ()), ())


def find_reach(
    spec: ModelSpec, judged: JudgedDrift, *, deployment: Deployment, bundles: Bundles, features: FeatureStore
) -> DriftReach:
    """Find what uses the day's drifted columns. Nothing is read where none drifted."""
    columns = drifted_features(judged)
    if not columns or judged.opened is None:
        return NO_REACH
    service = judged.opened.bundle.contract.feature_service
    views = find_views(features, spec.model, service, columns)
    released = read_released_lineage(deployment, bundles, features)
    used = [feature_name(view, name) for name, view in views.items()]
    return DriftReach(trace_blast_radius(used, released.lineage), released.problems)


def drifted_features(judged: JudgedDrift) -> tuple[str, ...]:
    """The features that drifted; a vector is replaced by its numbered columns, which are what a view provides."""
    if judged.opened is None:
        return ()
    known = judged.opened.features
    found = [part for name in judged.report.window.columns for part in _parts(name, known)]
    return tuple(dict.fromkeys(found))


def _parts(column: str, features: tuple[str, ...]) -> list[str]:
    if column in features:
        return [column]
    return [name for name in features if name.rpartition("_")[0] == column]


def build_record(judged: JudgedDrift, reach: DriftReach, page: str, now: datetime) -> DriftDay:
    """What other stages read of the day."""
    report, window = judged.report, judged.report.window
    numbers = {
        "rows": float(window.rows),
        "tests": float(len(window.findings)),
        "drifted": float(len(window.drifted)),
    }
    return DriftDay(
        day=report.day,
        version=report.version,
        bundle=report.bundle,
        rows=window.rows,
        verdict=Verdict("drift", window.outcome, window.reason, numbers),
        alarm=report.alarm,
        announced=report.event.announced if report.event else "",
        columns=drifted_features(judged),
        touched=reach.names,
        report=page,
        made_at=now,
    )


def publish_page(spec: ModelSpec, judged: JudgedDrift, registry: Registry, dagster_run: str) -> str:
    """Evidently's page as an artefact of an MLflow run; returns the address that opens it. Empty: nothing to draw.

    One run a day in the experiment `<model>-monitoring`; a day that is judged again goes into the same run.
    """
    report = judged.report
    if judged.training is None or judged.opened is None or not len(judged.live):
        return ""
    contract = judged.opened.bundle.contract
    there = set(judged.live.column_names)
    page = build_drift_page(
        judged.training,
        judged.live,
        numbers=[name for name in contract.numbers if name in there],
        categories=[name for name in contract.categories if name in there],
        policy=spec.monitoring.drift,
        heading=f"{spec.model}: live rows of {report.window.window} against the training rows of {report.version}",
        lines=[
            f"Decided on all {report.window.rows:,} rows: {report.window.outcome}. {report.window.reason}",
            describe_sample(judged),
        ],
    )
    if page is None:
        return ""
    name, key = f"drift {report.day}", f"drift:{spec.model}:{report.day}"
    with registry.run(f"{spec.model}-monitoring", name, key=key, dagster_run=dagster_run) as run:
        run.tags({"mlops.verdict": report.window.outcome, "mlops.day": report.day, "mlops.bundle": report.bundle})
        run.text(PAGE, page.decode())
    return f"{run.url}/artifacts/{PAGE}"


def describe_sample(judged: JudgedDrift) -> str:
    """How many rows the page is drawn from."""
    live, training = (min(count, ROWS) for count in (judged.report.sample, judged.report.training_sample))
    return (
        f"Drawn from a sample of {live:,} of {judged.report.window.rows:,} live rows and of {training:,} training rows."
    )


def build_metadata(
    spec: ModelSpec, judged: JudgedDrift, *, reach: DriftReach, page: str, reports: list[DriftReport], lake: str
) -> dict[str, Any]:
    """What the UI shows of the latest day."""
    report, window = judged.report, judged.report.window
    metadata: dict[str, Any] = {
        "verdict": window.outcome.value,
        "why": window.reason,
        "alarm": report.alarm.outcome.value,
        "why alarm": report.alarm.reason,
        "version": report.version or "nobody",
        "window": window.window,
        "compared with": report.compared_with or "nothing",
        "rows": window.rows,
        "columns": table(("what", "respect", "verdict", "change", "found"), _lines(spec, report)),
        "report (JSON)": dg.MetadataValue.path(f"{lake}/{spec.model}/monitoring/{Stage.DRIFT_REPORT}/{report.day}"),
    }
    if page:
        metadata |= {"Evidently": dg.MetadataValue.url(page), "sample": describe_sample(judged)}
    if reach.radius.columns:
        metadata["blast radius"] = str(reach.radius)
    if notes := [*report.notes, *reach.problems]:
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata | _pictures(spec, judged, reports)


def build_day_metadata(report: DriftReport, page: str) -> dict[str, Any]:
    """What each day of a range keeps."""
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": report.window.rows,
        "drift": report.window.outcome.value,
        "drifted columns": len(report.window.columns),
        "drift alarm": report.alarm.outcome.value,
    }
    return metadata | ({"Evidently page": dg.MetadataValue.url(page)} if page else {})


def _lines(spec: ModelSpec, report: DriftReport) -> Iterator[tuple[str, str, str, float, str]]:
    sizes = measure_strengths(report.window, spec.monitoring.drift)
    for each in report.window.findings[:_LINES]:
        name = describe_column(each)
        yield name, each.aspect.value, each.verdict.outcome.value, sizes[name], each.verdict.reason


def _pictures(spec: ModelSpec, judged: JudgedDrift, reports: list[DriftReport]) -> dict[str, Any]:
    """A drifted column then and now, and all columns over the last weeks."""
    drawn: dict[str, Any] = {}
    by_day = {each.day: measure_strengths(each.window, spec.monitoring.drift) for each in reports}
    if any(by_day.values()):
        marks = {each.day: [describe_column(finding) for finding in each.window.drifted] for each in reports}
        drawn["drift by day"] = picture(draw_drift_by_day(by_day, marks), "drift by day")
    for name, png in _then_and_now(judged):
        drawn[f"{name}: then and now"] = picture(png, f"{name} then and now")
    return drawn


def _then_and_now(judged: JudgedDrift) -> Iterator[tuple[str, bytes]]:
    done: set[str] = set()
    for finding in judged.report.window.drifted:
        aspect = finding.aspect if finding.aspect in (Aspect.PREDICTION, Aspect.LABEL) else Aspect.FEATURE
        reference, live = judged.compared.get(aspect, ({}, None))
        known, found = reference.get(finding.column), live.columns.get(finding.column) if live else None
        name = describe_column(finding)
        if name in done or len(done) == _PICTURES:
            continue
        if isinstance(known, NumberReference) and isinstance(found, NumberSketch) and len(known.edges):
            done.add(name)
            yield name, draw_number_change(name, known, found)
        elif isinstance(known, CategoryReference) and isinstance(found, CategorySketch):
            done.add(name)
            yield name, draw_category_change(name, known, found)
