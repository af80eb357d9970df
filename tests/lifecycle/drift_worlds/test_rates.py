"""False alarms where days differ and nothing changes, and what is found where something does. `-s` prints."""

import sys

import numpy as np
import pytest

from mlops_assets.domain.drift.days.compare import TrainingPast
from mlops_assets.domain.drift.distances import Aspect
from tests.lifecycle.drift_worlds.days import WORLDS, Change, DriftWorld, count_begun, day_effects, independent

YEAR = 365


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


@pytest.mark.simulation
@pytest.mark.parametrize("name", WORLDS)
def test_days_that_differ_alarm_at_most_once_a_year(name):
    effects, trained = WORLDS[name]
    alarms, seeds = 0, 4
    for seed in range(seeds):
        alarms += count_begun(DriftWorld(effects, trained, 500, YEAR, seed).judge(500))
    say(f"{name}: {trained} training days, 20 columns, 500 rows a day: {alarms / seeds:.2g} false alarms a year")
    assert alarms <= seeds


@pytest.mark.simulation
@pytest.mark.parametrize(
    "name", [each for each in WORLDS if each not in ("a season of 1 sd", "days like the day before")]
)
def test_more_rows_bring_no_more_false_alarms(name):
    effects, trained = WORLDS[name]
    windows = DriftWorld(effects, trained, 500, 120, 7).judge(20_000)
    say(f"{name}: 120 windows of 20,000 rows, trained on days of 500: {count_begun(windows)} false alarms")
    assert count_begun(windows) == 0


def shifted(columns: dict[str, np.ndarray], draw: np.random.Generator) -> dict[str, np.ndarray]:
    return columns | {"bell0": columns["bell0"] + 0.3}


def vanished(columns: dict[str, np.ndarray], draw: np.random.Generator) -> dict[str, np.ndarray]:
    """The rarest category, of 5 %, is gone."""
    return columns | {"word16": np.where(columns["word16"] == "e", "a", columns["word16"])}


def scaled(columns: dict[str, np.ndarray], draw: np.random.Generator) -> dict[str, np.ndarray]:
    return columns | {"bell0": columns["bell0"] * 1.6}


@pytest.mark.simulation
@pytest.mark.parametrize("rows", [500, 5_000])
@pytest.mark.parametrize("change", [shifted, vanished, scaled], ids=lambda change: change.__name__)
def test_a_change_in_one_of_20_columns_is_found_in_three_days(change: Change, rows: int):
    caught, runs = 0, 40
    for seed in range(runs // 10):
        world = DriftWorld(independent, 60, 500, 30, seed)
        windows = world.judge(rows, change)
        caught += sum(count_begun(windows[begin : begin + 3]) > 0 for begin in range(0, 30, 3))
    say(f"{change.__name__}, {rows:,} rows a day, 60 training days: {caught} of {runs} alarms within 3 days")
    assert caught >= 0.95 * runs


@pytest.mark.simulation
def test_what_days_of_their_own_luck_hide_is_printed():
    world = DriftWorld(day_effects, 60, 500, 60, 3)
    by_size = {}
    for size in (0.3, 1.0, 2.0):
        windows = world.judge(500, lambda columns, draw, by=size: columns | {"bell0": columns["bell0"] + by})
        by_size[size] = np.mean([count_begun(windows[begin : begin + 3]) > 0 for begin in range(0, 60, 3)])
    usual = usual_deviation(world.reference[1])
    say(f"days of 5 % of variance: like days differ by {usual:.2f} sd; found within 3 days, by shift: {by_size}")
    assert by_size[2.0] >= 0.95
    assert 0.2 < usual < 0.4


def usual_deviation(past: TrainingPast) -> float:
    return float(np.sqrt(past.like[Aspect.FEATURE].scales[0].spread.between[0] + 1 / 500))
