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

FORMAT = 2  # of the profile


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


Reference = Mapping[str, NumberReference | CategoryReference]  # by column


@dataclass(frozen=True)
class Profile:
    """A bundle's profile, read and checked."""

    rows: int
    features: Reference
    predictions: Reference
    label: Reference


PREDICTION, CONFIDENCE, CHOSEN, LABEL = "prediction", "confidence", "class", "label"


def read_profile(content: Mapping[str, Any]) -> Profile:
    """The reference in a bundle's `profile.json`; one of another format is refused with the remedy."""
    if content.get("format") != FORMAT:
        raise ProfileError(
            f"the bundle's profile has format {content.get('format')}, this reader knows format {FORMAT}: "
            "materialise serving_model to rebuild the bundle"
        )
    try:
        numbers = {name: _number(described) for name, described in content["numbers"].items()}
        categories = {name: _category(described) for name, described in content["categories"].items()}
        label = {LABEL: _label(content["label"])}
        return Profile(content["rows"], numbers | categories, _predictions(content["scores"]), label)
    except (KeyError, TypeError, AttributeError) as err:
        raise ProfileError(f"the bundle's profile cannot be read: {err!r} is missing or of another kind") from err


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


def _label(described: Mapping[str, Any]) -> NumberReference | CategoryReference:
    return _number(described) if "quantiles" in described else _category(described)


def _predictions(scores: Mapping[str, Any]) -> Reference:
    if "chosen" not in scores:
        return {PREDICTION: _number(scores)}
    chosen = {"counts": scores["chosen"], "rows": scores["rows"]}
    return {CHOSEN: _category(chosen), CONFIDENCE: _number(scores["confidence"])}
