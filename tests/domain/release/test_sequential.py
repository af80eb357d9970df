"""Always-valid bounds: against brute force, against each other, at every look where nothing differs."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom, norm

from mlops_assets.domain.release.sequential import (
    Sample,
    excess,
    imbalance,
    mean_gap,
    mean_gap_evidence,
    p_value,
    share_gap,
    share_interval,
)

ALPHA = 0.05
PROOF = np.log(1 / ALPHA)


def looks(rng: np.random.Generator, share: float, runs: int = 600, steps: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Hits so far [runs, steps] and how many had come [steps]."""
    return (rng.random((runs, steps)) < share).cumsum(1), np.arange(1, steps + 1)


def test_a_sample_adds_up():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    both = Sample.of(values[:1]) + Sample.of(values[1:])
    assert both.mean == pytest.approx(values.mean())
    assert both.variance == pytest.approx(values.var(ddof=1))


@pytest.mark.parametrize(("ours", "theirs"), [([], [1.0, 2.0]), ([3.0], [1.0, 2.0]), ([1e6 + 0.1] * 50, [7.0] * 3)])
def test_without_spread_nothing_is_known(ours, theirs):
    for a, b in ((ours, theirs), (theirs, ours)):
        bounds = mean_gap(Sample.of(a), Sample.of(b), alpha=ALPHA, scale=1)
        assert (bounds.low, bounds.high) == (-np.inf, np.inf)
        assert mean_gap_evidence(Sample.of(a), Sample.of(b), scale=1) == 0


def test_an_arm_without_events_yet_is_not_sure_of_it():
    lucky, other = Sample(50, 0, 0), Sample(1000, 200, 200)
    alone = Sample(50, 10, 10)
    widths = [np.ptp(mean_gap(arm, other, alpha=ALPHA, scale=0.05)) for arm in (lucky, alone)]
    assert widths[0] == pytest.approx(widths[1], rel=0.02)


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (1, 10), (20, 2000), (1999, 2000), (10, 10), (3, 100_000)])
def test_the_interval_ends_where_the_mixture_rejects(hits, count):
    low, high = share_interval(hits, count, alpha=ALPHA)
    assert 0 <= low <= hits / count <= high <= 1

    def log_e(p):
        def density(q):
            return sum(beta.pdf(q, 0.5, 0.5 * (1 / m - 1)) for m in (0.5, 0.05, 0.005)) / 3

        def ratio(q):
            return density(q) * np.exp(hits * np.log(q / p) + (count - hits) * np.log((1 - q) / (1 - p)))

        centre = min(max(hits / count, 1e-6), 1 - 1e-6)
        wide = 12 * np.sqrt((centre * (1 - centre) + 1 / count) / count)
        edges = [max(centre - wide, 1e-12), centre, min(centre + wide, 1 - 1e-12)]
        return np.log(sum(quad(ratio, a, b, limit=400)[0] for a, b in pairwise(edges)))

    for bound, inside in ((low, hits > 0), (high, hits < count)):
        if inside:
            assert log_e(float(bound)) == pytest.approx(PROOF, abs=0.02)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.floats(1e-9, 0.4))
def test_an_interval_holds_its_estimate_and_shrinks_with_alpha(hits, misses, alpha):
    low, high = share_interval(hits, hits + misses, alpha=alpha)
    wider = share_interval(hits, hits + misses, alpha=alpha / 10)
    share = hits / max(hits + misses, 1)
    assert 0 <= wider.low <= low <= share + 1e-9
    assert share - 1e-9 <= high <= wider.high <= 1


def test_the_gap_of_two_shares_holds_when_both_intervals_do():
    ours, theirs = (share_interval(*part, alpha=ALPHA / 2) for part in ((30, 900), (40, 2000)))
    gap = share_gap((30, 900), (40, 2000), alpha=ALPHA)
    assert gap == pytest.approx((ours.low - theirs.high, ours.high - theirs.low))


def test_of_nothing_anything_may_be():
    assert tuple(share_interval(0, 0, alpha=ALPHA)) == (0, 1)
    assert tuple(share_gap((0, 0), (0, 0), alpha=ALPHA)) == (-1, 1)


@pytest.mark.parametrize(("hits", "count"), [(3, 2), (-1, 2)])
def test_contradicting_counts_are_refused(hits, count):
    with pytest.raises(ValueError, match="contradict"):
        share_interval(hits, count, alpha=ALPHA)


