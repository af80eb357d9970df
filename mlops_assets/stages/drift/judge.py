"""Judges live days against the profile of the version that answered most of them. Imported only in bodies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.distances import Aspect, DriftTest
from mlops_assets.domain.drift.joint_test import compare_all_features, compare_vectors
from mlops_assets.domain.drift.live_day import LiveDay, find_vectors
from mlops_assets.domain.drift.reference import Reference
from mlops_assets.domain.drift.report import (
    NO_DAYS,
    REACH,
    DriftReport,
    judge_day_alarm,
    judge_input_quality,
)
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import WindowDrift, inconclusive_window, judge_window
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import Window
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.lake.records import from_json, to_json
from mlops_assets.stages.drift.collect import (
    CollectedDay,
    DriftCollector,
    OpenedVersion,
    UnjudgeableDayError,
    digest_seed,
)
from mlops_assets.stages.drift.pool import pool_days
from mlops_assets.stages.drift.training_rows import read_past, read_training_sample

REPORT = "report.json"
Comparison = Mapping[Aspect, tuple[Reference, Sketch]]


@dataclass(frozen=True, eq=False)
class JudgedDrift:
    """A judged day, with what its pictures are drawn from: nothing, where nothing was compared."""

    report: DriftReport
    compared: Comparison
    live: pa.Table
    training: pa.Table | None
    opened: OpenedVersion | None

    @property
    def drifted(self) -> bool:
        return self.report.window.outcome is Outcome.FAIL


@dataclass(frozen=True)
class _Before:
    """Reports of the days before, oldest first, and those that cannot be read."""

    reports: tuple[DriftReport, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _About:
    """What a window is a window of."""

    day: str
    since: str
    version: str
    bundle: str
    is_open: bool
    features: tuple[str, ...]


def judge_drift_day(collector: DriftCollector, day: Window) -> JudgedDrift:
    """Judge one day and keep its report. A day that cannot be judged has a report with the reason."""
    before = _before(collector, day.partition)
    try:
        known = collector.day(day)
        judged = _judged(collector, day.partition, known, before)
    except UnjudgeableDayError as reason:
        judged = _unjudged(collector, day.partition, reason, before)
    collector.monitoring.put(
        collector.spec.model, Stage.DRIFT_REPORT, day.partition, REPORT, content=to_json(judged.report)
    )
    return judged


def read_reports(collector: DriftCollector, day: str) -> list[DriftReport]:
    """Those of the last weeks up to the day, oldest first."""
    return [*_before(collector, (date.fromisoformat(day) + timedelta(days=1)).isoformat()).reports]


def _before(collector: DriftCollector, day: str) -> _Before:
    found, notes = [], []
    for back in range(REACH, 0, -1):
        name = (date.fromisoformat(day) - timedelta(days=back)).isoformat()
        content = collector.monitoring.get(collector.spec.model, Stage.DRIFT_REPORT, name, REPORT)
        try:
            found += [from_json(DriftReport, content, f"{name}/{REPORT}")] if content else []
        except ValueError:
            notes.append(f"the report of {name} was written by other code and does not count: materialise it again")
    return _Before(tuple(found), tuple(notes))


def _judged(collector: DriftCollector, day: str, known: CollectedDay, before: _Before) -> JudgedDrift:
    version, bundle, opened = _first(known)
    policy = collector.spec.monitoring.drift
    pooled = pool_days(collector, day, bundle, known, earlier=before.reports)
    live, sample = pooled.live, pooled.sample
    compared = _compared(opened, bundle, live, policy.minimum_rows)
    enough = compared[Aspect.FEATURE][1].rows >= policy.minimum_rows
    training = read_training_sample(collector, opened) if enough else None
    days: list[date] = pooled.days.tolist()
    since = days[0].isoformat()
    name = day if since == day else f"{since} to {day}"
    past, rows = read_past(collector, opened), pooled.pack_pairs(opened) if enough else None
    besides = _besides(collector, opened, sample, training) if past is None else []
    if past is not None and past.pairs is not None and rows is not None:
        besides = [past.pairs.compare(rows, policy)]
    window = judge_window(name, compared, policy, besides=besides, past=past, days=days)
    about = _About(day, since, version, bundle, window.outcome is Outcome.INCONCLUSIVE, opened.features)
    notes = _notes(known, bundle)
    if enough and training is None:
        notes.append("the rows that the version was trained on are gone: columns were judged, not all together")
    elif enough and past is not None and past.pairs is None:
        notes.append("how columns go together was not judged: no two of them vary on enough days of the training data")
    if past is not None and Aspect.PREDICTION not in past.like:
        notes.append("the rows that the version was tested on are of too few days: its answers were not judged")
    report = replace(
        _report(window, about, before, policy=policy, notes=notes),
        compared_with=str(past.replay) if past else NO_DAYS,
        sample=len(sample),
        training_sample=0 if training is None else len(training),
        labels=compared[Aspect.LABEL][1].rows if Aspect.LABEL in compared else 0,
    )
    return JudgedDrift(report, compared, sample, training, opened)


def _explain_silence(known: CollectedDay) -> str:
    """Why no version answered."""
    reasons = [f"all {known.answered.default:,} answers were the declared default"] * bool(known.answered.default)
    if known.refused:
        kinds = ", ".join(f"{kind} {requests:,}" for kind, requests in known.refused.items())
        reasons.append(f"{sum(known.refused.values()):,} requests came and were refused ({kinds})")
    return " and ".join(reasons) or "no traffic: no request came"


def _first(known: CollectedDay) -> tuple[str, str, OpenedVersion]:
    """The version that answered most rows."""
    if not known.answered.bundles:
        raise UnjudgeableDayError(_explain_silence(known), is_open=True)
    bundle, (version, rows) = next(iter(known.answered.bundles.items()))
    if bundle in known.problems:
        raise known.problems[bundle].about(version, bundle, rows)
    return version, bundle, known.opened[bundle]


def _compared(opened: OpenedVersion, bundle: str, live: LiveDay, least: int) -> Comparison:
    """What there is enough of: a handful of labels is no distribution."""
    profile, counted = opened.against.profile, live.bundles[bundle]
    compared = {Aspect.FEATURE: (profile.features, counted.features)}
    if counted.predictions.rows >= least:
        compared[Aspect.PREDICTION] = (profile.predictions, counted.predictions)
    labels = live.labels.get(bundle, Sketch())
    if labels.rows >= least:
        compared[Aspect.LABEL] = (profile.label, labels)
    return compared


def _besides(
    collector: DriftCollector, opened: OpenedVersion, live: pa.Table, training: pa.Table | None
) -> list[DriftTest]:
    """What no column shows alone: all features at once, and each vector."""
    if training is None:
        return []
    contract, policy, seed = opened.bundle.contract, collector.spec.monitoring.drift, digest_seed(opened.bundle.digest)
    there = set(live.column_names) - set(policy.exclude)
    numbers, categories = ([n for n in names if n in there] for names in (contract.numbers, contract.categories))
    found = [compare_all_features(training, live, numbers=numbers, categories=categories, policy=policy, seed=seed)]
    for name, parts in find_vectors(numbers).items():
        sides = (np.stack([rows[part].to_numpy() for part in parts], axis=1) for rows in (training, live))
        found.append(compare_vectors(name, *sides, policy=policy, seed=seed))
    return [each for each in found if each is not None]


def _unjudged(collector: DriftCollector, day: str, reason: UnjudgeableDayError, before: _Before) -> JudgedDrift:
    window = inconclusive_window(day, reason.rows, reason.why)
    if reason.outcome is Outcome.ERROR:
        window = replace(window, outcome=Outcome.ERROR, reason=f"{reason.why}.")
    about = _About(day, day, reason.version, reason.bundle, reason.is_open, ())
    return JudgedDrift(
        _report(window, about, before, policy=collector.spec.monitoring.drift, notes=[]), {}, pa.table({}), None, None
    )


def _report(
    window: WindowDrift, about: _About, before: _Before, *, policy: DriftPolicy, notes: Sequence[str]
) -> DriftReport:
    when = {"day": about.day, "since": about.since, "bundle": about.bundle}
    alarm, event = judge_day_alarm(window, before.reports, policy, **when)
    return DriftReport(
        **when,
        version=about.version,
        window=window,
        alarm=alarm,
        event=event,
        quality=judge_input_quality(window, about.features),
        is_open=about.is_open,
        sample=0,
        training_sample=0,
        labels=0,
        notes=(*before.notes, *notes),
        compared_with="",
    )


def _notes(known: CollectedDay, bundle: str) -> list[str]:
    """Rows that were not judged, and why."""
    notes = []
    if known.answered.default:
        notes.append(f"{known.answered.default:,} answers were the declared default, which no model gave")
    for other, (version, rows) in known.answered.bundles.items():
        if other != bundle:
            why = f" ({known.problems[other].why})" if other in known.problems else ""
            notes.append(f"{rows:,} rows of version {version} are not judged: another answered more{why}")
    if known.refused:
        notes.append(f"{sum(known.refused.values()):,} requests were refused and got no answer")
    if known.labels:
        notes.append(f"{known.labels:,} outcomes became known on the day, reported by {known.labels_from}")
    return notes
