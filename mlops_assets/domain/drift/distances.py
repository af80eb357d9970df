"""How far a column's live counts lie from the reference's, and how likely chance alone is to make that.

Each test gives a p-value and an effect. The effect says if the difference is material; the p-value, adjusted
over all tests of a window (`many_tests.holm`), if it is more than chance. `window` uses both.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import chdtrc, kolmogorov, ndtr

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.data.distribution import psi
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch

_LEAST_EXPECTED = 5.0  # values in a cell of a chi-square test


class Aspect(StrEnum):
    """What is compared."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    LABEL = "label"
    MISSING = "missing values"
    RANGE = "out of range"
    UNSEEN = "unseen categories"
    SCHEMA = "schema"
    TOGETHER = "together"


@dataclass(frozen=True)
class DriftTest:
    """One test. `material`: the effect is large enough to matter, provided that it is not chance."""

    aspect: Aspect
    column: str
    p: float
    material: bool
    summary: str
    numbers: Mapping[str, float]


def compare_numbers(
    aspect: Aspect, name: str, *, ref: NumberReference, live: NumberSketch, policy: DriftPolicy
) -> DriftTest:
    """Two-sample Kolmogorov-Smirnov, and the stability index over the profile's 20 bins."""
    ours, theirs = live.cells, ref.cells
    n, m = int(ours.sum()), int(theirs.sum())
    distance = float(np.abs(np.cumsum(ours) / n - np.cumsum(theirs) / m).max())
    p = float(kolmogorov(np.sqrt(n * m / (n + m)) * distance))
    bins = [np.add.reduceat(cells, ref.coarse).astype(float) for cells in (theirs, ours)]
    index = float(psi(*bins))
    beyond = index - expected_psi(len(ref.coarse), n, m)
    mean, std = live.moments(ref)
    numbers = {"ks": distance, "error": ref.resolution, "psi": index, "psi_beyond_chance": beyond, "p": p}
    numbers |= {"rows": float(n), "mean": mean, "std": std}
    summary = f"KS distance {distance:.3f} (at most {ref.resolution:.3f} more), PSI {index:.3f}"
    if ref.mean is not None:
        numbers["mean_in_training"] = ref.mean
        summary += f", mean {mean:.4g} against {ref.mean:.4g} in training"
    material = distance >= policy.ks or (n >= policy.psi_rows and beyond >= policy.psi)
    return DriftTest(aspect, name, p, material, summary, numbers)


def compare_categories(
    aspect: Aspect, name: str, *, ref: CategoryReference, live: CategorySketch, policy: DriftPolicy
) -> DriftTest:
    """Chi-square of two samples, with Cramér's V as it were for samples of one size, and the stability index."""
    table = merge_rare_cells(np.append(ref.counts, ref.other), np.append(live.counts, live.other))  # [2, k]
    (m, n), k = table.sum(axis=1), table.shape[1]
    shares = table / table.sum(axis=1, keepdims=True)
    p, index, v = 1.0, 0.0, 0.0
    if k > 1:
        expected = table.sum(axis=0) * np.array([[m], [n]]) / (m + n)
        p = float(chdtrc(k - 1, (np.square(table - expected) / expected).sum()))
        index = float(psi(table[0], table[1]))
        apart = np.square(shares[0] - shares[1]) / (shares[0] + shares[1])
        v = math.sqrt(max(apart.sum() / 2 - (k - 1) / 4 * (1 / n + 1 / m), 0.0))
    beyond = index - expected_psi(k, n, m)
    numbers = {"cramers_v": v, "psi": index, "psi_beyond_chance": beyond, "p": p, "rows": float(n)}
    material = v >= policy.cramers_v or (n >= policy.psi_rows and beyond >= policy.psi)
    summary = f"Cramér's V {v:.3f}, PSI {index:.3f}{_most_changed(ref, live)}"
    return DriftTest(aspect, name, p, material, summary, numbers)


def expected_psi(bins: int, n: float, m: float) -> float:
    """The stability index that two samples of one distribution have on average."""
    return (bins - 1) * (1 / n + 1 / m)


def merge_rare_cells(reference: np.ndarray, live: np.ndarray) -> np.ndarray:
    """[2, k] with the rarest cells put together until each is expected often enough in both samples."""
    table = np.stack([reference, live]).astype(float)
    expected = table.sum(axis=0) * (table.sum(axis=1).min() / max(table.sum(), 1))
    order = np.argsort(expected)
    table, reached = table[:, order], np.cumsum(expected[order])
    rare = int(np.searchsorted(expected[order], _LEAST_EXPECTED))
    if rare:  # with as many of the next as make the rare ones together frequent
        rare = max(rare, int(np.searchsorted(reached, _LEAST_EXPECTED)) + 1)
    return np.concatenate([table[:, :rare].sum(axis=1, keepdims=True), table[:, rare:]], axis=1)[:, not rare :]


def compare_shares(
    aspect: Aspect,
    name: str,
    ref: tuple[float, int],
    live: tuple[int, int],
    *,
    limit: float,
    both_ways: bool = False,
    note: str = "",
) -> DriftTest:
    """Two shares, each (how many, of how many): did the live one grow? With `both_ways`: did it change?"""
    (before, m), (now, n) = ref, live
    angles = [np.arcsin(np.sqrt((hits + 0.375) / (count + 0.75))) for hits, count in (live, ref)]
    z = 2 * (angles[0] - angles[1]) / np.sqrt(1 / n + 1 / m)
    p = float(2 * ndtr(-abs(z)) if both_ways else ndtr(-z))
    old, new = before / m, now / n
    change = abs(new - old) if both_ways else new - old
    summary = f"{new:.1%} of {n:,} rows are {FAULTS[aspect]}, {old:.1%} were in training{note}"
    numbers = {"share": new, "share_in_training": old, "p": p, "rows": float(n)}
    return DriftTest(aspect, name, p, change >= limit, summary, numbers)


FAULTS = {
    Aspect.MISSING: "missing",
    Aspect.RANGE: "outside the training range",
    Aspect.UNSEEN: "of values that training did not see or keep",
}


def _most_changed(ref: CategoryReference, live: CategorySketch) -> str:
    """Which value's share changed most, as people ask that first."""
    if not len(ref.counts):
        return ""
    before, now = (
        counts / max(counts.sum() + other, 1) for counts, other in ((ref.counts, ref.other), (live.counts, live.other))
    )
    place = int(np.abs(now - before).argmax())
    return f"; most changed: {ref.values[place]!r}, {now[place]:.1%} against {before[place]:.1%} in training"
