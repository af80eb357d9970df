"""How often years without a change show a fall, and how soon a real one is found; `-s` prints the table.

Records of days go through the code that judges live ones. The score at evaluation is 0.855, days' scores scatter by
0.06 at 170 rows a day: 0.036 by the luck of rows, 0.048 as days differ. The evaluation had thirty such days, with their
luck, and knows its own only as if days were independent.
"""

import sys
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.signal import lfilter

from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.quality.fall.since_promotion import Reference, RipeDay, judge_fall, trace_days
from mlops_assets.domain.quality.records import Estimated
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import QUALITY

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]

TRUE, FALL, SURE = 0.855, 0.076, 1.96
TESTED = 30  # days of the evaluation
YEARS, LIVES = 4, 12
QUIET, WATCHED = 40, 90  # days before a fall and after it
FALLS = 100


@dataclass(frozen=True)
class World:
    """`rows`: the luck of a day's rows; `days`: how days differ; `carried`: how much of it the next day keeps."""

    name: str
    per_day: int
    rows: float
    days: float
    carried: float = 0.0
    weekly: bool = False
    false: float = 0.125  # falls a year at most
    soon: float = 0.0  # share of falls found within ten days, at least
    found: float = 0.0  # within thirty

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        shocks = np.sqrt(1 - self.carried**2) * rng.normal(size=count + 50)
        weather = np.asarray(lfilter([1.0], [1.0, -self.carried], shocks))[50:]
        if self.weekly:
            weather = (weather + np.sqrt(2) * np.sin(2 * np.pi * np.arange(count) / 7)) / np.sqrt(2)
        return TRUE + self.days * weather + self.rows * rng.normal(size=count)


WORLDS = (
    World("days independent", 170, 0.036, 0.048, found=0.8),
    World("days carried on by 0.5", 170, 0.036, 0.048, carried=0.5, false=0.25, found=0.65),
    World("a weekly season", 170, 0.036, 0.048, weekly=True, found=0.85),
    World("days hardly differ", 170, 0.036, 0.010, found=0.95),
    World("days independent", 1_000, 0.015, 0.048, soon=0.4, found=0.9),
    World("days carried on by 0.5", 1_000, 0.015, 0.048, carried=0.5, false=0.25, soon=0.3, found=0.7),
    World("days differ by 0.02", 1_000, 0.015, 0.020, soon=0.9, found=0.98),
)


def judge_days(world: World, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """On which days a fall is proven."""
    tested = world.draw(TESTED, rng)
    at, reach = float(tested.mean()), SURE * np.hypot(world.rows, world.days) / np.sqrt(TESTED)
    reference = Reference(METRICS["auc"], Interval(at, at - reach, at + reach, 0.95, "delta"), QUALITY, SURE)
    wide = SURE * world.rows
    days = [RipeDay(f"day {n}", world.per_day, Estimated(v, v - wide, v + wide)) for n, v in enumerate(values.tolist())]
    verdicts = (judge_fall(found, reference) for found in trace_days(days, reference))
    return np.array([verdict.outcome is Outcome.FAIL for verdict in verdicts])


def count_alarms(proven: np.ndarray) -> int:
    """Days of a fall that follow another within a month are the same alarm."""
    days = np.flatnonzero(proven)
    return int((np.diff(days, prepend=-99) > 30).sum())


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: f"{world.per_day} a day, {world.name}")
def test_falls_by_chance_are_rare_and_real_ones_found(world):
    rng, count = np.random.default_rng(0), YEARS * 365
    alarms = sum(count_alarms(judge_days(world, world.draw(count, rng), rng)) for _ in range(LIVES))
    false = alarms / (YEARS * LIVES)
    needed = []
    for _ in range(FALLS):
        values = world.draw(QUIET + WATCHED, rng) - FALL * (np.arange(QUIET + WATCHED) >= QUIET)
        proven = np.flatnonzero(judge_days(world, values, rng)[QUIET:])
        needed.append(proven[0] + 1 if len(proven) else 999)
    middle, late = np.quantile(needed, [0.5, 0.9])
    soon, found = np.mean(np.array(needed) <= 10), np.mean(np.array(needed) <= 30)
    sys.stdout.write(
        f"  {world.per_day:>5,} rows a day, {world.name:<24} {false:.3f} false falls a year; a fall of {FALL}: after "
        f"{middle:.0f} days (nine in ten: {late:.0f}), {soon:.0%} within 10, {found:.0%} within 30\n"
    )
    assert false <= world.false
    assert soon >= world.soon
    assert found >= world.found
