"""Inference that stays valid however often one looks and whenever one stops. Counts and sums in, bounds out.

Everything stands on one fact (Ville 1939): a quantity that starts at 1 and cannot grow on average while the
null hypothesis holds, an *e-value*, ever reaches 1/alpha with probability at most alpha. So "reject when log
e >= log 1/alpha" and p = 1/e hold at every look. Bounds come from turning such tests around.

- `share_interval`: exact for any share and any n, by a mixture of beta priors (Robbins 1970; Howard, Ramdas,
  McAuliffe and Sekhon 2021). Of answers above a limit it judges a quantile: p95 is within the limit just
  when at most 5 % are above it (Howard and Ramdas 2022).
- `excess`: exact. Which arm did a bad event hit? Without harm the canary gets its share of them, whatever the
  rate and however it changes through the day (Lindon and Malek 2022, anytime-valid inference for count data).
- `imbalance`: exact. Is the traffic split the one asked for? (Lindon and Malek 2022, sample ratio mismatch)
- `mean_gap`, `mean_gap_evidence`: any metric with a finite variance, by the normal mixture; valid for large n
  (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024), so its users demand a minimum of data.

All count independent units: where one key sends many requests, count keys. All functions take arrays as well
as numbers, so that simulations run the code that decides.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, expit, gammaln, log_expit

Array = NDArray[np.float64]

_TYPICAL_SHARES = np.array([0.5, 0.05, 0.005])  # means of the beta priors: bounds are tight for small shares too
_PRIOR_B = 0.5 * (1 / _TYPICAL_SHARES - 1)  # with a = 1/2
_EXCESS_WEIGHT = 4.0  # events that the prior of `excess` is worth
_SPLIT_WEIGHT = 500.0  # requests that the prior of `imbalance` is worth
_STEPS = 60  # of Newton's method; about six are taken


class Bounds(NamedTuple):
    low: Array
    high: Array


@dataclass(frozen=True)
class Sample:
    """All that judging a mean needs: how many, their sum, the sum of their squares. Numbers or arrays."""

    count: ArrayLike
    total: ArrayLike
    squares: ArrayLike

    @classmethod
    def of(cls, values: ArrayLike) -> "Sample":
        found = np.asarray(values, dtype=float)
        return cls(found.shape[-1], found.sum(-1), np.square(found).sum(-1))

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(
            np.add(self.count, other.count),
            np.add(self.total, other.total),
            np.add(self.squares, other.squares),
        )

    @property
    def mean(self) -> Array:
        return np.asarray(self.total, dtype=float) / np.maximum(self.count, 1)

    @property
    def variance(self) -> Array:
        """Of the values; 0 where they show no spread, or none that rounding could not have made."""
        count, squares = np.asarray(self.count, dtype=float), np.asarray(self.squares, dtype=float)
        spread = squares - count * np.square(self.mean)
        return np.where(spread > 1e-12 * squares, spread, 0.0) / np.maximum(count - 1, 1)


def p_value(evidence: ArrayLike) -> Array:
    """The always-valid p-value of a log e-value."""
    return np.exp(-np.maximum(evidence, 0.0))


def share_interval(hits: ArrayLike, count: ArrayLike, *, alpha: ArrayLike) -> Bounds:
    """Where the true share lies, at all looks together with probability 1 - alpha; tightest when small."""
    hit, n = np.broadcast_arrays(np.asarray(hits, dtype=float), np.asarray(count, dtype=float))
    if np.any((hit < 0) | (hit > n)):
        raise ValueError("a share needs 0 <= hits <= count: the counts contradict each other")
    miss = n - hit
    best = _best_likelihood(hit, miss)
    budget = best - _log_mixture(hit, miss) - np.log(alpha)
    low, high = _solve(_starts(hit, miss, budget), hit, miss, best - budget)
    return Bounds(np.where(hit > 0, low, 0.0), np.where(miss > 0, high, 1.0))


def share_gap(a: tuple[ArrayLike, ArrayLike], b: tuple[ArrayLike, ArrayLike], *, alpha: float) -> Bounds:
    """Where share(a) - share(b) lies; each is (hits, count). Exact, with any allocation between the two."""
    hits, count = (np.stack(np.broadcast_arrays(*part)) for part in zip(a, b, strict=True))
    low, high = share_interval(hits, count, alpha=alpha / 2)
    return Bounds(low[0] - high[1], high[0] - low[1])


def excess(canary: ArrayLike, champion: ArrayLike, *, share: ArrayLike) -> Array:
    """The log e-value against "bad events are no likelier in the canary", from the events of each arm.

    `share` is the part of the traffic that the canary was asked to take; it must not have changed meanwhile.
    """
    hits, rest = np.asarray(canary, dtype=float), np.asarray(champion, dtype=float)
    p = np.asarray(share, dtype=float)
    a, b = _EXCESS_WEIGHT * p, _EXCESS_WEIGHT * (1 - p)
    with np.errstate(divide="ignore"):  # far below its share: the prior above it has no mass left
        above = np.log(betaincc(a + hits, b + rest, p)) - np.log(betaincc(a, b, p))
    mixture = betaln(a + hits, b + rest) - betaln(a, b) + above
    return mixture - hits * np.log(p) - rest * np.log1p(-p)


def imbalance(counts: ArrayLike, shares: ArrayLike) -> Array:
    """The log e-value against "requests are split by these shares"; the last axis holds the arms."""
    seen, asked = np.asarray(counts, dtype=float), np.asarray(shares, dtype=float)
    prior = _SPLIT_WEIGHT * asked
    arms = gammaln(prior + seen) - gammaln(prior) - seen * np.log(asked)
    together = gammaln(_SPLIT_WEIGHT) - gammaln(_SPLIT_WEIGHT + seen.sum(-1))
    return arms.sum(-1) + together


def mean_gap(a: Sample, b: Sample, *, alpha: float, scale: float) -> Bounds:
    """Where mean(a) - mean(b) lies; unbounded where there is no spread yet.

    `scale` is the smallest difference that matters: the interval is tightest when it is about that wide.
    """
    error = _gap_error_squared(a, b)
    reach = np.sqrt((error + (error / scale) ** 2) * (np.log1p(scale**2 / error) - 2 * np.log(alpha)))
    gap = a.mean - b.mean
    return Bounds(gap - reach, gap + reach)


def mean_gap_evidence(a: Sample, b: Sample, *, scale: float) -> Array:
    """The log e-value against "the means are equal": log 1/alpha just where `mean_gap` excludes 0."""
    error = _gap_error_squared(a, b)
    ratio = scale**2 / error
    return 0.5 * (np.square(a.mean - b.mean) / error * ratio / (1 + ratio) - np.log1p(ratio))


def _gap_error_squared(a: Sample, b: Sample) -> Array:
    """The squared standard error of the difference; infinite where nothing is known of it.

    Both arms count with the larger of their variances. With its own, an arm that by luck has had few events
    would seem sure of it: with arms 1:19 and events in 0.5 % that gave 7 times the false alarms allowed.
    """
    larger = np.maximum(a.variance, b.variance)
    counts = np.asarray(a.count, dtype=float), np.asarray(b.count, dtype=float)
    known = (np.minimum(*counts) > 1) & (larger > 0)
    return np.where(known, larger * sum(1 / np.maximum(count, 1) for count in counts), np.inf)


def _log_mixture(hit: Array, miss: Array) -> Array:
    """The log probability of the data under the mixture of beta priors."""
    parts = betaln(0.5 + hit[..., None], _PRIOR_B + miss[..., None]) - betaln(0.5, _PRIOR_B)
    return np.logaddexp.reduce(parts, axis=-1) - np.log(len(_PRIOR_B))


def _best_likelihood(hit: Array, miss: Array) -> Array:
    n = np.maximum(hit + miss, 1)
    return hit * np.log(np.where(hit > 0, hit, n) / n) + miss * np.log(np.where(miss > 0, miss, n) / n)


def _starts(hit: Array, miss: Array, budget: Array) -> Array:
    """Shares [2, ...] outside the interval, near its ends, by bounds on the relative entropy."""
    n, some = np.maximum(hit + miss, 1), np.maximum(hit, 1)
    share, room = hit / n, budget / n
    below = some / n * np.exp(-1 - budget / some)
    above = share + room + np.sqrt(2 * share * room + room**2)
    return np.clip(np.stack([below, above]), 1e-300, 1 - 1e-12)


def _solve(start: Array, hit: Array, miss: Array, least: Array) -> Array:
    """The share at which the log likelihood has fallen to `least`.

    Newton's method in log odds, where the function is convex: from outside it never oversteps the root.
    """
    n, odds = hit + miss, np.log(start) - np.log1p(-start)
    for _ in range(_STEPS):
        value = least - hit * log_expit(odds) - miss * log_expit(-odds)
        slope = n * expit(odds) - hit
        step = np.divide(value, slope, out=np.zeros_like(odds), where=slope != 0)
        odds = odds - step
        if np.all(np.abs(step) < 1e-9):
            break
    return expit(odds)
