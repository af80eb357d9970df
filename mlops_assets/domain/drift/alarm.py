"""When windows that drifted add up to an alarm: so many of the last ones, the latest among them. Pure."""

from collections import Counter
from collections.abc import Sequence

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.window import WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict

ALARM = "drift"


def judge_alarm(windows: Sequence[WindowDrift], policy: DriftPolicy) -> Verdict:
    """FAIL is the alarm. `windows` are those known, oldest first; an inconclusive one counts as not drifted."""
    last = windows[-policy.of_last :]
    drifted = [each for each in last if each.outcome is Outcome.FAIL]
    numbers = {"drifted": float(len(drifted)), "of": float(len(last)), "needed": float(policy.needed)}
    if not last or last[-1].outcome in (Outcome.INCONCLUSIVE, Outcome.ERROR):
        why = f"window {last[-1].window}: {last[-1].reason}" if last else "there is no window yet."
        return Verdict(ALARM, Outcome.INCONCLUSIVE, why, numbers)
    rule = f"{len(drifted)} of the last {len(last)} windows drifted, {policy.needed} are needed"
    if last[-1].outcome is Outcome.PASS:
        return Verdict(ALARM, Outcome.PASS, f"The latest window, {last[-1].window}, has not drifted; {rule}.", numbers)
    if len(drifted) < policy.needed:
        return Verdict(ALARM, Outcome.PASS, f"Window {last[-1].window} drifted, but only {rule}.", numbers)
    often = ", ".join(f"{name} ({count})" for name, count in count_drifted(drifted).most_common(5))
    return Verdict(ALARM, Outcome.FAIL, f"{rule}: {often}. Latest: {last[-1].reason}", numbers)


def count_drifted(windows: Sequence[WindowDrift]) -> Counter[str]:
    """What drifted → in how many windows."""
    return Counter(name for each in windows for name in dict.fromkeys(found.column for found in each.drifted))
