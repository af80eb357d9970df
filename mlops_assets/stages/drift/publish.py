"""Tells what a watched day came to: record, numbers, pictures, the page to browse. Imported only in bodies."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.drift.blast_radius import BlastRadius, blast_radius
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference
from mlops_assets.domain.drift.report import DriftReport, label_of, strengths
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch
from mlops_assets.domain.names import Stage
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.plots.drift import category_then_and_now, number_then_and_now, over_days
from mlops_assets.resources.plots.drift_page import ROWS, drift_page
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.stages.drift.blast_radius import feature_name, released, views_of
from mlops_assets.stages.drift.judge import Seen
from mlops_assets.stages.metadata import picture, table

PAGE = "drift.html"
_PICTURES = 12  # drifted columns that are drawn
_LINES = 60  # findings in the table; all are in the JSON


@dataclass(frozen=True)
class Reach:
    """What stands on the columns that drifted, and what of it could not be read."""

    radius: BlastRadius
    problems: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.radius.features, *self.radius.models, *self.radius.endpoints)


NOTHING = Reach(BlastRadius((), (), (), (), ()), ())


def reach(spec: ModelSpec, seen: Seen, deployment: Deployment, bundles: Bundles, features: FeatureStore) -> Reach:
    """Of the day's drifted columns. Nothing is read where none drifted."""
    columns = drifted_features(seen)
    if not columns or seen.opened is None:
        return NOTHING
    service = seen.opened.bundle.contract.feature_service
    views = views_of(features, spec.model, service, columns)
    standing = released(deployment, bundles, features)
    asked = [feature_name(view, name) for name, view in views.items()]
    return Reach(blast_radius(asked, standing.lineage), standing.problems)


def drifted_features(seen: Seen) -> tuple[str, ...]:
    """A vector that drifted is told by its parts: they are what a view brings."""
    if seen.opened is None:
        return ()
    known = seen.opened.features
    found = [part for name in seen.report.window.columns for part in _parts(name, known)]
    return tuple(dict.fromkeys(found))


def _parts(column: str, features: tuple[str, ...]) -> list[str]:
    if column in features:
        return [column]
    return [name for name in features if name.rpartition("_")[0] == column]


def record_of(seen: Seen, reached: Reach, page: str, now: datetime) -> DriftDay:
    """What other stages read of the day."""
    report, window = seen.report, seen.report.window
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
        columns=drifted_features(seen),
        touched=reached.names,
        report=page,
        made_at=now,
    )


def publish(spec: ModelSpec, seen: Seen, registry: Registry, dagster_run: str) -> str:
    """Evidently's page as an artefact of an MLflow run; returns the address that opens it. Empty: nothing to draw.

    One run a day in the experiment `<model>-monitoring`; a day that is judged again goes into the same run.
    """
    report = seen.report
    if seen.training is None or seen.opened is None or not len(seen.live):
        return ""
    contract = seen.opened.bundle.contract
    there = set(seen.live.column_names)
    page = drift_page(
        seen.training,
        seen.live,
        numbers=[name for name in contract.numbers if name in there],
        categories=[name for name in contract.categories if name in there],
        policy=spec.monitoring.drift,
        heading=f"{spec.model}: live rows of {report.window.window} against the training rows of {report.version}",
        lines=[
            f"Decided on all {report.window.rows:,} rows: {report.window.outcome}. {report.window.reason}",
            said_sample(seen),
        ],
    )
    if page is None:
        return ""
    name, key = f"drift {report.day}", f"drift:{spec.model}:{report.day}"
    with registry.run(f"{spec.model}-monitoring", name, key=key, dagster_run=dagster_run) as run:
        run.tags({"mlops.verdict": report.window.outcome, "mlops.day": report.day, "mlops.bundle": report.bundle})
        run.text(PAGE, page.decode())
    return f"{run.url}/artifacts/{PAGE}"


def said_sample(seen: Seen) -> str:
    """How many rows the page is drawn from."""
    live, training = (min(count, ROWS) for count in (seen.report.sample, seen.report.training_sample))
    return (
        f"Drawn from a sample of {live:,} of {seen.report.window.rows:,} live rows and of {training:,} training rows."
    )


def metadata_of(
    spec: ModelSpec, seen: Seen, reached: Reach, page: str, reports: list[DriftReport], lake: str
) -> dict[str, Any]:
    """What the UI shows of the latest day."""
    report, window = seen.report, seen.report.window
    told: dict[str, Any] = {
        "verdict": window.outcome.value,
        "why": window.reason,
        "alarm": report.alarm.outcome.value,
        "why alarm": report.alarm.reason,
        "version": report.version or "nobody",
        "window": window.window,
        "rows": window.rows,
        "columns": table(("what", "respect", "verdict", "change", "found"), _lines(spec, report)),
        "report (JSON)": dg.MetadataValue.path(f"{lake}/{spec.model}/monitoring/{Stage.DRIFT_REPORT}/{report.day}"),
    }
    if page:
        told |= {"Evidently": dg.MetadataValue.url(page), "sample": said_sample(seen)}
    if reached.radius.columns:
        told["blast radius"] = str(reached.radius)
    if notes := [*report.notes, *reached.problems]:
        told["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return told | _pictures(spec, seen, reports)


def day_metadata(report: DriftReport, page: str) -> dict[str, Any]:
    """What each day of a range keeps."""
    told: dict[str, Any] = {
        "dagster/partition_row_count": report.window.rows,
        "drift": report.window.outcome.value,
        "drifted columns": len(report.window.columns),
        "drift alarm": report.alarm.outcome.value,
    }
    return told | ({"Evidently page": dg.MetadataValue.url(page)} if page else {})


def _lines(spec: ModelSpec, report: DriftReport) -> Iterator[tuple[str, str, str, float, str]]:
    sizes = strengths(report.window, spec.monitoring.drift)
    for each in report.window.findings[:_LINES]:
        name = label_of(each)
        yield name, each.aspect.value, each.verdict.outcome.value, sizes[name], each.verdict.reason


def _pictures(spec: ModelSpec, seen: Seen, reports: list[DriftReport]) -> dict[str, Any]:
    """A drifted column then and now, and all columns over the last weeks."""
    drawn: dict[str, Any] = {}
    by_day = {each.day: strengths(each.window, spec.monitoring.drift) for each in reports}
    if any(by_day.values()):
        marks = {each.day: [label_of(finding) for finding in each.window.drifted] for each in reports}
        drawn["drift by day"] = picture(over_days(by_day, marks), "drift by day")
    for name, png in _then_and_now(seen):
        drawn[f"{name}: then and now"] = picture(png, f"{name} then and now")
    return drawn


def _then_and_now(seen: Seen) -> Iterator[tuple[str, bytes]]:
    done: set[str] = set()
    for finding in seen.report.window.drifted:
        aspect = finding.aspect if finding.aspect in (Aspect.PREDICTION, Aspect.LABEL) else Aspect.FEATURE
        reference, live = seen.compared.get(aspect, ({}, None))
        known, found = reference.get(finding.column), live.columns.get(finding.column) if live else None
        name = label_of(finding)
        if name in done or len(done) == _PICTURES:
            continue
        if isinstance(known, NumberReference) and isinstance(found, NumberSketch) and len(known.edges):
            done.add(name)
            yield name, number_then_and_now(name, known, found)
        elif isinstance(known, CategoryReference) and isinstance(found, CategorySketch):
            done.add(name)
            yield name, category_then_and_now(name, known, found)
