"""How sure a score, or the difference of two scores, is.

Two ways, both for rows that are not independent: those of one block (the same day, customer or machine) move
together.
- `score` and `gain` add up each row's influence by block and leave out one block at a time (the cluster
  jackknife, CR3). Student's t takes as many degrees of freedom as there would be blocks of one size, so six
  days are judged as six and not as thousands of rows. For AUC that is DeLong's interval, clustered. It needs no
  seed, so a decision can be repeated. Gates use it.
- `bootstrap` resamples blocks by weights and corrects bias and skew (BCa). One set of weights serves all
  estimators. The report uses it.

Where rows share their day with some and their customer with others, blocks have two columns, and the variances of
both count (two-way clustering, Cameron, Gelbach and Miller 2011).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from mlops_assets.domain.evaluation.estimators import Array, Estimator
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError

_CELLS = 2_000_000  # weights held at once


def central(confidence: float) -> float:
    """The level of the central interval whose either bound alone holds with `confidence`."""
    if not 0.5 < confidence < 1:
        raise ValueError(f"gates.confidence is {confidence}; it must lie between 0.5 and 1, for example 0.975")
    return 2 * confidence - 1


def score(metric: Metric, labels: Array, scores: Array, *, level: float, blocks: Array | None = None) -> Interval:
    """The metric's value with its interval."""
    estimator = metric.prepare(labels, scores)
    interval = delta(estimator.value(), estimator.influence(), level=level, blocks=blocks)
    low, high = np.clip([interval.low, interval.high], *metric.bounds)
    return Interval(interval.estimate, float(low), float(high), level, interval.method)


def gain(
    metric: Metric,
    labels: Array,
    candidate: Array,
    rival: Array,
    *,
    level: float,
    blocks: Array | None = None,
) -> Interval:
    """How much better the candidate is than the rival on the same rows; positive is better, always."""
    ours, theirs = metric.prepare(labels, candidate), metric.prepare(labels, rival)
    influence = metric.sign * (ours.influence() - theirs.influence())
    return delta(metric.sign * (ours.value() - theirs.value()), influence, level=level, blocks=blocks)


def delta(estimate: float, influence: Array, *, level: float, blocks: Array | None = None) -> Interval:
    """The interval from influence values [n] (mean 0), added up by block."""
    variance, freedom = _variance(influence, blocks)
    reach = float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance))
    return Interval(float(estimate), float(estimate) - reach, float(estimate) + reach, level, "delta")


def _variance(influence: Array, blocks: Array | None) -> tuple[float, float]:
    """The variance of the value, and the degrees of freedom with which it is known."""
    if blocks is None or blocks.ndim == 1:
        return _jackknifed(influence, blocks)
    ways = [_jackknifed(influence, column) for column in blocks.T]
    both, _ = _jackknifed(influence, np.unique(blocks, axis=0, return_inverse=True)[1].ravel())
    larger = max(variance for variance, _ in ways)
    return max(sum(variance for variance, _ in ways) - both, larger), min(freedom for _, freedom in ways)


def _jackknifed(influence: Array, blocks: Array | None) -> tuple[float, float]:
    rows = len(influence)
    sums, sizes = influence, np.ones(rows)
    if blocks is not None:
        codes = _checked(blocks, rows)
        sums, sizes = np.bincount(codes, influence), np.bincount(codes)
    count = len(sums)
    if count < 2:
        raise UnmeasurableError(f"an interval needs at least 2 independent blocks of rows, there are {count}")
    moved = sums / (rows - sizes)  # by how much the value moves when a block is left out
    even = 1 / np.square(sizes / rows).sum()  # blocks of one size that would weigh as much
    return float(np.square(moved).sum() * (count - 1) / count), max(even - 1, 1.0)


def bootstrap(
    estimators: Sequence[Estimator],
    *,
    rows: int,
    level: float,
    rng: np.random.Generator,
    resamples: int = 1000,
    blocks: Array | None = None,
) -> tuple[Interval, ...]:
    """BCa intervals of estimators on the same rows, from the same resamples."""
    if not estimators:
        return ()
    codes = None if blocks is None else _checked(coarsest(blocks), rows)
    weights = _weights(rng, rows, codes, resamples)
    parts = [[estimator.resampled(chunk) for estimator in estimators] for chunk in weights]
    replicates = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts], axis=1)
    return tuple(
        _corrected(estimator.value(), values, estimator.influence(), codes, level)
        for estimator, values in zip(estimators, replicates, strict=True)
    )


def _weights(rng: np.random.Generator, rows: int, codes: Array | None, resamples: int) -> Iterator[Array]:
    """Chunks [b, rows] of how often each row is drawn; rows of one block are drawn together."""
    count = rows if codes is None else int(codes.max()) + 1
    step = max(1, _CELLS // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float32)
        yield weights if codes is None else weights[:, codes]


def _corrected(value: float, replicates: Array, influence: Array, codes: Array | None, level: float) -> Interval:
    """Efron's bias-corrected and accelerated percentiles."""
    known = replicates[np.isfinite(replicates)]
    if len(known) < 0.95 * len(replicates):
        raise UnmeasurableError(
            f"{len(replicates) - len(known)} of {len(replicates)} resamples have no value: too few rows"
        )
    sums = influence if codes is None else np.bincount(codes, influence)
    spread = np.square(sums).sum() ** 1.5
    skew = np.power(sums, 3).sum() / (6 * spread) if spread > 0 else 0.0
    below = np.mean(known < value) + np.mean(known == value) / 2
    bias = ndtri(np.clip(below, 0.5 / len(known), 1 - 0.5 / len(known)))
    tails = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(known, ndtr(bias + tails / (1 - skew * tails)))
    # a biased estimator (calibration error near 0) may have every resample on one side of it
    return Interval(float(value), min(float(low), value), max(float(high), value), level, "bootstrap")


def _checked(blocks: Array, rows: int) -> Array:
    if len(blocks) != rows:
        raise ValueError(f"{len(blocks)} block numbers for {rows} rows")
    return np.unique(blocks, return_inverse=True)[1]


def coarsest(blocks: Array) -> Array:
    """The one way of two in which the rows are less independent, for methods that take one."""
    return blocks if blocks.ndim == 1 else min(blocks.T, key=_even)


def _even(blocks: Array) -> float:
    return 1 / np.square(np.unique(blocks, return_counts=True)[1] / len(blocks)).sum()


def blocks_of(times: Array, groups: Array | None = None) -> Array | None:
    """Number rows [n] by UTC day and by declared group, [n] or [n, 2]; None: each row counts by itself.

    `times` is datetime64. Rows of a single day are not told apart by time. Few days stay few: the interval is wide
    then, and a gate inconclusive.
    """
    days = np.unique(times.astype("datetime64[D]"), return_inverse=True)[1]
    ways = [days] if days.max(initial=0) > 0 else []
    if groups is not None:
        ways.append(np.unique(groups.astype(str), return_inverse=True)[1])
    if not ways:
        return None
    return ways[0] if len(ways) == 1 else np.column_stack(ways)
