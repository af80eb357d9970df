"""Draws what the endpoint answered: how much at which hour, and how the answers are spread."""

from collections.abc import Mapping

import numpy as np

from mlops_assets.resources.plots.style import COLOURS, canvas, legend, png

_BINS = 40


def draw_answers_by_hour(hours: Mapping[str, np.ndarray]) -> bytes:
    """Rows in each hour of the day (UTC), the versions on top of each other."""
    figure, axes = canvas("Answers by hour of the day", "hour (UTC)", "rows", height=3.6)
    base = np.zeros(24)
    for place, (version, counts) in enumerate(sorted(hours.items())):
        axes.bar(np.arange(24), counts, bottom=base, color=COLOURS[place % len(COLOURS)], label=version, width=0.9)
        base = base + counts
    axes.set_xticks(range(0, 24, 3))
    legend(axes, "best")
    return png(figure)


def draw_score_spread(scores: Mapping[str, np.ndarray]) -> bytes:
    """How the answers of each version are spread: probabilities, or values."""
    figure, axes = canvas("Spread of the answers", "answer", "share of rows", height=3.6)
    whole = np.concatenate(list(scores.values()))
    probable = whole.min() >= 0 and whole.max() <= 1
    edges = np.linspace(0, 1, _BINS + 1) if probable else np.histogram_bin_edges(whole, _BINS)
    for place, (version, values) in enumerate(scores.items()):
        counts, _ = np.histogram(values, edges)
        axes.stairs(counts / max(len(values), 1), edges, color=COLOURS[place % len(COLOURS)], label=version, lw=1.8)
    legend(axes, "best")
    return png(figure)
