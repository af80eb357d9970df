"""Judges whether the realised quality of a day's version has fallen since it began to answer. Pure."""

from dataclasses import replace

from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.quality.day_rows import DayRows, count_labelled
from mlops_assets.domain.quality.fall.since_promotion import (
    REALISED,
    Reference,
    RipeDay,
    describe_waiting,
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
    return follow_days(_list_days(rows, reference), reference) if reference else None


def judge_realised_fall(rows: DayRows, followed: SincePromotion | None) -> Verdict:
    """Inconclusive while the day's own labels are to come: the days before it were judged on their own."""
    reference, least = _reference(rows), rows.spec.monitoring.quality.maturity
    at, name = f"{rows.day.name}, version {rows.version.name}", f"{REALISED} {rows.metric.name}"
    if reference is None:
        return inconclusive(REALISED, rows.version.why_unpromised(rows.metric.name))
    if rows.maturity < least:
        return inconclusive(REALISED, f"{name}: {rows.why_unripe}. {at}.")
    if followed is None:
        waiting = describe_waiting(_list_days(rows, reference), reference, rows.counted_classes)
        why = (
            f"{waiting}."
            if waiting
            else rows.comparable[1] or f"{count_labelled(rows.mine):,} rows with a label are too few to be measured."
        )
        return inconclusive(REALISED, f"{name}: {why} {at}.")
    verdict = judge_fall(followed, reference)
    return replace(verdict, reason=f"{verdict.reason} To {at}.{_describe_shares(rows, reference)}")


def _describe_shares(rows: DayRows, reference: Reference) -> str:
    """What the shares of classes have to do with the verdict."""
    moved = rows.moved_classes if rows.parts[0] else ""
    waiting = describe_waiting(_list_days(rows, reference), reference, rows.counted_classes)
    texts = [f"{moved}: scores are those at the evaluation's shares" if moved else "", rows.left_out, waiting]
    return "".join(f" {each}." for each in texts if each)


def _list_days(rows: DayRows, reference: Reference) -> list[RipeDay]:
    """All ripe days of the version, up to this one."""
    since = follow_back_to(rows.day.name)
    known = (each for each in rows.day.before if each.day >= since)
    days = list_ripe_days(known, rows.version.bundle, reference.policy)
    own, parts = _plain(rows.comparable[0]), rows.parts[0]
    return [*days, RipeDay(rows.day.name, len(rows.own or ()), own, parts)] if own or parts else days


def _plain(own: Interval | None) -> Estimated | None:
    return Estimated(own.estimate, own.low, own.high) if own else None


def _reference(rows: DayRows) -> Reference | None:
    if rows.baseline is None:
        return None
    return Reference(rows.metric, rows.baseline, rows.spec.monitoring.quality, sure_of(rows.level))
