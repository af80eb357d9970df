"""Metrics of ripe labels, and whether quality fell."""

from dataclasses import replace

import numpy as np
import pytest

from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.quality.realised import WindowQuality, judge_quality, measure_metrics
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import QUALITY, interval


def test_metrics_have_an_interval_or_a_reason():
    draw = np.random.default_rng(0)
    scores = draw.random(600)
    labels = (draw.random(600) < scores).astype(int)
    auc, brier = measure_metrics([METRICS["auc"], METRICS["brier"]], labels, scores, level=0.95)
    assert auc.interval is not None
    assert auc.interval.low < auc.interval.estimate < auc.interval.high
    assert brier.interval is not None
    alone = measure_metrics([METRICS["auc"]], np.ones(9, int), scores[:9], level=0.95)[0]
    assert alone.interval is None
    assert "two classes are needed" in alone.problem


STEADY = WindowQuality("realised", "auc", interval(0.70, 0.01), interval(0.70, 0.01), 2_000, 1.0)


@pytest.mark.parametrize(
    ("changes", "outcome", "said"),
    [
        ({}, Outcome.PASS, "has not fallen"),
        ({"current": interval(0.60, 0.01)}, Outcome.FAIL, "it fell"),
        ({"current": interval(0.66, 0.01)}, Outcome.INCONCLUSIVE, "not shown either way"),  # 5.7 %, may be chance
        ({"current": interval(0.60, 0.08)}, Outcome.INCONCLUSIVE, "not shown either way"),
        ({"current": interval(0.80, 0.01)}, Outcome.PASS, "has not fallen"),
        ({"maturity": 0.5, "current": interval(0.60, 0.01)}, Outcome.INCONCLUSIVE, "50% of its labels"),
        ({"maturity": float("nan")}, Outcome.INCONCLUSIVE, "labels are there"),
        ({"rows": 499, "current": interval(0.60, 0.01)}, Outcome.INCONCLUSIVE, "499 rows"),
        ({"current": None}, Outcome.INCONCLUSIVE, "could not be measured"),
        (
            {"metric": "log_loss", "baseline": interval(0.5, 0.01), "current": interval(0.6, 0.01)},
            Outcome.FAIL,
            "it fell",
        ),
        (
            {"metric": "log_loss", "baseline": interval(0.5, 0.01), "current": interval(0.4, 0.01)},
            Outcome.PASS,
            "has not fallen",
        ),
    ],
)
def test_a_fall_has_to_be_shown(changes, outcome, said):
    verdict = judge_quality(replace(STEADY, **changes), QUALITY)
    assert verdict.outcome is outcome
    assert said in verdict.reason
