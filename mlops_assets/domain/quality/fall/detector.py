"""Finds out, day by day, whether quality has fallen since a version began to answer. Pure; the day is the unit.

An e-detector (Shin, Ramdas and Rinaldo 2024): for each possible first day of a fall there is a bet against "this day
is at least the reference", which cannot gain on average while that is true; their sum, over several sizes of a fall
(Shiryaev and Roberts), reaches `PATIENCE` days once in as many days on average at the earliest, however often one
looks. The reference leaves out what does not matter and what luck of the evaluation may be: so versions that are what
their evaluation promised are hardly ever blamed. Days count by their long-run variance (`day_spread`), learnt from the
days before them; in a stretch that looks worse, around that stretch's own mean, so that a fall does not hide itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.domain.quality.fall.day_spread import measure_spread

Array = NDArray[np.float64]

PATIENCE = 4 * 365  # days between two false falls, at the least on average, of a version that is at the reference
_SIZES = np.array([0.25, 0.5, 1.0, 2.0])  # of falls, in standard deviations of a day
_WORST = 4.0  # standard deviations that one day counts at most: no single day proves a fall
_FORGIVEN = 20.0  # times the proof that evidence is kept of, so that better days end a fall
_LEARNT = 180  # latest days that the spread is learnt from


@dataclass(frozen=True)
class DayScore:
    """The realised score of a day, or of several days with few rows. More is better; `error`: by its rows alone."""

    day: str  # the first
    rows: int
    value: float
    error: float


@dataclass(frozen=True)
class FallLimits:
    """What the evaluation promised, its lower bound, and the fall that matters, all where more is better."""

    promised: float
    low: float
    fall: float

    @property
    def reference(self) -> float:
        """Days around here are no reason to worry: half of what matters, or luck of the evaluation."""
        return min(self.promised - self.fall / 2, self.low)


@dataclass(frozen=True)
class Suspicion:
    """What the days up to one say. `evidence`: 1 proves a fall; `spread`: the long-run variance beyond rows."""

    evidence: float
    since: int | None  # place of the first day of the stretch that looks worse; None: none does
    fall: float  # by how much that stretch is below what was promised
    spread: float

    def proves(self, limits: FallLimits) -> bool:
        return self.since is not None and self.evidence >= 1 and self.fall >= limits.fall


@dataclass
class _Bets:
    """Evidence for each size of a fall. `cusum` and `began` remember the likeliest first day."""

    evidence: Array
    cusum: Array
    began: NDArray[np.int64]

    def add(self, place: int, deviation: float) -> int | None:
        """Add a day that is so many standard deviations below the reference; returns the likeliest first day."""
        gain = _SIZES * deviation - np.square(_SIZES) / 2
        self.evidence = np.minimum((1 + self.evidence) * np.exp(gain), _FORGIVEN * PATIENCE)
        risen = np.minimum(self.cusum + gain, np.log(_FORGIVEN * PATIENCE))
        self.began = np.where(risen > 0, self.began, place + 1)
        self.cusum = np.maximum(risen, 0.0)
        best = int(np.argmax(self.cusum))
        return int(self.began[best]) if self.cusum[best] > 0 else None


def trace_suspicion(days: Sequence[DayScore], limits: FallLimits) -> Iterator[Suspicion]:
    """What is known after each day, oldest first."""
    values, noise = (np.array(each) for each in _columns(days))
    bets = _Bets(np.zeros(len(_SIZES)), np.zeros(len(_SIZES)), np.zeros(len(_SIZES), dtype=np.int64))
    since: int | None = None
    for place, value in enumerate(values):
        spread = _spread_before(values, noise, place, since=since, limits=limits)
        deviation = (limits.reference - value) / np.sqrt(noise[place] + spread)
        since = bets.add(place, min(float(deviation), _WORST))
        fall = limits.promised - float(values[since : place + 1].mean()) if since is not None else 0.0
        yield Suspicion(float(bets.evidence.mean()) / PATIENCE, since, fall, spread)


def forecast_days(fall: float, limits: FallLimits, variance: float) -> float:
    """About how many days a fall of this size takes to be proven; infinite where it does not matter."""
    visible = fall - (limits.promised - limits.reference)
    return float(2 * np.log(PATIENCE) * variance / visible**2) if visible > 0 else float("inf")


def _columns(days: Iterable[DayScore]) -> tuple[list[float], list[float]]:
    known = list(days)
    return [day.value for day in known], [day.error**2 for day in known]


def _spread_before(values: Array, noise: Array, place: int, *, since: int | None, limits: FallLimits) -> float:
    """From the days before this one; the stretch that looks worse has a level of its own."""
    first = max(0, place - _LEARNT)
    turn = place if since is None else max(since, first)
    usual = float(noise[first : place + 1].mean())
    return measure_spread([values[first:turn], values[turn:place]], usual, (limits.fall / 2) ** 2)
