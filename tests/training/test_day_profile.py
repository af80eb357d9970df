"""The days of the training rows, as a profile keeps them."""

import numpy as np

from mlops_assets.domain.drift.days.like_days import fit_like_days
from mlops_assets.domain.drift.days.training_days import MOST_WEEKS, TrainingDays, days_from_plain
from mlops_assets.domain.drift.reference import read_features
from mlops_assets.training.day_profile import describe_days
from tests.kit.watching import profile_of

FIRST = np.datetime64("2020-01-06")
Apart = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def described(columns: dict[str, np.ndarray], days: int, apart: Apart | None = None) -> TrainingDays | None:
    rows = len(next(iter(columns.values()))) // days
    words = {name: values for name, values in columns.items() if values.dtype == object}
    numbers = {name: values for name, values in columns.items() if name not in words}
    reference = read_features(profile_of(numbers, words))
    moments = np.repeat(FIRST + np.arange(days), rows)
    return days_from_plain(describe_days(moments, reference, columns, apart=apart))


def test_what_no_other_block_has_is_strange():
    values, words = np.tile(np.arange(50.0), 20), np.tile(np.array(["a", "b"], dtype=object), 500)
    values[5 * 50 + 3] = 99.0
    words[7 * 50 : 7 * 50 + 4] = "once"
    found = described({"x": values, "word": words}, 20)
    assert found is not None
    assert found.columns["x"].strange.tolist() == [0] * 5 + [1] + [0] * 14
    assert found.columns["word"].strange.tolist() == [0] * 7 + [4] + [0] * 12


def test_missing_values_are_counted_by_day():
    values, words = np.arange(1_000.0), np.full(1_000, "a", dtype=object)
    values[50:60], words[950:953] = np.nan, ""
    found = described({"x": values, "word": words}, 20)
    assert found is not None
    assert (found.columns["x"].nulls[1], found.columns["x"].known[1]) == (10, 40)
    assert (found.columns["word"].nulls[19], found.columns["word"].known[19]) == (3, 47)


def test_days_are_bounded_and_few_are_none():
    values = np.random.default_rng(0).normal(size=3_000)
    found = described({"x": values}, 1_500)
    assert found is not None
    assert 7 * (MOST_WEEKS - 1) < len(found.days) <= 7 * MOST_WEEKS
    assert found.days[-1] == FIRST + 1_499
    assert described({"x": values}, 9) is None
    assert describe_days(None, {}, {}) is None


def test_what_two_models_say_of_the_same_rows_is_no_drift():
    draw = np.random.default_rng(1)
    values = draw.normal(size=30_000)
    sure, doubtful = (
        described({"x": values}, 30, apart) for apart in (None, ({"x": values[:5_000]}, {"x": values[:5_000] + 0.3}))
    )
    assert sure is not None
    assert doubtful is not None
    reference = read_features(profile_of({"x": values}))
    spreads = [fit_like_days(each, reference).scales[0].spread.between[0] for each in (sure, doubtful)]
    assert spreads[0] < 0.01
    assert 0.2**2 < spreads[1] < 0.4**2
