"""The reference profile of a bundle: what training rows, answers and labels looked like. Plain JSON.

Made for comparing live windows with it later without the rows: 1,001 quantiles of each number (for KS),
counts in 20 bins between them (for PSI), counts of each category, and a histogram of the model's answers on
rows it did not learn from. Counts and sums of two profiles over the same bins add up; their quantiles can
be merged as a weighted sketch.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlops_assets.domain.spec import Kind
from mlops_assets.training.layout import Layout
from mlops_assets.training.rows import Rows

FORMAT = 1
QUANTILES = 1_000
BINS = 20
MOST_CATEGORIES = 1_000


def profile(layout: Layout, train: Rows, unseen: Rows, answers: np.ndarray) -> dict[str, Any]:
    """`unseen` rows and the `answers` to them tell what scores look like; training rows tell the rest."""
    return {
        "format": FORMAT,
        "rows": len(train),
        "numbers": {column.name: describe_number(train.numbers[:, i]) for i, column in enumerate(layout.numbers)},
        "categories": {
            column.name: describe_category(train.categories[:, i]) for i, column in enumerate(layout.categories)
        },
        "label": describe_label(train.labels, layout),
        "scores": {"rows": len(unseen), **describe_scores(answers, layout)},
    }


def describe_number(column: np.ndarray) -> dict[str, Any]:
    """`counts` has one entry more than `edges`: below the first, between them, at or above the last."""
    finite = column[np.isfinite(column)]
    described: dict[str, Any] = {
        "rows": len(column),
        "nulls": int(np.isnan(column).sum()),
        "infinite": int(np.isinf(column).sum()),
    }
    if not len(finite):
        return {**described, "quantiles": [], "edges": [], "counts": [], "mean": None, "std": None}
    quantiles = np.quantile(finite, np.linspace(0, 1, QUANTILES + 1), method="lower")  # values that occur
    edges = np.unique(quantiles[:: QUANTILES // BINS][1:-1])
    return {
        **described,
        **_moments(finite),
        "quantiles": quantiles.tolist(),
        "edges": edges.tolist(),
        "counts": counts_between(finite, edges).tolist(),
    }


def counts_between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def describe_category(column: np.ndarray) -> dict[str, Any]:
    """Counts of the commonest values, and of all others together."""
    counts = Counter(column.tolist())
    nulls = counts.pop("", 0)
    kept = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_CATEGORIES]
    other = sum(counts.values()) - sum(count for _, count in kept)
    return {
        "rows": len(column),
        "nulls": nulls,
        "counts": dict(kept),
        "other": other,
        "distinct": len(counts),
    }


def describe_label(labels: np.ndarray, layout: Layout) -> dict[str, Any]:
    if layout.kind is Kind.REGRESSION:
        return describe_number(labels)
    counts = np.bincount(labels, minlength=len(layout.classes))
    return {"rows": len(labels), "counts": dict(zip(layout.classes, counts.tolist(), strict=True))}


def describe_scores(answers: np.ndarray, layout: Layout) -> Mapping[str, Any]:
    """Regression: as a number. Otherwise a histogram of each class's probability over 20 equal bins."""
    if layout.kind is Kind.REGRESSION:
        return describe_number(answers.astype(np.float64))
    edges = np.linspace(0, 1, BINS + 1)
    inner = edges[1:-1]
    if layout.kind is Kind.BINARY:
        return {**describe_number(answers.astype(np.float64)), "histogram": _histogram(answers, edges)}
    chosen = np.bincount(answers.argmax(axis=1), minlength=len(layout.classes))
    return {
        "edges": inner.tolist(),
        "classes": {
            name: {
                "counts": counts_between(answers[:, i], inner).tolist(),
                "mean": float(answers[:, i].mean()),
            }
            for i, name in enumerate(layout.classes)
        },
        "chosen": dict(zip(layout.classes, chosen.tolist(), strict=True)),
    }


def _histogram(answers: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    return {"edges": edges.tolist(), "counts": counts_between(answers, edges[1:-1]).tolist()}


def _moments(finite: np.ndarray) -> dict[str, float | None]:
    """None where the sums leave the range of a float: JSON has no infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = {"mean": float(np.mean(finite)), "std": float(np.std(finite))}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}
