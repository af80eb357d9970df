"""What a stretch of days proves: falls, recoveries, single bad days, and the forecast of how long proof takes."""

import numpy as np
import pytest

from mlops_assets.domain.quality.fall.day_spread import measure_spread
from mlops_assets.domain.quality.fall.detector import DayScore, FallLimits, Suspicion, forecast_days, trace_suspicion

LIMITS = FallLimits(promised=0.8, low=0.79, fall=0.04)


def trace(*values: float, error: float = 0.02, limits: FallLimits = LIMITS) -> list[Suspicion]:
    return list(trace_suspicion([DayScore(f"{n}", 500, value, error) for n, value in enumerate(values)], limits))


def test_good_days_prove_nothing_and_a_fall_is_dated():
    found = trace(*[0.8, 0.81, 0.79] * 5, *[0.7] * 12)
    assert not any(each.proves(LIMITS) for each in found[:16])
    assert found[-1].proves(LIMITS)
    assert found[-1].since == 15
    assert found[-1].fall == pytest.approx(0.1)


def test_one_day_proves_nothing_however_bad():
    assert not any(each.proves(LIMITS) for each in trace(*[0.8] * 10, 0.0, *[0.8] * 10))


def test_better_days_end_a_fall():
    found = trace(*[0.8] * 10, *[0.7] * 30, *[0.8] * 40)
    assert found[39].proves(LIMITS)
    assert not found[-1].proves(LIMITS)
    assert found[-1].evidence < 0.1


def test_a_fall_that_does_not_matter_is_never_proven():
    assert not any(each.proves(LIMITS) for each in trace(*[0.77] * 400))


def test_luck_of_the_evaluation_is_no_fall():
    lucky = FallLimits(promised=0.8, low=0.74, fall=0.04)
    assert not any(each.proves(lucky) for each in trace(*[0.75] * 400, limits=lucky))
    assert trace(*[0.75] * 400)[-1].proves(LIMITS)


def test_days_that_differ_much_need_more_of_them():
    noise = np.random.default_rng(0).normal(0, 0.05, 60)
    calm = next(n for n, each in enumerate(trace(*[0.72] * 60)) if each.proves(LIMITS))
    rough = next(n for n, each in enumerate(trace(*(0.72 + noise))) if each.proves(LIMITS))
    assert calm < rough


def test_the_forecast_says_how_long_a_proof_takes():
    needed = forecast_days(0.08, LIMITS, 0.03**2)
    assert needed == pytest.approx(2 * np.log(1460) * (0.03 / 0.06) ** 2)
    assert forecast_days(0.02, LIMITS, 0.03**2) == float("inf")


@pytest.mark.parametrize(("carried", "least", "most"), [(0.0, 0.9, 1.6), (0.5, 1.9, 3.0)])
def test_the_spread_is_that_of_sums_of_days(carried, least, most):
    """Of many days: (1 + r) / (1 - r) of a day's own variance, as far as five days reach."""
    draw, found = np.random.default_rng(1), []
    for _ in range(50):
        days = [float(draw.normal())]
        for shock in draw.normal(size=399):
            days.append(carried * days[-1] + np.sqrt(1 - carried**2) * shock)
        found.append(measure_spread([np.array(days)], 0.0, 0.0))
    assert least < np.mean(found) < most


def test_few_days_spread_as_expected_and_accidents_hardly():
    assert measure_spread([], 0.01, 0.5) == pytest.approx(1.5)
    days = np.random.default_rng(2).normal(0, 0.01, 60)
    spoilt = np.where(np.arange(60) == 30, 5.0, days)
    assert measure_spread([spoilt], 0.01**2, 0.0) < 4 * 0.01**2


def test_the_rows_luck_is_no_spread_of_days():
    days = np.random.default_rng(3).normal(0, 0.05, 150)
    assert measure_spread([days], 0.05**2, 0.0) < 0.3 * 0.05**2
