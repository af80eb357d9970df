"""Publishes judged days of answers: their records, their details, metadata with pictures, and the two checks."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.quality.label_soundness import judge_labels, judge_latest_fall
from mlops_assets.domain.quality.records import Estimated, PerformanceDay
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.plots import evaluation as evaluation_plots
from mlops_assets.resources.plots.quality import draw_estimate_and_realised, draw_label_delay, draw_quality_by_day
from mlops_assets.stages.common import check_result
from mlops_assets.stages.metadata import picture, table
from mlops_assets.stages.quality.collect import QualityCollector
from mlops_assets.stages.quality.judge import JudgedQuality, judge_quality

DETAILS = "details.json"
_SHOWN = 30  # days in a picture
_HEAD = ("day", "version", "rows", "labelled", "maturity", "realised", "estimated", "odd", "verdict")
_SINCE = ("version", "since", "days", "rows", "all of them", "last two weeks", "falls since", "evidence", "days needed")


def publish_days(collector: QualityCollector, monitoring: Monitoring, requested: Sequence[str]) -> list[JudgedQuality]:
    """Judge and write the days one after the other: each is judged on the records of the days before it."""
    published = []
    for collected in collector.collect_days(requested, monitoring):
        judged = judge_quality(collector.spec, collected)
        record = judged.record
        monitoring.put(collector.spec.model, Stage.PERFORMANCE, record.day, DETAILS, content=format_details(judged))
        monitoring.write(collector.spec.model, Stage.PERFORMANCE, record)
        collector.records[record.day] = record
        published.append(judged)
    return published


def check_records(judged: Sequence[JudgedQuality]) -> list[dg.AssetCheckResult]:
    """One result for each check of the asset."""
    records = [each.record for each in judged]
    return [_check(judge_latest_fall(records)), _check(judge_labels(records))]


def build_data_version(judged: Sequence[JudgedQuality]) -> dg.DataVersion:
    """A digest of what was measured; the time of measuring does not change it."""
    records = [each.record for each in judged]
    first = records[0].made_at
    plain = repr([replace(each, made_at=first) for each in records]).replace(repr(first), "")
    return dg.DataVersion(hashlib.sha256(plain.encode()).hexdigest()[:16])


def build_day_metadata(record: PerformanceDay) -> dict[str, Any]:
    """Numbers of one day, which the UI draws over partitions."""
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
    if record.since_promotion:
        numbers["evidence of a fall"] = record.since_promotion.evidence
    return numbers if record.business is None else {**numbers, "worth of an answer": record.business}


def build_metadata(
    spec: ModelSpec, judged: Sequence[JudgedQuality], records: Mapping[str, PerformanceDay]
) -> dict[str, Any]:
    """Metadata of the run: its days in a table, and the pictures of the latest ones."""
    latest = judged[-1]
    ripe = next((each for each in reversed(judged) if each.found.ripe is not None), latest)
    return {
        "days judged": ", ".join(each.record.day for each in judged),
        "notes": "; ".join(latest.notes) or "none",
        "days": table(_HEAD, (_row(each.record) for each in judged)),
        "since promotion": table(_SINCE, _since_promotion(records)),
        f"versions and arms on {latest.record.day}": table(
            ("version", "arm", "role", "rows", "labelled", spec.gates.metric),
            ((a.version, a.arm, a.role, a.rows, a.labelled, a.score) for a in latest.arms),
        ),
        f"scores to {ripe.record.day}": table(
            ("metric", "score"), ((each.metric, each.interval or each.problem) for each in ripe.found.scores)
        ),
        f"fairness to {ripe.record.day}": table(("attribute", "measure", "difference"), _disparities(ripe)),
        **{name: picture(png, name) for name, png in _draw_pictures(spec, latest, ripe, records)},
    }


def _check(verdict: Verdict) -> dg.AssetCheckResult:
    """A warning where something is wrong. Most days begin inconclusive, so that outcome warns nobody."""
    result = check_result(verdict, blocking=False)
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return result
    return result._replace(passed=True, description=f"Inconclusive: {verdict.reason}")


def format_details(judged: JudgedQuality) -> bytes:
    """All that was measured of the day, as JSON beside its record."""
    plain = {
        "scores": [asdict(each) for each in judged.found.scores],
        "arms": [asdict(each) for each in judged.arms],
        "slices": [asdict(each) for each in judged.slices],
        "calibration": asdict(judged.calibration[0]) if judged.calibration else None,
        "fairness": asdict(judged.fairness),
        "notes": judged.notes,
        "label_delay": {"hours": (judged.curve.seconds / 3600).tolist(), "share": judged.curve.arrived.tolist()},
    }
    return json.dumps(plain, indent=1).encode()


def _interval(name: str, estimated: Estimated | None) -> dict[str, float]:
    return {name: estimated.value, f"{name} low": estimated.low, f"{name} high": estimated.high} if estimated else {}


def _row(record: PerformanceDay) -> tuple[Any, ...]:
    odd = ", ".join(f"{count:,} {name}" for name, count in record.odd.items() if count)
    scores = (_text(each) for each in (record.realised, record.estimated))
    return (
        record.day, record.version, record.rows, record.labelled, f"{record.maturity:.1%}", *scores, odd,
        record.fall.reason,
    )  # fmt: skip


def _since_promotion(records: Mapping[str, PerformanceDay]) -> Iterator[tuple[Any, ...]]:
    """The latest day of each version, the newest first."""
    latest = {each.bundle: each for _, each in sorted(records.items()) if each.since_promotion}
    for each in sorted(latest.values(), key=lambda record: record.day, reverse=True):
        found = each.since_promotion
        if found is None:
            continue
        needed = "never" if found.days_needed is None else f"{found.days_needed:.0f}"
        yield (
            each.version, found.first, found.days, found.rows, _text(found.value), _text(found.latest),
            found.falls_since or "", f"{found.evidence:.3g}", needed,
        )  # fmt: skip


def _text(each: Estimated | None) -> str:
    return f"{each.value:.4f} ({each.low:.4f} to {each.high:.4f})" if each else ""


def _disparities(judgement: JudgedQuality) -> Iterator[tuple[str, str, str]]:
    for each in judgement.fairness.disparities:
        yield each.attribute, each.measure, f"{each.difference}, limit {each.limit:g}"
    for problem in judgement.fairness.unmeasured:
        yield problem, "", ""


def _draw_pictures(
    spec: ModelSpec, latest: JudgedQuality, ripe: JudgedQuality, records: Mapping[str, PerformanceDay]
) -> Iterator[tuple[str, bytes]]:
    days = [record for _, record in sorted(records.items())][-_SHOWN:]
    yield "quality over days", draw_quality_by_day(days, spec.monitoring.quality.fall)
    yield "estimated and realised", draw_estimate_and_realised(days)
    yield "label delay", draw_label_delay(latest.curve, spec.monitoring.quality.maturity)
    if ripe.slices and ripe.record.recent and ripe.record.recent.realised:
        yield "slices", evaluation_plots.slices(ripe.slices, ripe.record.recent.realised.value, ripe.record.metric)
    if ripe.calibration is not None:
        reliability, rows = ripe.calibration
        yield "calibration", evaluation_plots.calibration(reliability, rows.scores, spec.target.kind)
