"""Replays the training days through the very policy that judges live ones: how often would it have alarmed? Pure.

Each day is expected without its own block of days. Where the days alarm more often than is declared, the threshold is
tightened until they do not: training data hold no drift by definition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.days.like_days import LikeDays
from mlops_assets.domain.drift.days.pairs import PairDays
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.many_tests import holm

_YEAR = 365.25


@dataclass(frozen=True)
class DayReplay:
    """What became of the training days."""

    days: int
    alpha: float  # the threshold of a window, over all its tests
    before: int  # alarms at the declared threshold
    alarms: int  # at `alpha`
    drifted: int  # days, at `alpha`
    likeness: str

    def __str__(self) -> str:
        text = f"{self.days} days of the training data, compared by {self.likeness}, replayed: {self.before} alarms"
        if self.before > self.alarms:
            text += f", {self.alarms} since the threshold was tightened to p < {self.alpha:.2g}"
        return f"{text} ({self.alarms * _YEAR / max(self.days, 1):.2g} a year)"


def replay_days(like: Mapping[Aspect, LikeDays], pairs: PairDays | None, policy: DriftPolicy) -> DayReplay:
    """Judge every training day by all that is judged of a live one."""
    levels = np.array(list(measure_levels(like, pairs, policy).values()))
    allowed = int(policy.alarms_a_year * len(levels) / _YEAR)
    alpha, before = policy.alpha, count_alarms(levels, policy, policy.alpha)
    if before > allowed:
        alpha = _tightened(levels, policy, allowed)
    alarms, drifted = count_alarms(levels, policy, alpha), int((levels < alpha).sum())
    return DayReplay(len(levels), alpha, before, alarms, drifted, str(like[Aspect.FEATURE].likeness))


def measure_levels(like: Mapping[Aspect, LikeDays], pairs: PairDays | None, policy: DriftPolicy) -> dict[str, float]:
    """Day → the threshold below which it has not drifted, oldest first."""
    tests: dict[str, list[tuple[float, bool]]] = {}
    measured = [(each.days, found) for aspect, each in like.items() for found in _columns(aspect, each, policy)]
    measured += [(pairs.days, pairs.measure_training(policy))] if pairs else []
    for days, (chances, materials) in measured:
        for day, p, material in zip(days.astype(str).tolist(), chances, materials, strict=True):
            tests.setdefault(day, []).append((float(p), bool(material)))
    return {day: _level(tests[day]) for day in sorted(tests)}


def count_alarms(levels: np.ndarray, policy: DriftPolicy, alpha: float) -> int:
    """How many shifts begin, as `event` follows them, when a day drifts below `alpha`."""
    drifted, begun, goes_on = levels < alpha, 0, False
    for day in range(len(levels)):
        last = drifted[max(day + 1 - policy.of_last, 0) : day + 1]
        begins = bool(last[-1]) and int(last.sum()) >= policy.needed
        begun += begins and not goes_on
        goes_on = begins or (goes_on and bool(last.any()))
    return begun


def _columns(aspect: Aspect, like: LikeDays, policy: DriftPolicy) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    window, excluded = like.place_training(), policy.exclude if aspect is Aspect.FEATURE else ()
    return [
        (measured.p, measured.material)
        for name in like.places
        if name not in excluded
        for measured in like.measure(name, window, policy)
    ]


def _level(tests: Sequence[tuple[float, bool]]) -> float:
    adjusted = holm([p for p, _ in tests])
    return min((p for p, (_, material) in zip(adjusted, tests, strict=True) if material), default=1.0)


def _tightened(levels: np.ndarray, policy: DriftPolicy, allowed: int) -> float:
    """The largest threshold with few enough alarms; lower still where a year was not replayed."""
    short = min(len(levels) * policy.alarms_a_year / _YEAR, 1.0)
    for level in np.unique(levels[levels < policy.alpha])[::-1]:
        if count_alarms(levels, policy, level) <= allowed:
            return float(level) * short
    return 0.0
