"""Records of watched days, made by hand: what the stages of watching would have left for the decision."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.quality.records import Estimated, PerformanceDay
from mlops_assets.domain.verdict import Outcome, Verdict

BUNDLE = "b" * 64


def drift_day(day: str, *, drifted: bool = False, alarm: bool = False, **changes: Any) -> DriftDay:
    """A day on which nothing drifted, but for what is said."""
    found = {False: Outcome.PASS, True: Outcome.FAIL}
    told: dict[str, Any] = {
        "day": day,
        "version": "1.0.0",
        "bundle": BUNDLE,
        "rows": 1_000,
        "verdict": Verdict(day, found[drifted or alarm], f"{day}: as said.", {}),
        "alarm": Verdict("drift", found[alarm], f"alarm on {day}: {alarm}.", {"drifted": 2.0 * alarm}),
        "columns": ("price",) if drifted or alarm else (),
        "touched": ("shop", "price") if drifted or alarm else (),
        "report": "",
        "made_at": ended(day),
    } | changes
    return DriftDay(**told)


def performance_day(day: str, score: float = 0.8, *, fell: bool = False, **changes: Any) -> PerformanceDay:
    """A day with ripe labels and this score, which has not fallen unless it is said."""
    fall = Verdict("realised", Outcome.FAIL if fell else Outcome.PASS, f"realised auc {score}.", {"reach": 0.02})
    told: dict[str, Any] = {
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
        "estimated": None,
        "recent": None,
        "fall": fall,
        "estimated_fall": Verdict("estimated", Outcome.INCONCLUSIVE, "no estimate.", {}),
        "trust": Verdict("trust", Outcome.INCONCLUSIVE, "no estimate yet.", {}),
        "odd": {},
        "business": None,
        "made_at": ended(day),
    } | changes
    return PerformanceDay(**told)


def ended(day: str) -> datetime:
    """An hour after a day's end."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1, hours=1)