@pytest.mark.parametrize("share", [0.002, 0.03, 0.5, 0.97])
def test_an_interval_ever_misses_in_alpha_of_runs_at_most(share):
    runs = 1500
    hits, count = looks(np.random.default_rng(1), share, runs=runs, steps=400)
    low, high = share_interval(hits, count, alpha=ALPHA)
    missed = ((low > share) | (high < share)).any(1).sum()
    assert missed <= binom.ppf(0.999, runs, ALPHA)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.9])
def test_excess_is_a_martingale_for_equal_arms(share):
    """What makes it an e-value: the mean over the next event is the value now, whatever came before."""
    hits, rest = (np.ravel(part) for part in np.meshgrid(np.arange(40), np.arange(0, 250, 13)))
    now, hit, other = (excess(h, r, share=share) for h, r in ((hits, rest), (hits + 1, rest), (hits, rest + 1)))
    np.testing.assert_allclose(share * np.exp(hit - now) + (1 - share) * np.exp(other - now), 1, rtol=1e-8)
    assert excess(0, 0, share=share) == pytest.approx(0)


def test_excess_beyond_the_reach_of_floats_is_no_evidence():
    assert excess(0, 10_000, share=0.9) == -np.inf


def test_excess_falls_on_average_when_the_canary_is_better():
    hits, rest = (np.ravel(part) for part in np.meshgrid(np.arange(40), np.arange(0, 400, 13)))
    now, hit, other = (excess(h, r, share=0.25) for h, r in ((hits, rest), (hits + 1, rest), (hits, rest + 1)))
    assert np.all(0.2 * np.exp(hit - now) + 0.8 * np.exp(other - now) <= 1)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_excess_is_the_integral_it_claims_to_be(share):
    hits, rest, weights = 7, 12, (4 * share, 4 * (1 - share))

    def ratio(q):
        return beta.pdf(q, *weights) * (q / share) ** hits * ((1 - q) / (1 - share)) ** rest

    assert excess(hits, rest, share=share) == pytest.approx(
        np.log(quad(ratio, share, 1)[0] / beta.sf(share, *weights)), rel=1e-5
    )


def test_excess_grows_with_each_bad_event_of_the_canary():
    evidence = excess(np.arange(30), 100, share=0.05)
    assert np.all(np.diff(evidence[5:]) > 0)
    assert excess(0, 10_000, share=0.5) < 0


def test_imbalance_is_a_martingale_for_the_declared_split():
    asked = np.array([0.7, 0.2, 0.1])
    seen = np.random.default_rng(4).integers(0, 500, (200, 3))
    after = np.stack([imbalance(seen + one, asked) for one in np.eye(3)], axis=-1)
    np.testing.assert_allclose((asked * np.exp(after - imbalance(seen, asked)[:, None])).sum(-1), 1, rtol=1e-8)
    assert imbalance([0, 0, 0], asked) == pytest.approx(0)


def test_a_wrong_split_is_found():
    counts = np.random.default_rng(5).multinomial(100, [0.93, 0.07], size=(200, 300)).cumsum(1)
    assert np.mean((imbalance(counts, [0.95, 0.05]) >= PROOF).any(1)) > 0.99


def test_the_gap_excludes_zero_just_when_the_evidence_says_so():
    rng = np.random.default_rng(6)
    gaps, sizes = rng.normal(0, 2, 500), rng.integers(5, 500, 500)
    a = Sample(sizes, sizes * gaps, sizes * (gaps**2 + 9))
    b = Sample(sizes, 0 * gaps, sizes * 9.0)
    low, high = mean_gap(a, b, alpha=ALPHA, scale=0.7)
    excluded = (low > 0) | (high < 0)
    assert 50 < excluded.sum() < 450
    assert np.array_equal(excluded, mean_gap_evidence(a, b, scale=0.7) >= PROOF)


def test_the_gap_evidence_is_the_integral_it_claims_to_be():
    a, b = Sample.of([1.0, 2.5, 4.0, 3.0]), Sample.of([0.0, 1.0, 0.5])
    error = float(np.sqrt(max(a.variance, b.variance) * (1 / 4 + 1 / 3)))
    gap = float(a.mean - b.mean)
    alternative = quad(lambda t: norm.pdf(gap, t, error) * norm.pdf(t, 0, 0.8), -20, 20)[0]
    expected = np.log(alternative / norm.pdf(gap, 0, error))
    assert mean_gap_evidence(a, b, scale=0.8) == pytest.approx(expected, rel=1e-6)


def test_p_values_are_probabilities():
    assert np.all(p_value([-5.0, 0.0, PROOF]) == pytest.approx([1, 1, ALPHA]))
