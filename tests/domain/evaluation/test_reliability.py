"""Calibration of a model that is right, too sure, shifted, or constant."""

import numpy as np
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.calibration import Reliability, reliability
from mlops_assets.domain.evaluation.metrics import UnmeasurableError


def of(kind: Kind, labels: np.ndarray, scores: np.ndarray) -> Reliability:
    return reliability(kind, labels, scores, level=0.95, rng=np.random.default_rng(0), resamples=200)


def chances(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=1.2, size=rows)
    chance = 1 / (1 + np.exp(-logits))
    return (rng.random(rows) < chance).astype(int), logits


@pytest.mark.parametrize(
    ("factor", "shift"), [(1.0, 0.0), (2.0, 0.0), (1.0, 0.7)], ids=["right", "too sure", "shifted"]
)
def test_slope_and_intercept_tell_what_is_wrong(factor: float, shift: float) -> None:
    labels, logits = chances()
    found = of(Kind.BINARY, labels, 1 / (1 + np.exp(-(factor * logits + shift))))
    assert found.slope == pytest.approx(1 / factor, abs=0.05)
    assert found.intercept == pytest.approx(-shift / factor, abs=0.06)
    assert (found.error.high < 0.02) == (factor == 1 and shift == 0)
    assert sum(b.rows for b in found.bins) == 20_000
    assert all(b.low <= b.observed <= b.high for b in found.bins)


def test_a_constant_model_has_one_bin_and_no_line() -> None:
    labels, _ = chances(1000)
    found = of(Kind.BINARY, labels, np.full(1000, 0.5))
    assert (len(found.bins), found.slope) == (1, None)


def test_separated_classes_have_no_line() -> None:
    labels = np.array([0, 1] * 200)
    assert of(Kind.BINARY, labels, labels * 0.8 + 0.1).slope is None


def test_of_many_classes_the_likeliest_counts() -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 5000)
    labels = np.array([rng.choice(3, p=p) for p in scores])
    assert of(Kind.MULTICLASS, labels, scores).error.estimate < 0.03


def test_numbers_are_told_in_standard_deviations_of_the_label() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 20, 5000)
    found = of(Kind.REGRESSION, truth, truth + 10)
    assert found.error.estimate == pytest.approx(0.5, abs=0.01)
    assert found.slope == pytest.approx(1)
    thousandfold = of(Kind.REGRESSION, 1000 * truth, 1000 * (truth + 10))
    assert thousandfold.error.estimate == pytest.approx(found.error.estimate)


def test_labels_that_do_not_differ_are_refused() -> None:
    with pytest.raises(UnmeasurableError, match="labels that differ"):
        of(Kind.REGRESSION, np.ones(10), np.arange(10.0))
