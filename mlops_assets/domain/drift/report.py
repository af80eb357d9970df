"""What is kept of a watched day, and how days become windows and windows an alarm.

A day with too few rows is not failed: the day after takes its rows in, until together they are enough. Windows so made
share no row, so the rates that `alarm` was simulated with hold. Pure.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.check_names import DRIFT_ALARM, INPUT_QUALITY
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.event import DriftEvent, follow_event
from mlops_assets.domain.drift.window import WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict

REACH = 31  # days back that may count
NO_DAYS = (
    "all training rows together, taken for independent: they have fewer than ten days, so that nothing is known of how "
    "much days differ, and alarms may be too many"
)
_QUALITY = (Aspect.SCHEMA, Aspect.MISSING, Aspect.RANGE, Aspect.UNSEEN)
_NAMED = 5  # columns named in a sentence


@dataclass(frozen=True)
class DriftReport:
    """One day as it was judged; `window` may begin on an earlier one."""

    day: str
    since: str  # first day of the window
    version: str  # semantic; empty: nobody answered
    bundle: str
    window: WindowDrift
    alarm: Verdict
    quality: Verdict
    is_open: bool  # too few rows: the next day takes them in
    sample: int  # live rows that were compared together
    training_sample: int
    labels: int  # outcomes that became known
    notes: tuple[str, ...]
    event: DriftEvent | None  # the shift that goes on
    compared_with: str  # which days of the training data, and what their replay gave; empty: nothing was compared


def find_open_days(day: str, earlier: Sequence[DriftReport], bundle: str) -> list[str]:
    """The days just before this one whose rows belong into its window, oldest first."""
    by_day, found = {report.day: report for report in earlier}, []
    for back in range(1, REACH):
        name = _back(day, back)
        report = by_day.get(name)
        if report is None or not report.is_open or report.bundle not in (bundle, ""):
            break
        found.insert(0, name)
    return found


def judge_day_alarm(
    window: WindowDrift, earlier: Sequence[DriftReport], policy: DriftPolicy, *, day: str, since: str, bundle: str
) -> tuple[Verdict, DriftEvent | None]:
    """The alarm on this day, and the shift that goes on: windows of the same version count, each row once."""
    known = [each for each in earlier if _back(day, REACH) <= each.day < day]
    spans = [*((each.since, each.day) for each in known), (since, day)]
    windows = [
        each.window
        for each in known
        if each.bundle in (bundle, "") and not any(first <= each.day < last for first, last in spans)
    ]
    ours = [each for each in known if each.bundle == bundle or not bundle]
    verdict, event = follow_event(day, [*windows, window], ours[-1].event if ours else None, policy)
    return replace(verdict, name=DRIFT_ALARM), event


def judge_input_quality(window: WindowDrift, features: Collection[str]) -> Verdict:
    """FAIL: columns of live rows are missing values, out of range, of unknown categories, or gone."""
    found = (each for each in window.findings if each.aspect in _QUALITY)
    tests = [each for each in found if each.aspect is Aspect.SCHEMA or each.column in features]
    failed = [each for each in tests if each.drifted]
    numbers = {"tests": float(len(tests)), "failed": float(len(failed)), "rows": float(window.rows)}
    if failed:
        named = "; ".join(f"{each.column} ({each.aspect}): {each.verdict.reason}" for each in failed[:_NAMED])
        rest = f" And {len(failed) - _NAMED} more." if len(failed) > _NAMED else ""
        return Verdict(INPUT_QUALITY, Outcome.FAIL, f"{named}{rest}", numbers)
    if window.outcome in (Outcome.INCONCLUSIVE, Outcome.ERROR):
        return Verdict(INPUT_QUALITY, window.outcome, window.reason, numbers)
    return Verdict(INPUT_QUALITY, Outcome.PASS, f"{len(tests)} tests of {window.rows:,} rows found nothing.", numbers)


def _back(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
