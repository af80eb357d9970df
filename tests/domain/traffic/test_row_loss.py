"""The loss of a row, and which outcomes are understood."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.traffic.row_loss import LabelSpace, decode_labels, measure_losses

BINARY = LabelSpace(Kind.BINARY, ("no", "yes"), None)
MULTI = LabelSpace(Kind.MULTICLASS, ("1", "2", "x"), None)
NUMBER = LabelSpace(Kind.REGRESSION, (), 4.0)


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
        (LabelSpace(Kind.BINARY, ("false", "true"), None), True, 1),
        (LabelSpace(Kind.BINARY, ("0", "1"), None), 1.0, 1),
        (LabelSpace(Kind.BINARY, ("other", "3"), None), 3, 1),
        (LabelSpace(Kind.BINARY, ("other", "3"), None), 1, 0),
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
    (found,) = decode_labels(judged, pa.array([json.dumps(outcome)]))
    assert found == pytest.approx(expected, nan_ok=True)


def test_many_outcomes_keep_their_places():
    found = decode_labels(BINARY, pa.array(['"yes"', '"?"', '"no"', '"yes"', "not json"]))
    np.testing.assert_array_equal(found, [1, np.nan, 0, 1, np.nan])


def test_the_loss_of_a_probability_is_its_squared_error():
    np.testing.assert_allclose(measure_losses(BINARY, answers([0.9], [0.4]), np.array([1.0, 1.0])), [0.01, 0.36])


def test_the_worst_multiclass_loss_is_one():
    found = measure_losses(
        MULTI, answers([1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0]), np.array([2.0, 0.0, 1.0])
    )
    np.testing.assert_allclose(found, [1.0, 0.1875, 0.0])


def test_the_loss_of_a_number_is_a_part_of_the_targets_variance():
    np.testing.assert_allclose(measure_losses(NUMBER, answers([5.0]), np.array([3.0])), [1.0])


def test_always_answering_the_mean_costs_one():
    values = np.random.default_rng(0).normal(10, 3, 1000)
    judged = LabelSpace.of(SimpleNamespace(kind="regression", classes=()), {"label": {"std": float(values.std())}})
    found = measure_losses(judged, answers(*[[float(values.mean())]] * 1000), values)
    assert found.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("judged", [BINARY, MULTI, NUMBER])
def test_an_unknown_label_has_no_loss(judged):
    width = max(1, len(judged.classes)) if judged is MULTI else 1
    assert np.isnan(measure_losses(judged, answers([0.5] * width), np.array([np.nan]))).all()


def test_without_the_targets_variance_a_regression_is_not_judged():
    judged = LabelSpace.of(SimpleNamespace(kind="regression", classes=()), {})
    assert np.isnan(measure_losses(judged, answers([1.0]), np.array([1.0]))).all()
