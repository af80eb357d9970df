"""The rule by which a number with an interval is placed against a limit. Which ones: see `gates`.

The whole interval on the good side passes, on the bad side fails; a limit inside it is inconclusive.
"""

from collections.abc import Iterable, Sequence
from math import isnan
from statistics import NormalDist

from mlops_assets.domain.evaluation.evidence import Interval, Measured
from mlops_assets.domain.verdict import Outcome, Verdict, worst

POWER = 0.8  # with which a slice that lost nothing has to pass before it may bind


def judge_interval(
    gate: str, what: str, interval: Interval, limit: float, remedy: str, *, sign: int = 1, prefix: str = ""
) -> Verdict:
    """The rule. `sign` is 1 where higher is better, else -1."""
    bounds = {"estimate": interval.estimate, "low": interval.low, "high": interval.high, "limit": limit}
    numbers = {prefix + name: value for name, value in bounds.items()}
    if any(isnan(value) for value in bounds.values()):
        return Verdict(gate, Outcome.ERROR, f"{what}: not a number; measure again.", numbers)
    worse, better = (interval.low, interval.high) if sign > 0 else (interval.high, interval.low)
    if sign * (worse - limit) > 0:
        return Verdict(gate, Outcome.PASS, f"{what}: shown.", numbers)
    if sign * (better - limit) < 0:
        return Verdict(gate, Outcome.FAIL, f"{what}: {remedy}", numbers)
    hint = _rows_needed(abs(interval.estimate - worse), sign * (interval.estimate - limit))
    return Verdict(gate, Outcome.INCONCLUSIVE, f"{what}: not shown either way. {hint} Else: {remedy}", numbers)


def _rows_needed(reach: float, distance: float) -> str:
    """What would settle it; `distance` is how far the estimate lies on the good side."""
    if reach == 0:
        return "There is no difference at all."
    if distance <= 0.05 * reach:
        return "More rows alone are unlikely to show it."
    return f"If the estimate holds, about {(reach / distance) ** 2:.1f} times the rows would show it."


def can_decide(gain: Interval, loss: float) -> bool:
    """Would a slice whose true gain is 0 be shown to lose less than `loss` with probability `POWER`?"""
    normal = NormalDist()
    confident = normal.inv_cdf((1 + gain.level) / 2)
    reach = gain.estimate - gain.low
    return reach * (confident + normal.inv_cdf(POWER)) / confident <= loss


def judge_measured(gate: str, measured: Sequence[Measured], remedy: str) -> Verdict:
    over = [m for m in measured if not m.value <= m.limit]
    largest = max(over or measured, key=lambda m: m.value)
    numbers = {"value": largest.value, "limit": largest.limit}
    told = "; ".join(f"{m.where}: {m.value:.4g}, limit {m.limit:g}" for m in over or (largest,))
    if any(isnan(m.value) for m in measured):
        return Verdict(gate, Outcome.ERROR, f"{told}. A measurement is not a number: measure again.", numbers)
    outcome = Outcome.FAIL if over else Outcome.PASS
    return Verdict(gate, outcome, f"{told}: {remedy}" if over else f"{told}.", numbers)


def combine_verdicts(gate: str, verdicts: Iterable[Verdict], all_well: str) -> Verdict:
    """The worst outcome, with every reason that is not a pass."""
    verdicts = tuple(verdicts)
    numbers = {key: value for verdict in verdicts for key, value in verdict.numbers.items()}
    bad = [verdict.reason for verdict in verdicts if not verdict.passed]
    return Verdict(gate, worst(verdicts), " ".join(bad) if bad else f"Shown: {all_well}.", numbers)


def pass_undeclared(gate: str, field: str) -> Verdict:
    return Verdict(gate, Outcome.PASS, f"Nothing declared in {field}.", {})


def fail_unmeasured(gate: str, field: str) -> Verdict:
    return Verdict(gate, Outcome.ERROR, f"{field} was not measured: look into the log of the evaluation.", {})
