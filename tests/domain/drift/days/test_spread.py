"""What is expected of a day, and how far days are from it."""

import numpy as np
import pytest
from scipy.signal import lfilter

from mlops_assets.domain.drift.days.spread import DaySpread, Likeness, fit_spread
from mlops_assets.domain.drift.days.training_days import blocks_of

FIRST = np.datetime64("2022-01-03")  # a Monday


def fit(values: np.ndarray, sampling: float = 0.01) -> DaySpread:
    days = FIRST + np.arange(len(values))
    noise = np.full(values.shape, sampling)
    return fit_spread(days, values, noise, blocks=blocks_of(len(days)), likeness=Likeness.of(days))


@pytest.mark.parametrize(
    ("days", "expected"), [(10, (False, False)), (27, (False, False)), (28, (True, False)), (360, (True, True))]
)
def test_so_many_days_tell_so_much_apart(days, expected):
    found = Likeness.of(FIRST + np.arange(days))
    assert (found.weekday, found.season) == expected


def test_a_weekend_is_expected_and_no_luck():
    draw = np.random.default_rng(0)
    weekend = np.arange(70) % 7 >= 5
    spread = fit(weekend[:, None] + draw.normal(0, 0.1, (70, 8)))
    saturday, monday = (spread.expect(np.array([FIRST + 70 + day])) for day in (5, 0))
    assert saturday == pytest.approx(np.ones(8), abs=0.15)
    assert monday == pytest.approx(np.zeros(8), abs=0.15)
    assert spread.between.max() < 0.01


def test_the_luck_of_days_is_what_sampling_does_not_explain():
    draw = np.random.default_rng(1)
    spread = fit(draw.normal(0, 0.3, (200, 20)) + draw.normal(0, 0.1, (200, 20)))
    assert spread.between.mean() == pytest.approx(0.09, rel=0.25)
    assert spread.freedom.min() > 100


def test_days_like_the_day_before_count_as_fewer():
    steps = np.random.default_rng(2).normal(size=(260, 20)) * 0.3 * np.sqrt(1 - 0.9**2)
    spread = fit(np.asarray(lfilter([1.0], [1.0, -0.9], steps, axis=0))[60:], 1e-4)
    assert spread.freedom.max() < 60
    assert spread.between.mean() > 0.09


def test_a_contrast_with_too_few_rows_says_nothing():
    values = np.random.default_rng(3).normal(size=(40, 2))
    days = FIRST + np.arange(40)
    noise = np.full(values.shape, 0.01)
    noise[:, 1] = np.inf
    spread = fit_spread(days, values, noise, blocks=blocks_of(40), likeness=Likeness.of(days))
    assert np.isnan(spread.left[:, 1]).all()
    assert spread.chance(np.array([5.0, 5.0]), np.array([0.01, np.inf]))[1] == 1.0
