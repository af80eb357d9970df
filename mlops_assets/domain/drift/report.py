"""What is kept of a watched day, and how days become windows and windows an alarm.

A day with too few rows is not failed: the day after takes its rows in, until together they are enough. Windows so made
share no row, so the rates that `alarm` was simulated with hold. Pure.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.check_names import DRIFT_ALARM, INPUT_QUALITY
from mlops_assets.domain.drift.alarm import judge_alarm
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.window import DriftFinding, WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict

REACH = 31  # days back that may count
NO_DAYS = (
    "all training rows together, taken for independent: they have fewer than ten days, so that nothing is known of how "
    "much days differ, and alarms may be too many"
)
_QUALITY = (Aspect.SCHEMA, Aspect.MISSING, Aspect.RANGE, Aspect.UNSEEN)
_NAMED = 5  # columns named in a sentence
_WHOLLY = 2.0  # strength of a change that has no size: a column that is gone


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
) -> Verdict:
    """The alarm on this day: windows of the same version count, each row once."""
    known = [each for each in earlier if _back(day, REACH) <= each.day < day]
    spans = [*((each.since, each.day) for each in known), (since, day)]
    windows = [
        each.window
        for each in known
        if each.bundle in (bundle, "") and not any(first <= each.day < last for first, last in spans)
    ]
    return replace(judge_alarm([*windows, window], policy), name=DRIFT_ALARM)


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


def measure_strengths(window: WindowDrift, policy: DriftPolicy) -> Mapping[str, float]:
    """What was compared → its largest change as a multiple of the least that is material."""
    found: dict[str, float] = {}
    for each in window.findings:
        name = describe_column(each)
        found[name] = max(found.get(name, 0.0), _strength(each, policy))
    return found


def describe_column(finding: DriftFinding) -> str:
    """The column as a person knows it."""
    if finding.aspect is Aspect.PREDICTION:
        return f"answer: {finding.column}"
    return f"outcome: {finding.column}" if finding.aspect is Aspect.LABEL else finding.column


def _strength(finding: DriftFinding, policy: DriftPolicy) -> float:
    numbers = finding.verdict.numbers
    if finding.aspect is Aspect.SCHEMA:
        return _WHOLLY if finding.drifted else 0.0
    sizes = [
        numbers.get("moved", 0.0) / policy.moved,
        numbers.get("ks", 0.0) / policy.ks,
        numbers.get("cramers_v", 0.0) / policy.cramers_v,
        max(numbers.get("auc", 0.5) - 0.5, 0.0) / (policy.together - 0.5),
    ]
    if numbers.get("rows", 0.0) >= policy.psi_rows:
        sizes.append(numbers.get("psi_beyond_chance", 0.0) / policy.psi)
    if "share" in numbers:
        change = numbers["share"] - numbers["share_in_training"]
        sizes.append((abs(change) if finding.aspect is Aspect.MISSING else change) / _limit(finding.aspect, policy))
    return max(sizes)


def _limit(aspect: Aspect, policy: DriftPolicy) -> float:
    limits = {Aspect.MISSING: policy.null_share, Aspect.RANGE: policy.out_of_range, Aspect.UNSEEN: policy.unseen}
    return limits[aspect]


def _back(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
