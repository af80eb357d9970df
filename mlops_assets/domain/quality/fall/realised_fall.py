"""Judges whether the realised quality of a day's version has fallen since it began to answer. Pure."""

from dataclasses import replace

from mlops_assets.domain.quality.day_rows import DayRows, count_labelled
from mlops_assets.domain.quality.fall.since_promotion import (
    REALISED,
    Reference,
    RipeDay,
    follow_back_to,
    follow_days,
    judge_fall,
    list_ripe_days,
    sure_of,
)
from mlops_assets.domain.quality.records import Estimated, SincePromotion
from mlops_assets.domain.verdict import Verdict, inconclusive


def follow_version(rows: DayRows) -> SincePromotion | None:
    """Of all ripe days of the version up to this one; None where nothing can be compared."""
    reference = _reference(rows)
    if reference is None:
        return None
    since = follow_back_to(rows.day.name)
    known = (each for each in rows.day.before if each.day >= since)
    days = list_ripe_days(known, rows.version.bundle, reference.policy)
    if own := rows.comparable[0]:
        days.append(RipeDay(rows.day.name, len(rows.own or ()), Estimated(own.estimate, own.low, own.high)))
    return follow_days(days, reference)


def judge_realised_fall(rows: DayRows, followed: SincePromotion | None) -> Verdict:
    """Inconclusive while the day's own labels are to come: the days before it were judged on their own."""
    reference, least = _reference(rows), rows.spec.monitoring.quality.maturity
    at, name = f"{rows.day.name}, version {rows.version.name}", f"{REALISED} {rows.metric.name}"
    if reference is None:
        return inconclusive(REALISED, rows.version.why_unpromised(rows.metric.name))
    if rows.maturity < least:
        return inconclusive(REALISED, f"{name}: {rows.why_unripe}. {at}.")
    if followed is None:
        why = rows.comparable[1] or f"{count_labelled(rows.mine):,} rows with a label are too few to be measured."
        return inconclusive(REALISED, f"{name}: {why} {at}.")
    verdict = judge_fall(followed, reference)
    moved = f" {rows.moved_classes}: scores are those at the evaluation's shares." if rows.moved_classes else ""
    return replace(verdict, reason=f"{verdict.reason} To {at}.{moved}")


def _reference(rows: DayRows) -> Reference | None:
    if rows.baseline is None:
        return None
    return Reference(rows.metric, rows.baseline, rows.spec.monitoring.quality, sure_of(rows.level))
