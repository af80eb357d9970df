"""Judges a collected day of answers: quality, slices, calibration and fairness. Reads and writes nothing."""

from dataclasses import dataclass

import numpy as np

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.calibration import Reliability
from mlops_assets.domain.evaluation.evidence import FairnessReport
from mlops_assets.domain.evaluation.intervals import central
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.evaluation.slices import SliceScore
from mlops_assets.domain.quality.breakdown import (
    ArmSummary,
    measure_calibration,
    protected_columns,
    score_slices,
    summarise_arms,
)
from mlops_assets.domain.quality.business_value import find_unknown_pairs
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.judge import DayQuality, judge_day
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.label_delay import DelayCurve
from mlops_assets.domain.traffic.ripe_rows import RipeRows
from mlops_assets.domain.traffic.slices import missing_columns
from mlops_assets.resources.checks.fairness import assess
from mlops_assets.stages.quality.collect import CollectedQuality
from mlops_assets.stages.traffic.labelled_days import slicing_columns


@dataclass(frozen=True, eq=False)
class JudgedQuality:
    """One judged day: its record, and what is shown beside it."""

    found: DayQuality
    curve: DelayCurve
    arms: tuple[ArmSummary, ...]
    slices: tuple[SliceScore, ...]
    calibration: tuple[Reliability, RipeRows] | None
    fairness: FairnessReport
    notes: tuple[str, ...]  # what could not be measured, and why

    @property
    def record(self) -> PerformanceDay:
        return self.found.record


def judge_quality(spec: ModelSpec, collected: CollectedQuality) -> JudgedQuality:
    """Judges one day; slices, calibration and fairness are measured where labels are ripe."""
    day, version = collected.inputs, collected.version
    found = judge_day(spec, day, version)
    level = central(spec.monitoring.quality.confidence)
    metric = metric_named(spec.gates.metric, spec.target.kind)
    after = day.curve.after(spec.monitoring.quality.maturity)
    arms = tuple(summarise_arms(day.rows, metric, level, after=after, now=day.known_until))
    notes = _list_notes(spec, day, version)
    if found.ripe is None or version is None:
        return JudgedQuality(found, day.curve, arms, (), None, FairnessReport((), (), ()), notes)
    return JudgedQuality(
        found,
        day.curve,
        arms,
        score_slices(found.ripe, spec.slices, version.profile, metric, level),
        measure_calibration(spec.target.kind, found.ripe, level, spec.training.seed),
        _assess_fairness(spec, found.ripe, version, level),
        notes,
    )


def _list_notes(spec: ModelSpec, day: DayInputs, version: ServedVersion | None) -> tuple[str, ...]:
    classes = version.judged.classes if version and version.judged else ()
    strange = find_unknown_pairs(spec.monitoring.costs, classes) if classes else ()
    parts = missing_columns(day.rows, slicing_columns(spec)) if len(day.rows) else ()
    return (
        *(version.problems if version else ()),
        *(f"monitoring.costs: {each} is no answer and outcome of the classes {', '.join(classes)}" for each in strange),
        *(f"the log has no column {each}, so rows cannot be divided by it" for each in parts),
    )


def _assess_fairness(spec: ModelSpec, ripe: RipeRows, version: ServedVersion, level: float) -> FairnessReport:
    rng = np.random.default_rng(spec.training.seed)
    columns = protected_columns(ripe, spec.fairness.attributes)
    return assess(
        spec.fairness, spec.target.kind, ripe.labels, ripe.scores, columns=columns, level=level, rng=rng,
        blocks=ripe.blocks, threshold=version.threshold or 0.5,
    )  # fmt: skip
