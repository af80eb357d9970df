"""The reference profile of a bundle: what training rows, answers and labels looked like. Plain JSON.

Made for comparing live windows with it later without the rows (`domain.reference` reads it): 1,001 quantiles of
each number, `cells` that count what lies on and between them (for KS), counts in 20 bins (for PSI), counts of
each category, and the model's answers on rows it did not learn from. Counts over the same bins add up.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.drift.reference import (
    CHOSEN,
    CONFIDENCE,
    FORMAT,
    LABEL,
    PREDICTION,
    count_cells,
    read_features,
    read_label,
    read_predictions,
)
from mlops_assets.training.day_profile import describe_days
from mlops_assets.training.layout import Layout
from mlops_assets.training.rows import Rows

QUANTILES = 1_000
BINS = 20
MOST_CATEGORIES = 1_000


@dataclass(frozen=True, eq=False)
class Moments:
    """The event times of the rows, datetime64 [n]; None where they have none."""

    train: np.ndarray | None = None
    unseen: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class LearntAnswers:
    """What the served model answers to rows that it has learnt."""

    places: np.ndarray  # of some training rows
    answers: np.ndarray  # to them
    twins: np.ndarray  # to the rows whose `answers` are those of earlier models


def profile(
    layout: Layout, train: Rows, answers: np.ndarray, *, moments: Moments, learnt: LearntAnswers | None
) -> dict[str, Any]:
    """`answers` to unseen rows tell what scores look like; training rows tell the rest.

    With `learnt`, the answers are those of earlier models, because the served one has learnt these rows too. Days are
    then of its own answers, and how far the models are apart on the same rows is kept as their doubt.
    """
    described = _describe_rows(layout, train, answers, out_of_time=learnt is not None)
    numbers = {column.name: train.numbers[:, i] for i, column in enumerate(layout.numbers)}
    inputs = numbers | {column.name: train.categories[:, i] for i, column in enumerate(layout.categories)}
    labels, given = {LABEL: _plain_labels(train.labels, layout)}, _plain_answers(answers, layout)
    return {
        **described,
        "days": {
            "features": describe_days(moments.train, read_features(described), inputs),
            "scores": _describe_answer_days(layout, described, given, moments=moments, learnt=learnt),
            "label": describe_days(moments.train, read_label(described["label"]), labels),
        },
    }


def _describe_answer_days(
    layout: Layout,
    described: Mapping[str, Any],
    given: Mapping[str, np.ndarray],
    *,
    moments: Moments,
    learnt: LearntAnswers | None,
) -> dict[str, Any] | None:
    reference = read_predictions(described["scores"])
    if learnt is None or moments.train is None:
        return describe_days(moments.unseen, reference, given)
    own, twins = _plain_answers(learnt.answers, layout), _plain_answers(learnt.twins, layout)
    return describe_days(moments.train[learnt.places], reference, own, apart=(given, twins))


def _plain_labels(labels: np.ndarray, layout: Layout) -> np.ndarray:
    """Labels as live outcomes come: the number, or the name of the class."""
    return labels if layout.kind is Kind.REGRESSION else np.array(layout.classes, dtype=object)[labels]


def _plain_answers(answers: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    if layout.kind is not Kind.MULTICLASS:
        return {PREDICTION: answers}
    chosen = np.array(layout.classes, dtype=object)[answers.argmax(axis=1)]
    return {CHOSEN: chosen, CONFIDENCE: answers.max(axis=1)}


def _describe_rows(layout: Layout, train: Rows, answers: np.ndarray, *, out_of_time: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "rows": len(train),
        "numbers": {column.name: describe_number(train.numbers[:, i]) for i, column in enumerate(layout.numbers)},
        "categories": {
            column.name: describe_category(train.categories[:, i]) for i, column in enumerate(layout.categories)
        },
        "label": describe_label(train.labels, layout),
        "scores": {"rows": len(answers), "out_of_time": out_of_time, **describe_scores(answers, layout)},
    }


def describe_number(column: np.ndarray) -> dict[str, Any]:
    """`counts` has one entry more than `edges`: below the first, between them, at or above the last.

    `cells` are finer: below the first of the distinct quantiles, on it, between it and the next, and so on.
    """
    finite = column[np.isfinite(column)]
    described: dict[str, Any] = {
        "rows": len(column),
        "nulls": int(np.isnan(column).sum()),
        "infinite": int(np.isinf(column).sum()),
    }
    if not len(finite):
        return {**described, "quantiles": [], "cells": [], "edges": [], "counts": [], "mean": None, "std": None}
    quantiles = np.quantile(finite, np.linspace(0, 1, QUANTILES + 1), method="lower")  # values that occur
    edges = np.unique(quantiles[:: QUANTILES // BINS][1:-1])
    return {
        **described,
        **_moments(finite),
        "quantiles": quantiles.tolist(),
        "cells": count_cells(np.sort(finite), np.unique(quantiles)).tolist(),
        "edges": edges.tolist(),
        "counts": counts_between(finite, edges).tolist(),
    }


def counts_between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def describe_category(column: np.ndarray) -> dict[str, Any]:
    """Counts of the commonest values, and of all others together.

    Values of one count are kept or left out together: `cut` is the largest count that was left out, which tells
    how far the kept ones are flattered by having been chosen for their counts.
    """
    counts = Counter(column.tolist())
    nulls = counts.pop("", 0)
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    cut = ranked[MOST_CATEGORIES][1] if len(ranked) > MOST_CATEGORIES else 0
    kept = [entry for entry in ranked[:MOST_CATEGORIES] if entry[1] > cut]
    other = sum(counts.values()) - sum(count for _, count in kept)
    return {
        "rows": len(column),
        "nulls": nulls,
        "counts": dict(kept),
        "other": other,
        "cut": cut,
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
        "confidence": describe_number(answers.max(axis=1).astype(np.float64)),
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
