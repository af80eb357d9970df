"""What contrasts say of a column."""

import numpy as np
import pytest
from scipy.stats import norm

from mlops_assets.domain.drift.days.contrasts import moved_share, normal_shift, quantile_noise, quantile_of, share_of
from mlops_assets.domain.drift.reference import NumberReference
from tests.kit.watching import reference_of

DRAW = np.random.default_rng(0)
NUMBER = reference_of({"x": DRAW.normal(size=20_000)}).features["x"]


def contrast(values: np.ndarray) -> np.ndarray:
    assert isinstance(NUMBER, NumberReference)
    cells = NUMBER.edges.searchsorted(values, "left") + NUMBER.edges.searchsorted(values, "right")
    return NUMBER.contrast(np.bincount(cells, minlength=len(NUMBER.cells)))


@pytest.mark.parametrize("shift", [-0.3, 0.1, 0.3])
def test_a_shift_is_told_in_standard_deviations_and_in_rows(shift):
    ranks = contrast(DRAW.normal(size=200_000) + shift)[:4]
    assert normal_shift(ranks) == pytest.approx(shift, abs=0.02)
    assert moved_share(ranks) == pytest.approx(2 * norm.cdf(abs(shift) / 2) - 1, abs=0.02)


def test_a_shift_is_no_change_of_spread_on_the_bell_curve():
    mean, spread, lean, peak = contrast(DRAW.normal(size=200_000) + 0.5)[4:]
    assert mean == pytest.approx(0.5, abs=0.02)
    assert max(abs(spread), abs(lean), abs(peak)) < 0.03
    assert contrast(DRAW.normal(size=200_000) * 1.5)[5] == pytest.approx(np.log(1.5), abs=0.05)


def test_the_noise_of_a_row_is_what_is_simulated():
    found = np.array([contrast(DRAW.normal(size=500)) for _ in range(400)])
    assert isinstance(NUMBER, NumberReference)
    assert found.var(axis=0) * 500 == pytest.approx(NUMBER.noise, rel=0.35)


def test_a_share_comes_back_from_its_angle_and_is_normal():
    angle = 2 * np.arcsin(np.sqrt(0.05))
    assert share_of(angle) == pytest.approx(0.05)
    assert quantile_of(angle, 10**6) == pytest.approx(norm.ppf(0.05), abs=1e-4)
    draws = DRAW.binomial(2_000, 0.2, 4_000) / 2_000
    quantiles = quantile_of(2 * np.arcsin(np.sqrt(draws)), 2_000)
    assert quantiles.var() * 2_000 == pytest.approx(quantile_noise(np.array(0.2)), rel=0.1)
