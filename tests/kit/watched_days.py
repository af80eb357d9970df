"""Records of watched days, made by hand, as `drift_report` and `performance` write them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.quality.records import Estimated, PerformanceDay, Recent, SincePromotion
from mlops_assets.domain.verdict import Outcome, Verdict

BUNDLE = "b" * 64


def drift_day(day: str, *, drifted: bool = False, alarm: bool = False, **changes: Any) -> DriftDay:
    """A day without drift; keywords replace what a test is about."""
    outcomes = {False: Outcome.PASS, True: Outcome.FAIL}
    values: dict[str, Any] = {
        "day": day,
        "version": "1.0.0",
        "bundle": BUNDLE,
        "rows": 1_000,
        "verdict": Verdict(day, outcomes[drifted or alarm], f"{day}: as said.", {}),
        "alarm": Verdict("drift", outcomes[alarm], f"alarm on {day}: {alarm}.", {"drifted": 2.0 * alarm}),
        "announced": day if alarm else "",
        "columns": ("price",) if drifted or alarm else (),
        "touched": ("shop", "price") if drifted or alarm else (),
        "report": "",
        "made_at": ended(day),
    } | changes
    return DriftDay(**values)


def performance_day(day: str, score: float = 0.8, *, fell: bool = False, **changes: Any) -> PerformanceDay:
    """A day with ripe labels and this score; keywords replace what a test is about."""
    fall = Verdict("realised", Outcome.FAIL if fell else Outcome.PASS, f"realised auc {score}.", {"reach": 0.02})
    values: dict[str, Any] = {
        "day": day,
        "version": "1.0.0",
        "bundle": BUNDLE,
        "rows": 1_000,
        "labelled": 1_000,
        "expected": 1_000,
        "maturity": 1.0,
        "metric": "auc",
        "baseline": 0.8,
        "realised": Estimated(score, score - 0.02, score + 0.02),
        "comparable": Estimated(score, score - 0.02, score + 0.02),
        "estimated": None,
        "recent": None,
        "fall": fall,
        "estimated_fall": Verdict("estimated", Outcome.INCONCLUSIVE, "no estimate.", {}),
        "trust": Verdict("trust", Outcome.INCONCLUSIVE, "no estimate yet.", {}),
        "odd": {},
        "business": None,
        "made_at": ended(day),
    } | changes
    return PerformanceDay(**values)


def ended(day: str) -> datetime:
    """An hour after a day's end."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1, hours=1)


GOOD = Estimated(0.7, 0.68, 0.72)
DAY = performance_day(
    "2013-07-01",
    0.7,
    baseline=0.71,
    estimated=GOOD,
    recent=Recent(3, 2_600, GOOD, GOOD),
    since_promotion=SincePromotion(
        first="2013-06-20", days=12, rows=10_400, value=GOOD, latest=GOOD, falls_since="2013-06-29", fall=0.05,
        evidence=0.2, spread=0.02, days_needed=12.0,
    ),
    rows=900,
    labelled=880,
    expected=890,
)  # fmt: skip
FALLEN = replace(DAY, fall=performance_day("2013-07-01", 0.6, fell=True).fall)
UNRIPE = replace(DAY, day="2013-07-02", realised=None, recent=Recent(3, 0, None, GOOD))
NOBODY = replace(DAY, day="2013-07-03", realised=None, estimated=None, recent=None, baseline=None)
