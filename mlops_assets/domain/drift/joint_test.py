"""Drift that no column shows alone: can a classifier tell live rows from training rows?

The classifier two-sample test (Lopez-Paz and Oquab 2017). A ridge discriminant on values, squares and products
learns from one half of both samples; on the other half its AUC is 1/2 where nothing changed, whatever was
learnt, so the normal bound of Mann and Whitney gives p without permutations. The same serves vectors
(embeddings). Needs rows, so a sample of the training rows; memory is bounded by `MOST_ROWS`.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.special import ndtr
from scipy.stats import rankdata

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.distances import Aspect, DriftTest

MOST_ROWS = 10_000  # of either sample that are compared
_COMMON = 10  # categories of a column that are kept apart
_PRODUCTS = 400  # columns beyond which products of two are left out
_CLIP = 4.0  # standard deviations: a wild value moves the discriminant no further
_RIDGE = 1e-2
_LEAST = 50  # rows of either sample on either half


def compare_all_features(
    reference: pa.Table,
    live: pa.Table,
    *,
    numbers: Sequence[str],
    categories: Sequence[str],
    policy: DriftPolicy,
    seed: int,
) -> DriftTest | None:
    """Compare all features at once; None where there are too few rows. `judge_window` takes the result."""
    rng = np.random.default_rng(seed)
    ours, theirs = _sample(live, rng), _sample(reference, rng)
    parts = [_number_parts(theirs[name], ours[name]) for name in numbers]
    parts += [_category_parts(theirs[name], ours[name]) for name in categories]
    wide = np.concatenate([np.empty((len(theirs) + len(ours), 0)), *parts], axis=1)
    found = measure_separability(wide[: len(theirs)], wide[len(theirs) :], rng)
    return found and _compared(Aspect.TOGETHER, "all features", *found, policy)


def compare_vectors(
    name: str, reference: np.ndarray, live: np.ndarray, *, policy: DriftPolicy, seed: int
) -> DriftTest | None:
    """Compare one feature that is a vector, [n, d] and [m, d], and measure how far its mean moved."""
    if reference.ndim != 2 or live.ndim != 2 or reference.shape[1] != live.shape[1]:
        raise ValueError(f"{name}: vectors of shapes {reference.shape} and {live.shape}; both need the same width")
    rng = np.random.default_rng(seed)
    ours, theirs = (each[_drawn(len(each), rng)] for each in (live, reference))
    found = measure_separability(theirs, ours, rng)
    if found is None:
        return None
    spread = np.sqrt(theirs.var(axis=0).sum())
    moved = float(np.linalg.norm(ours.mean(axis=0) - theirs.mean(axis=0)) / (spread or 1.0))
    return _compared(Aspect.FEATURE, name, *found, policy, shift=moved)


def measure_separability(
    reference: np.ndarray, live: np.ndarray, rng: np.random.Generator
) -> tuple[float, float] | None:
    """(held-out AUC, p) of a discriminant between rows [n, d] and [m, d]; NaN counts as the mean."""
    if min(len(reference), len(live)) < 2 * _LEAST or not reference.shape[1]:
        return None
    rows = _expanded(np.concatenate([reference, live]), len(reference))
    labels = np.repeat([0, 1], [len(reference), len(live)])
    learn = np.concatenate([rng.permutation(len(each)) < len(each) // 2 for each in (reference, live)])
    weights = _discriminant(rows[learn], labels[learn])
    return _auc(rows[~learn] @ weights, labels[~learn])


def _expanded(rows: np.ndarray, reference: int) -> np.ndarray:
    """Standardised by the reference, with squares and, of few columns, products: spread and correlation count."""
    known = rows[:reference]
    present = np.isfinite(known)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, known, 0).sum(axis=0) / count
    std = np.sqrt((np.where(present, known - mean, 0) ** 2).sum(axis=0) / count)
    scaled = np.clip(np.where(np.isfinite(rows), rows - mean, 0) / np.where(std > 0, std, 1), -_CLIP, _CLIP)
    width = scaled.shape[1]
    if width * (width + 1) // 2 <= _PRODUCTS:
        first, second = np.triu_indices(width)
        return np.concatenate([scaled, scaled[:, first] * scaled[:, second]], axis=1)
    return np.concatenate([scaled, scaled**2], axis=1)


def _discriminant(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fisher's, with a ridge: the direction in which the two samples lie furthest apart."""
    means = [rows[labels == side].mean(axis=0) for side in (0, 1)]
    centred = rows - np.stack(means)[labels]
    scatter = centred.T @ centred / len(rows)
    scatter[np.diag_indices_from(scatter)] += _RIDGE * (np.trace(scatter) / len(scatter) or 1.0)
    return np.linalg.solve(scatter, means[1] - means[0])


def _auc(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """With the one-sided p of Mann and Whitney's test, ties counted."""
    n, m = int(labels.sum()), int((1 - labels).sum())
    ranks = rankdata(scores)
    _, ties = np.unique(scores, return_counts=True)
    total = n + m
    variance = (total + 1 - (ties**3 - ties).sum() / (total * (total - 1))) / (12 * n * m)
    auc = (ranks[labels == 1].sum() - n * (n + 1) / 2) / (n * m)
    z = (auc - 0.5) / np.sqrt(variance) if variance > 0 else 0.0
    return float(auc), float(ndtr(-z))


def _compared(
    aspect: Aspect, name: str, auc: float, p: float, policy: DriftPolicy, *, shift: float | None = None
) -> DriftTest:
    summary = f"a classifier tells live rows from training rows with AUC {auc:.3f}"
    numbers = {"auc": auc, "p": p}
    if shift is not None:
        summary += f"; their mean moved by {shift:.2f} standard deviations"
        numbers["shift"] = shift
    return DriftTest(aspect, name, p, auc >= policy.together, summary, numbers)


def _sample(rows: pa.Table, rng: np.random.Generator) -> pa.Table:
    return rows.take(pa.array(_drawn(len(rows), rng)))


def _drawn(rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(rows) if rows <= MOST_ROWS else np.sort(rng.choice(rows, MOST_ROWS, replace=False))


def _number_parts(reference: pa.ChunkedArray, live: pa.ChunkedArray) -> np.ndarray:
    """[n + m, 1 or 2] values, and whether they are missing where some are."""
    values = np.concatenate(
        [each.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for each in (reference, live)]
    )
    missing = np.isnan(values)
    return np.stack([values, missing] if missing.any() else [values], axis=1).astype(np.float64)


def _category_parts(reference: pa.ChunkedArray, live: pa.ChunkedArray) -> np.ndarray:
    """[n + m, up to 10] one column for each of the commonest values of both samples."""
    words = np.concatenate([each.cast(pa.string()).to_numpy(zero_copy_only=False) for each in (reference, live)])
    coded = pa.array(words, pa.string()).dictionary_encode()
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    common = np.argsort(-np.bincount(codes), kind="stable")[:_COMMON]
    return (codes[:, None] == common).astype(np.float64)
