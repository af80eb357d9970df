"""A bundle's profile as the reference that live windows are compared with. Plain JSON in, checked arrays out.

A number is counted in 2m + 1 cells around the m distinct quantiles that the profile kept: below the first, on it,
between it and the next, ..., above the last. Both distribution functions of a comparison are therefore exact at
each edge and just below it. Only within an open interval may they differ by more than is seen, and by no more
than the reference's own share there: `NumberReference.resolution`, about 1/1000, bounds the error of KS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlops_assets.domain.drift.days.contrasts import (
    angle_of,
    bell_contrasts,
    bell_noise,
    normal_scores,
    quantile_noise,
    quantile_of,
    rank_basis,
)
from mlops_assets.domain.drift.days.training_days import TrainingDays, days_from_plain

FORMAT = 3  # of the profile
_MOST_VALUES, _COMMON = 20, 0.01  # of a category: how many values have a contrast of their own, from which share


class ProfileError(ValueError):
    """The profile cannot serve as a reference."""


def count_cells(ordered: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[2m + 1] how many of the finite, sorted values lie below, on and between the edges."""
    bounds = np.empty(2 * len(edges) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, len(ordered)
    bounds[1:-1:2], bounds[2:-1:2] = ordered.searchsorted(edges, "left"), ordered.searchsorted(edges, "right")
    return np.diff(bounds)


@dataclass(frozen=True, eq=False)
class NumberReference:
    edges: np.ndarray  # [m] rising
    cells: np.ndarray  # [2m + 1]
    coarse: np.ndarray  # [20 or fewer] first cell of each bin of the stability index
    rows: int
    nulls: int
    infinite: int
    mean: float | None
    std: float | None

    @cached_property
    def resolution(self) -> float:
        """The largest share of the reference strictly between two edges."""
        return float(self.cells[::2].max() / max(self.cells.sum(), 1))

    @cached_property
    def basis(self) -> np.ndarray:
        """[cells, J] what a value in each cell adds to the contrasts of its rank."""
        return rank_basis(self.cells)

    @cached_property
    def scores(self) -> np.ndarray:
        """[cells] where a value in each cell is on a bell curve."""
        return normal_scores(self.cells)

    @cached_property
    def noise(self) -> np.ndarray:
        """[2J] the variance of the contrasts of one row, on both scales."""
        shares = self.cells / max(self.cells.sum(), 1)
        ranks = np.maximum(shares @ self.basis**2 - (shares @ self.basis) ** 2, 0.01)
        return np.append(ranks, bell_noise(self.cells, self.scores))

    def contrast(self, cells: np.ndarray) -> np.ndarray:
        """[..., 2J] of values counted in the cells: of their ranks, then on the bell curve."""
        ranks = cells @ self.basis / np.maximum(cells.sum(axis=-1, keepdims=True), 1)
        return np.concatenate([ranks, bell_contrasts(cells, self.scores)], axis=-1)


@dataclass(frozen=True, eq=False)
class CategoryReference:
    """What new rows of the same kind would be: `counts` and `other` are corrected for how values were kept.

    Values were kept because they were frequent in these very rows, so in others they are rarer, and values never
    seen before come in. Leaving each row out in turn (Good 1953, Robbins 1956) tells by how much without bias:
    a value that was only just frequent enough would not have been kept without the row.
    """

    values: tuple[str, ...]
    counts: np.ndarray  # [k] expected
    other: float  # expected of values that are not kept
    rows: int
    nulls: int

    @cached_property
    def index(self) -> Mapping[str, int]:
        return {value: place for place, value in enumerate(self.values)}

    @cached_property
    def common(self) -> np.ndarray:
        """Places of the values that have a contrast of their own."""
        least = max(_COMMON * (self.counts.sum() + self.other), 1)
        ranked = np.argsort(-self.counts, kind="stable")[:_MOST_VALUES]
        return ranked[self.counts[ranked] >= least]

    @cached_property
    def noise(self) -> np.ndarray:
        """[2J] the variance of the contrasts of one row, on both scales."""
        shares = np.append(self.counts[self.common], self.counts.sum() + self.other - self.counts[self.common].sum())
        return np.append(np.ones(len(shares)), quantile_noise(shares / max(self.counts.sum() + self.other, 1)))

    def contrast(self, counts: np.ndarray) -> np.ndarray:
        """[..., 2J] of the shares of the common values, and of all others together: angles, then quantiles."""
        total = counts.sum(axis=-1, keepdims=True)
        common = counts[..., self.common]
        angles = angle_of(np.concatenate([common, total - common.sum(axis=-1, keepdims=True)], axis=-1), total)
        return np.concatenate([angles, quantile_of(angles, total)], axis=-1)


Reference = Mapping[str, NumberReference | CategoryReference]  # by column


@dataclass(frozen=True)
class Profile:
    """A bundle's profile, read and checked."""

    rows: int
    features: Reference
    predictions: Reference
    label: Reference
    feature_days: TrainingDays | None  # None: the rows have no days, or too few
    prediction_days: TrainingDays | None
    label_days: TrainingDays | None


PREDICTION, CONFIDENCE, CHOSEN, LABEL = "prediction", "confidence", "class", "label"


def read_profile(content: Mapping[str, Any]) -> Profile:
    """The reference in a bundle's `profile.json`; one of another format is refused with the remedy."""
    if content.get("format") != FORMAT:
        raise ProfileError(
            f"the bundle's profile has format {content.get('format')}, this reader knows format {FORMAT}: "
            "materialise serving_model to rebuild the bundle"
        )
    try:
        features, answers = read_features(content), read_predictions(content["scores"])
        past = (days_from_plain(content["days"][part]) for part in ("features", "scores", "label"))
        return Profile(content["rows"], features, answers, read_label(content["label"]), *past)
    except (KeyError, TypeError, AttributeError) as err:
        raise ProfileError(f"the bundle's profile cannot be read: {err!r} is missing or of another kind") from err


def read_features(content: Mapping[str, Any]) -> Reference:
    """What training rows looked like."""
    numbers = {name: _number(described) for name, described in content["numbers"].items()}
    return numbers | {name: _category(described) for name, described in content["categories"].items()}


def _number(described: Mapping[str, Any]) -> NumberReference:
    edges = np.unique(np.array(described["quantiles"], dtype=np.float64))
    # a value on an edge belongs to the bin above it: that bin begins with the edge's own cell
    starts = 2 * np.searchsorted(edges, np.array(described["edges"], dtype=np.float64)) + 1
    return NumberReference(
        edges=edges,
        cells=np.array(described["cells"] or [0], dtype=np.int64),
        coarse=np.concatenate([[0], starts]).astype(np.int64),
        rows=described["rows"],
        nulls=described["nulls"],
        infinite=described["infinite"],
        mean=described["mean"],
        std=described["std"],
    )


def _category(described: Mapping[str, Any]) -> CategoryReference:
    counts, other = described["counts"], described.get("other", 0)
    kept = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
    barely, total = kept[kept == described.get("cut", 0) + 1].sum(), kept.sum()
    expected = kept * ((total - barely) / total) if total else kept
    return CategoryReference(
        tuple(counts), expected, float(other + barely), described["rows"], described.get("nulls", 0)
    )


def read_label(described: Mapping[str, Any]) -> Reference:
    """What labels looked like."""
    return {LABEL: _number(described) if "quantiles" in described else _category(described)}


def read_predictions(scores: Mapping[str, Any]) -> Reference:
    """What answers to rows that were not learnt from looked like."""
    if "chosen" not in scores:
        return {PREDICTION: _number(scores)}
    chosen = {"counts": scores["chosen"], "rows": scores["rows"]}
    return {CHOSEN: _category(chosen), CONFIDENCE: _number(scores["confidence"])}
