"""Metrics against scikit-learn, and their influence values against numeric derivatives."""

import numpy as np
import pytest
from sklearn import metrics as reference

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError, metric_named, metrics_for


def binary(rows: int = 400, decimals: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = (rng.random(rows) < 0.3).astype(int)
    return labels, np.round(1 / (1 + np.exp(-(labels + rng.normal(size=rows) - 0.5))), decimals)  # with ties


def classes(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, rows)
    raw = np.exp(rng.normal(size=(rows, 3)) + 1.5 * np.eye(3)[labels])
    return labels, raw / raw.sum(axis=1, keepdims=True)


def numbers(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.gamma(2.0, 50.0, rows)
    return labels, np.abs(labels + rng.normal(scale=20, size=rows))


SAMPLES = {Kind.BINARY: binary, Kind.MULTICLASS: classes, Kind.REGRESSION: numbers}
EVERY = [(kind, metric.name) for kind in Kind for metric in metrics_for(kind)]

REFERENCE = {
    (Kind.BINARY, "auc"): reference.roc_auc_score,
    (Kind.BINARY, "average_precision"): reference.average_precision_score,
    (Kind.BINARY, "accuracy"): lambda y, s: reference.accuracy_score(y, s >= 0.5),
    (Kind.BINARY, "f1"): lambda y, s: reference.f1_score(y, s >= 0.5),
    (Kind.BINARY, "log_loss"): reference.log_loss,
    (Kind.BINARY, "brier"): reference.brier_score_loss,
    (Kind.MULTICLASS, "auc"): lambda y, s: reference.roc_auc_score(y, s, multi_class="ovr"),
    (Kind.MULTICLASS, "average_precision"): lambda y, s: reference.average_precision_score(np.eye(3)[y], s),
    (Kind.MULTICLASS, "accuracy"): lambda y, s: reference.accuracy_score(y, s.argmax(axis=1)),
    (Kind.MULTICLASS, "f1"): lambda y, s: reference.f1_score(y, s.argmax(axis=1), average="macro"),
    (Kind.MULTICLASS, "log_loss"): reference.log_loss,
    (Kind.REGRESSION, "r2"): reference.r2_score,
    (Kind.REGRESSION, "mae"): reference.mean_absolute_error,
    (Kind.REGRESSION, "rmse"): reference.root_mean_squared_error,
    (Kind.REGRESSION, "rmsle"): reference.root_mean_squared_log_error,
}


@pytest.mark.parametrize(("kind", "name"), REFERENCE)
def test_agrees_with_scikit_learn(kind: Kind, name: str) -> None:
    labels, scores = SAMPLES[kind]()
    assert METRICS[name](labels, scores) == pytest.approx(REFERENCE[kind, name](labels, scores), abs=1e-9)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_influence_is_the_derivative_by_each_rows_weight(kind: Kind, name: str) -> None:
    labels, scores = SAMPLES[kind]()
    estimator = METRICS[name].prepare(labels, scores)
    rows, step = len(labels), 1e-6
    moved = estimator.resampled(np.ones((rows, rows)) + step * np.eye(rows))
    numeric = (moved - estimator.resampled(np.ones((1, rows)))) / step * rows
    assert estimator.influence() == pytest.approx(numeric, abs=2e-3 * max(1, np.abs(numeric).max()))
    assert estimator.influence().mean() == pytest.approx(0, abs=1e-9 * max(1, np.abs(numeric).max()))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_influence_at_weights_is_the_derivative_there(kind: Kind, name: str) -> None:
    labels, scores = SAMPLES[kind]()
    estimator = METRICS[name].prepare(labels, scores)
    rows, step = len(labels), 1e-6
    weights = np.random.default_rng(0).uniform(0.2, 1.8, rows)
    numeric = (estimator.resampled(weights + step * np.eye(rows)) - estimator.resampled(weights[None])) / step * rows
    assert estimator.influence(weights) == pytest.approx(numeric, abs=2e-3 * max(1, np.abs(numeric).max()))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_weight_of_two_is_the_row_twice(kind: Kind, name: str) -> None:
    if name == "ece":
        pytest.skip("a doubled row would move the bins, which resampling keeps")
    labels, scores = SAMPLES[kind](60)
    weights = np.random.default_rng(0).integers(0, 3, (1, 60)).astype(float)
    doubled = np.repeat(np.arange(60), weights[0].astype(int))
    resampled = METRICS[name].prepare(labels, scores).resampled(weights)[0]
    expected = METRICS[name](labels[doubled], scores[doubled])
    assert resampled == pytest.approx(expected, abs=2e-3 if name == "r2" else 1e-9)  # R² keeps the mean of all


def test_calibration_error_equals_the_shift_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.2, 0.7, 50_000)
    labels = (rng.random(50_000) < chance).astype(int)
    assert METRICS["ece"](labels, chance) < 0.01
    assert METRICS["ece"](labels, chance + 0.2) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("name", "labels", "scores", "told"),
    [
        ("auc", [], [], "at least one"),
        ("auc", [0, 1], [0.1], "same rows"),
        ("auc", [1, 1], [0.1, 0.2], "all 2 rows have label 1; two classes are needed"),
        ("auc", [0, 1], [0.1, np.nan], "1 of 2 scores are not finite, first in row 1"),
        ("auc", [0, np.nan], [0.1, 0.2], "1 of 2 labels are not finite"),
        ("accuracy", [0, 2], [0.1, 0.2], "labels [2.0] are no class indices below 2"),
        ("log_loss", [0, 1], [0.1, 1.2], "no probabilities"),
        ("r2", [3.0, 3.0], [1.0, 2.0], "all 2 labels are 3"),
        ("rmsle", [1.0, -2.0], [1.0, -3.0], "1 labels are below 0; 1 scores are below 0"),
    ],
)
def test_what_cannot_be_measured_is_told(name: str, labels: list, scores: list, told: str) -> None:
    with pytest.raises(UnmeasurableError) as raised:
        METRICS[name](np.array(labels, dtype=float), np.array(scores))
    assert told in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UnmeasurableError, match=r"labels are not finite.*scores are not finite"):
        METRICS["auc"](np.array([np.nan, 1]), np.array([np.inf, 0.5]))


def test_an_unsuitable_metric_is_refused_beside_suitable_ones() -> None:
    assert metric_named("auc", Kind.BINARY).higher_is_better
    with pytest.raises(ValueError, match=r"'auc' does not fit a regression target.*r2, mae, rmse"):
        metric_named("auc", Kind.REGRESSION)


def test_an_absent_class_does_not_spoil_the_mean() -> None:
    labels, scores = classes()
    kept = labels != 2
    assert 0.5 < METRICS["auc"](labels[kept], scores[kept]) < 1
