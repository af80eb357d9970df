"""The loss of a row, and which outcomes are understood."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.traffic.row_loss import Judged, labels, losses

BINARY = Judged(Kind.BINARY, ("no", "yes"), None)
MULTI = Judged(Kind.MULTICLASS, ("1", "2", "x"), None)
NUMBER = Judged(Kind.REGRESSION, (), 4.0)


def answers(*rows: list[float]) -> pa.ListArray:
    return pa.array(rows, pa.list_(pa.float64()))


@pytest.mark.parametrize(
    ("judged", "outcome", "expected"),
    [
        (BINARY, "yes", 1),
        (BINARY, "no", 0),
        (BINARY, True, 1),
        (BINARY, 0, 0),
        (BINARY, "perhaps", math.nan),
        (Judged(Kind.BINARY, ("false", "true"), None), True, 1),
        (Judged(Kind.BINARY, ("0", "1"), None), 1.0, 1),
        (Judged(Kind.BINARY, ("other", "3"), None), 3, 1),
        (Judged(Kind.BINARY, ("other", "3"), None), 1, 0),
        (MULTI, 2, 1),
        (MULTI, "x", 2),
        (MULTI, "y", math.nan),
        (NUMBER, 2.5, 2.5),
        (NUMBER, "2.5", 2.5),
        (NUMBER, -3, -3),
        (NUMBER, 1e-3, 1e-3),
        (NUMBER, "much", math.nan),
        (NUMBER, True, math.nan),
    ],
)
def test_outcomes_as_labels(judged, outcome, expected):
    (found,) = labels(judged, pa.array([json.dumps(outcome)]))
    assert found == pytest.approx(expected, nan_ok=True)


def test_many_outcomes_keep_their_places():
    found = labels(BINARY, pa.array(['"yes"', '"?"', '"no"', '"yes"', "not json"]))
    np.testing.assert_array_equal(found, [1, np.nan, 0, 1, np.nan])


def test_the_loss_of_a_probability_is_its_squared_error():
    np.testing.assert_allclose(losses(BINARY, answers([0.9], [0.4]), np.array([1.0, 1.0])), [0.01, 0.36])


def test_the_worst_multiclass_loss_is_one():
    found = losses(MULTI, answers([1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0]), np.array([2.0, 0.0, 1.0]))
    np.testing.assert_allclose(found, [1.0, 0.1875, 0.0])


def test_the_loss_of_a_number_is_a_part_of_the_targets_variance():
    np.testing.assert_allclose(losses(NUMBER, answers([5.0]), np.array([3.0])), [1.0])


def test_always_answering_the_mean_costs_one():
    values = np.random.default_rng(0).normal(10, 3, 1000)
    judged = Judged.of(SimpleNamespace(kind="regression", classes=()), {"label": {"std": float(values.std())}})
    found = losses(judged, answers(*[[float(values.mean())]] * 1000), values)
    assert found.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("judged", [BINARY, MULTI, NUMBER])
def test_an_unknown_label_has_no_loss(judged):
    width = max(1, len(judged.classes)) if judged is MULTI else 1
    assert np.isnan(losses(judged, answers([0.5] * width), np.array([np.nan]))).all()


def test_without_the_targets_variance_a_regression_is_not_judged():
    judged = Judged.of(SimpleNamespace(kind="regression", classes=()), {})
    assert np.isnan(losses(judged, answers([1.0]), np.array([1.0]))).all()
