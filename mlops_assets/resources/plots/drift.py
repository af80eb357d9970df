"""Draws drift: a column then and now, and columns over days. From counts of all rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlops_assets.domain.drift.reference import CategoryReference, NumberReference
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch
from mlops_assets.resources.plots.style import (
    COLOURS,
    canvas,
    dress,
    height,
    legend,
    name_lines,
    new_figure,
    png,
    short,
)

_BINS, _BARS, _LINES, _DATES = 40, 14, 40, 6
_EDGE = 0.005  # share of the training rows on either side that may be outside the picture
_MOST = 3.0  # strength that has the darkest colour


def draw_number_change(name: str, reference: NumberReference, live: NumberSketch) -> bytes:
    """Shares of training rows and of live rows by value; the outer bins count the rows beyond the picture."""
    figure, axes = canvas(short(name), "value; the outer bins count what is beyond", "share of rows", height=3.4)
    edges = _places(reference)
    for place, (label, side) in enumerate((("training", reference), ("live", live))):
        below = _below(reference.edges, side.cells, edges)
        shares = np.diff(np.concatenate([[0.0], below[1:-1], [1.0]])) if side.cells.any() else np.zeros(_BINS)
        axes.stairs(shares, edges, color=COLOURS[place], label=_rows(label, side), lw=1.8)
    legend(axes, "best")
    return png(figure)


def draw_category_change(name: str, reference: CategoryReference, live: CategorySketch) -> bytes:
    """Shares of the values whose share changed most, and of all values that training did not keep."""
    then, now = (
        np.append(counts, other) / max(counts.sum() + other, 1)
        for counts, other in ((reference.counts, reference.other), (live.counts, live.other))
    )
    names = [*reference.values, "any other"]
    chosen = np.argsort(-np.abs(now - then), kind="stable")[:_BARS][::-1]
    figure, axes = canvas(short(name), "share of rows", "", height=height(len(chosen)))
    places = np.arange(len(chosen))
    sides = (("training", reference, then, 0.2), ("live", live, now, -0.2))
    for k, (label, side, shares, offset) in enumerate(sides):
        axes.barh(places + offset, shares[chosen], height=0.38, color=COLOURS[k], label=_rows(label, side))
    name_lines(axes, [short(names[place]) for place in chosen])
    legend(axes, "lower right")
    return png(figure)


def draw_drift_by_day(strengths: Mapping[str, Mapping[str, float]], drifted: Mapping[str, Sequence[str]]) -> bytes:
    """Day → column → how strong the change was, 1 being the least that is material; a dot where it drifted."""
    days = list(strengths)
    peaks: dict[str, float] = {}
    for found in strengths.values():
        peaks |= {name: max(strength, peaks.get(name, 0.0)) for name, strength in found.items()}
    names = sorted(peaks, key=lambda name: peaks[name])[-_LINES:]
    grid = np.array([[strengths[day].get(name, np.nan) for day in days] for name in names]).reshape(len(names), -1)
    figure = new_figure(height(len(names)))
    axes = figure.subplots()
    dress(axes, "Drift by day", "", "")
    shown = axes.imshow(np.ma.masked_invalid(grid), aspect="auto", cmap="YlOrRd", vmin=0, vmax=_MOST, origin="lower")
    for place, day in enumerate(days):
        rows = [names.index(name) for name in drifted.get(day, ()) if name in names]
        axes.scatter([place] * len(rows), rows, s=22, color="black", linewidths=0)
    name_lines(axes, [short(name) for name in names])
    step = -(-len(days) // _DATES)
    axes.set_xticks(range(0, len(days), step), days[::step])
    axes.grid(False)
    figure.colorbar(shown, ax=axes, label="change ÷ least that is material")
    return png(figure)


def _rows(label: str, side: NumberReference | NumberSketch | CategoryReference | CategorySketch) -> str:
    return f"{label}: {side.rows:,} rows, {side.nulls / max(side.rows, 1):.1%} missing"


def _places(reference: NumberReference) -> np.ndarray:
    """[_BINS + 1] edges of equal width over nearly all training rows."""
    edges = reference.edges
    share = np.cumsum(reference.cells)[1::2] / max(reference.cells.sum(), 1)  # up to each edge
    low, high = edges[np.searchsorted(share, _EDGE)], edges[min(np.searchsorted(share, 1 - _EDGE), len(edges) - 1)]
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def _below(edges: np.ndarray, cells: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The share of rows up to each place: exact at an edge, even between two."""
    whole = np.cumsum(cells) / max(cells.sum(), 1)
    just_below, up_to = whole[0:-1:2], whole[1::2]
    at = np.searchsorted(edges, places, "right")  # edges at or below the place
    before = np.concatenate([[0.0], up_to])[at]
    after = np.append(just_below, 1.0)[at]
    left = np.concatenate([edges[:1], edges])[at]
    right = np.append(edges, edges[-1])[at]
    width = np.where(right > left, right - left, 1.0)
    return before + (after - before) * np.clip((places - left) / width, 0.0, 1.0)
