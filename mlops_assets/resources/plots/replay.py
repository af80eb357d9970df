"""Draws what a replay found. Decides nothing."""

import numpy as np

from mlops_assets.domain.release.replay import ReplayReport
from mlops_assets.resources.plots.style import COLOURS, GREY, canvas, png

DOTS = 3_000


def draw_agreement(report: ReplayReport) -> bytes:
    """The champion's answers against the candidate's, a dot a row; on the line they agree."""
    figure, axes = canvas("Replay: the same requests, two versions", "champion answered", "candidate answers")
    taken = np.unique(np.linspace(0, len(report.champion) - 1, min(DOTS, len(report.champion))).astype(int))
    if len(taken):
        theirs, ours = report.champion[taken], report.candidate[taken]
        ends = [min(theirs.min(), ours.min()), max(theirs.max(), ours.max())]
        axes.plot(ends, ends, color=GREY, linewidth=0.8)
        axes.scatter(theirs, ours, s=8, color=COLOURS[0], alpha=0.35, linewidths=0)
    return png(figure)
