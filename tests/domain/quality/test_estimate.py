"""Estimates before labels: right where the inputs change, and believed no further than they have been right."""

import numpy as np
import pytest
from scipy.special import expit

from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError
from mlops_assets.domain.quality.estimate import estimate_metric, fit_calibration, judge_trust, widen_by_trust
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import QUALITY, interval


def binary(rows: int, seed: int, *, spread: float = 1.5, tilt: float = 0.0):
    """Labels, and scores of a model that is too sure of itself."""
    draw = np.random.default_rng(seed)
    logit = draw.normal(tilt, spread, rows)
    return (draw.random(rows) < expit(logit)).astype(int), expit(1.7 * logit)


@pytest.mark.parametrize("metric", ["accuracy", "auc", "brier", "log_loss", "f1"])
@pytest.mark.parametrize(("spread", "tilt"), [(1.5, 0.0), (0.6, 0.0), (1.0, -1.0)])
def test_a_binary_metric_is_estimated_where_the_inputs_change(metric, spread, tilt):
    learnt = fit_calibration(*binary(20_000, 0))
    labels, scores = binary(20_000, 1, spread=spread, tilt=tilt)
    found, real = estimate_metric(metric, scores, learnt, level=0.95, seed=3), METRICS[metric](labels, scores)
    assert found.estimate == pytest.approx(real, abs=0.02)
    assert found.low <= found.estimate <= found.high


def several(rows: int, seed: int, spread: float):
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, spread, (rows, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (draw.random(rows)[:, None] > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)
    sure = chances**1.5
    return labels, sure / sure.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("metric", ["accuracy", "auc", "brier", "log_loss", "f1"])
def test_a_metric_of_several_classes_is_estimated(metric):
    learnt = fit_calibration(*several(20_000, 0, 1.5))
    labels, scores = several(20_000, 1, 0.8)
    found = estimate_metric(metric, scores, learnt, level=0.95, seed=3)
    assert found.estimate == pytest.approx(METRICS[metric](labels, scores), abs=0.03)


def test_the_interval_covers_the_realised_metric():
    hits = 0
    for seed in range(200):
        learnt = fit_calibration(*binary(3_000, 1_000 + seed))
        labels, scores = binary(1_000, seed)
        found = estimate_metric("accuracy", scores, learnt, level=0.95, seed=seed)
        hits += found.low <= METRICS["accuracy"](labels, scores) <= found.high
    assert hits >= 184


def test_what_cannot_be_estimated_says_so():
    learnt = fit_calibration(*binary(500, 0))
    for metric, scores in (("average_precision", np.ones(9)), ("auc", np.empty(0)), ("auc", np.array([np.nan]))):
        with pytest.raises(UnmeasurableError, match="cannot be estimated"):
            estimate_metric(metric, scores, learnt, level=0.95, seed=0)
    with pytest.raises(UnmeasurableError, match="at least 100"):
        fit_calibration(*binary(99, 0))


@pytest.mark.parametrize(
    ("estimated", "realised", "outcome"),
    [
        ([0.70] * 4, [0.70] * 4, Outcome.INCONCLUSIVE),  # too few windows
        ([0.70, 0.71, 0.69, 0.70, 0.70], [0.70, 0.70, 0.70, 0.71, 0.69], Outcome.PASS),
        ([0.70] * 5, [0.60] * 5, Outcome.FAIL),  # the meaning of the inputs changed, estimates cannot know
        ([0.80, 0.60, 0.80, 0.60, 0.70], [0.70] * 5, Outcome.FAIL),
    ],
)
def test_estimates_are_believed_when_they_have_been_near_enough(estimated, realised, outcome):
    trust = judge_trust([interval(e, 0.02) for e in estimated], [interval(r, 0.02) for r in realised], QUALITY)
    assert trust.verdict.outcome is outcome
    assert trust.believed is (outcome is Outcome.PASS)


@pytest.mark.parametrize(("off", "least", "most"), [(0.0, 0.9, 1.0), (0.10, 0.0, 0.02)])
def test_luck_of_few_labels_is_no_fault_of_an_estimate(off, least, most):
    """200 labels a day, three days together: an AUC of 0.75 is realised ± 0.02, and 0.0375 is the fall that matters."""
    draw, believed = np.random.default_rng(0), []
    for _ in range(200):
        luck = 0.035 * draw.normal(size=32)
        realised = [interval(0.75 + luck[n : n + 3].mean(), 1.96 * 0.035 / np.sqrt(3)) for n in range(30)]
        guesses = [interval(0.75 + off + 0.003 * draw.normal(), 0.02) for _ in realised]
        believed.append(judge_trust(guesses, realised, QUALITY, overlap=3.0).believed)
    assert least <= np.mean(believed) <= most


def test_an_estimate_is_as_wide_as_experience_says():
    trust = judge_trust([interval(0.7, 0.01)] * 5, [interval(0.65, 0.01)] * 5, QUALITY)
    assert trust.bias == pytest.approx(0.05)
    assert trust.covered == 0.0
    wide = widen_by_trust(interval(0.7, 0.01), trust)
    assert wide.high - wide.estimate == pytest.approx(1.96 * 0.05, abs=2e-3)
    unknown = judge_trust([], [], QUALITY)
    assert widen_by_trust(interval(0.7, 0.01), unknown) == interval(0.7, 0.01)
    with pytest.raises(ValueError, match="same windows"):
        judge_trust([interval(0.7, 0.1)], [], QUALITY)
