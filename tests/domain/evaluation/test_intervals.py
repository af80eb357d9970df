"""Intervals: DeLong's formula, coverage, and what blocks change."""

import numpy as np
import pytest

from mlops_assets.domain.evaluation.estimators import Ratio
from mlops_assets.domain.evaluation.intervals import blocks_of, bootstrap, central, coarsest, delta, gain, score
from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError


def scored(rows: int = 500, seed: int = 0, edge: float = 0.8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(int)
    common = rng.normal(size=rows)
    first, second = (0.8 * common + 0.6 * rng.normal(size=rows) + e * labels for e in (edge, 0.8))
    return labels, 1 / (1 + np.exp(-first)), 1 / (1 + np.exp(-second))


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Standard error of the difference of two AUCs, by the definition (all pairs)."""
    parts = []
    for scores in (first, second):
        pairs = scores[labels == 1][:, None] - scores[labels == 0]
        wins = (pairs > 0) + 0.5 * (pairs == 0)
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    positives = np.cov(parts[0][0], parts[1][0]) / (labels == 1).sum()
    negatives = np.cov(parts[0][1], parts[1][1]) / (labels == 0).sum()
    covariance = positives + negatives
    return float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))


def test_the_gain_in_auc_has_delongs_interval() -> None:
    labels, first, second = scored()
    found = gain(METRICS["auc"], labels, first, second, level=0.95)
    assert (found.high - found.low) / 2 == pytest.approx(1.965 * delong(labels, first, second), rel=0.01)


def test_a_smaller_loss_is_a_positive_gain() -> None:
    labels, good, bad = scored(edge=1.5)
    for name in ("auc", "log_loss", "brier", "accuracy"):
        both = (
            gain(METRICS[name], labels, good, bad, level=0.9),
            gain(METRICS[name], labels, bad, good, level=0.9),
        )
        assert both[0].estimate == pytest.approx(-both[1].estimate)
    assert gain(METRICS["log_loss"], labels, labels * 0.8 + 0.1, bad, level=0.9).low > 0


def test_the_same_scores_have_no_gain_at_all() -> None:
    labels, first, _ = scored()
    found = gain(METRICS["auc"], labels, first, first, level=0.95)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("name", ["auc", "accuracy", "f1", "average_precision", "log_loss"])
def test_both_ways_agree(name: str) -> None:
    labels, scores, _ = scored(3000)
    metric = METRICS[name]
    one = score(metric, labels, scores, level=0.95)
    two = bootstrap([metric.prepare(labels, scores)], rows=3000, level=0.95, rng=np.random.default_rng(0))[0]
    width = one.high - one.low
    assert abs(one.low - two.low) < 0.12 * width
    assert abs(one.high - two.high) < 0.12 * width
    assert (one.method, two.method) == ("delta", "bootstrap")


@pytest.mark.parametrize("way", ["delta", "bootstrap"])
def test_the_interval_covers_the_truth_as_often_as_it_says(way: str) -> None:
    rng, hits, trials = np.random.default_rng(0), 0, 300
    for _ in range(trials):
        values = rng.normal(size=60)[np.arange(600) // 10] + rng.normal(size=600)  # true mean 0, rows in tens
        blocks, estimator = np.arange(600) // 10, Ratio(values)
        if way == "delta":
            found = delta(estimator.value(), estimator.influence(), level=0.9, blocks=blocks)
        else:
            found = bootstrap([estimator], rows=600, level=0.9, rng=rng, resamples=300, blocks=blocks)[0]
        hits += found.low < 0 < found.high
    assert 0.85 < hits / trials < 0.95


def test_rows_that_move_together_make_the_interval_wider() -> None:
    labels, scores, _ = scored(1000)
    labels, scores = np.repeat(labels, 4), np.repeat(scores, 4)  # every row four times: no new knowledge
    blocks = np.repeat(np.arange(1000), 4)
    alone = score(METRICS["auc"], labels, scores, level=0.95)
    together = score(METRICS["auc"], labels, scores, level=0.95, blocks=blocks)
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(2, rel=0.05)


def test_a_score_stays_in_its_bounds() -> None:
    labels = np.array([0, 1] * 10)
    found = score(METRICS["auc"], labels, labels * 0.5 + np.linspace(0, 0.45, 20), level=0.99)
    assert 0 <= found.low <= found.high <= 1


def test_bootstrap_is_repeatable_and_shares_its_resamples() -> None:
    labels, first, second = scored()
    pair = [METRICS["auc"].prepare(labels, s) for s in (first, second)]
    one = bootstrap(pair, rows=500, level=0.9, rng=np.random.default_rng(5), resamples=200)
    two = bootstrap(pair[:1], rows=500, level=0.9, rng=np.random.default_rng(5), resamples=200)
    assert one[0] == two[0]


@pytest.mark.parametrize(("blocks", "error"), [(np.zeros(500, int), UnmeasurableError), (np.zeros(3, int), ValueError)])
def test_blocks_that_cannot_be_used_are_refused(blocks: np.ndarray, error: type[Exception]) -> None:
    labels, scores, _ = scored()
    with pytest.raises(error, match="block"):
        score(METRICS["auc"], labels, scores, level=0.9, blocks=blocks)


def test_an_interval_bound_holds_with_its_confidence() -> None:
    assert central(0.975) == pytest.approx(0.95)
    with pytest.raises(ValueError, match=r"gates\.confidence is 0\.4"):
        central(0.4)


@pytest.mark.parametrize(("days", "blocks"), [(40, 40), (2, 2), (1, None)])
def test_blocks_are_days_however_few(days: int, blocks: int | None) -> None:
    times = np.datetime64("2013-01-01T00", "us") + np.arange(days * 96) * np.timedelta64(15, "m")
    found = blocks_of(times)
    assert (None if found is None else len(np.unique(found))) == blocks


def test_a_declared_group_is_a_block_beside_the_day() -> None:
    times = np.repeat(np.datetime64("2013-01-01", "us") + np.arange(10) * np.timedelta64(1, "D"), 4)
    customers = np.array(["a", "b", "c", "d"] * 10)
    alone, both = blocks_of(np.repeat(times[:1], 40), customers), blocks_of(times, customers)
    assert alone is not None
    assert both is not None
    assert (alone.shape, both.shape) == ((40,), (40, 2))
    assert len(np.unique(coarsest(both))) == 4


def test_either_of_two_ways_alone_is_too_narrow() -> None:
    """Days have their luck and customers theirs: rows that share either move together."""
    rng, missed = np.random.default_rng(1), {"both": 0, "days": 0, "customers": 0}
    for _ in range(300):
        day, customer = rng.integers(25, size=1500), rng.integers(25, size=1500)
        values = rng.normal(size=25)[day] + rng.normal(size=25)[customer] + rng.normal(size=1500)
        ways = {"both": np.column_stack([day, customer]), "days": day, "customers": customer}
        for name, blocks in ways.items():
            estimator = Ratio(values)
            found = delta(estimator.value(), estimator.influence(), level=0.9, blocks=blocks)
            missed[name] += not found.low < 0 < found.high
    assert missed["both"] < 0.15 * 300 < min(missed["days"], missed["customers"])


def test_one_large_block_leaves_few_degrees_of_freedom() -> None:
    influence = np.random.default_rng(0).normal(size=1000)
    influence -= influence.mean()
    even = delta(0.0, influence, level=0.95, blocks=np.arange(1000) % 20)
    uneven = delta(0.0, influence, level=0.95, blocks=np.minimum(np.arange(1000) // 700 * 19, 19))
    assert uneven.high > 2 * even.high
