"""Draws an evaluation as PNG. Decides nothing, computes only what a curve is made of."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.calibration import Reliability
from mlops_assets.domain.evaluation.importance import Importance
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.report import EvaluationReport
from mlops_assets.domain.evaluation.slices import SliceScore
from mlops_assets.resources.plots.style import (
    COLOURS,
    GREY,
    INK,
    canvas,
    dress,
    height,
    legend,
    line,
    name_lines,
    new_figure,
    png,
    short,
)

Scores = Mapping[str, np.ndarray]

DOTS = 3000  # of a cloud
MOST = 24  # slices or columns in one picture
_LEAST_ROOM = 0.01  # beside intervals that are all the same point


def draw(
    report: EvaluationReport,
    labels: np.ndarray,
    scores: Scores,
    *,
    classes: Sequence[str] = (),
    history: Sequence[Mapping[str, float]] = (),
) -> dict[str, bytes]:
    """Name → PNG of all that fits the kind of target. `scores`: contender → scores, the candidate first.

    `history`: one record of numbers for each epoch of the training.
    """
    candidate = next(iter(scores.values()))
    pictures = {"calibration": calibration(report.reliability, candidate, report.kind)}
    if report.kind is Kind.BINARY:
        pictures |= {"roc": roc(labels, scores), "precision_recall": precision_recall(labels, scores)}
    elif report.kind is Kind.MULTICLASS:
        pictures["confusion"] = confusion(labels, candidate, classes)
    else:
        pictures["residuals"] = residuals(labels, candidate)
    if report.slices:
        pictures["slices"] = slices(report.slices, report.evidence.score.estimate, report.metric)
    if report.importance:
        pictures["importance"] = importance(report.importance, report.metric)
    if history:
        pictures["learning_curve"] = learning_curve(history)
    return pictures


def roc(labels: np.ndarray, scores: Scores) -> bytes:
    figure, axes = canvas("ROC", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    for k, (name, values) in enumerate(scores.items()):
        hits, taken = _swept(labels, values)
        misses = taken - hits
        label = f"{name}  AUC {METRICS['auc'](labels, values):.3f}"
        line(axes, np.r_[0, misses / misses[-1]], np.r_[0, hits / hits[-1]], k=k, label=label)
    legend(axes, "lower right")
    return png(figure)


def precision_recall(labels: np.ndarray, scores: Scores) -> bytes:
    figure, axes = canvas("Precision and recall", "recall", "precision")
    axes.axhline(labels.mean(), color=GREY, linewidth=0.8)
    axes.set_ylim(0, 1.02)
    for k, (name, values) in enumerate(scores.items()):
        hits, taken = _swept(labels, values)
        label = f"{name}  AP {METRICS['average_precision'](labels, values):.3f}"
        steady = taken >= len(labels) / 200  # the first few rows only jump up and down
        line(axes, (hits / hits[-1])[steady], (hits / taken)[steady], k=k, label=label)
    legend(axes, "upper right")
    return png(figure)


def _swept(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive rows, and rows, at or above each distinct score, from the highest; ties are one step."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(labels[order] == 1)[ends]
    return hits.astype(float), ends + 1.0


def calibration(found: Reliability, scores: np.ndarray, kind: Kind) -> bytes:
    """Observed against predicted by bins of equal size, and below it how the predictions are spread."""
    figure = new_figure(6.2)
    axes, spread = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    dress(axes, "Calibration", "", "observed")
    dress(spread, "", "predicted", "rows")
    predicted = [b.predicted for b in found.bins]
    observed = [b.observed for b in found.bins]
    axes.axline((predicted[0], predicted[0]), slope=1, color=GREY, linewidth=0.8)
    reach = [[b.observed - b.low for b in found.bins], [b.high - b.observed for b in found.bins]]
    axes.errorbar(predicted, observed, yerr=reach, color=COLOURS[0], marker="o", markersize=5, linewidth=1.4, capsize=2)
    slope = "" if found.slope is None else f"\nslope {found.slope:.2f}, intercept {found.intercept:.2f}"
    axes.text(0.02, 0.95, f"calibration error {found.error}{slope}", transform=axes.transAxes, va="top")
    shown = scores.max(axis=1) if kind is Kind.MULTICLASS else scores
    spread.hist(shown, bins=50, color=COLOURS[5])
    return png(figure)


def slices(found: Sequence[SliceScore], overall: float, metric: str) -> bytes:
    """The worst slices with their intervals; hollow where there are too few rows to conclude anything."""
    scored = [(each, each.score) for each in found if each.score is not None][:MOST][::-1]
    figure, axes = canvas("Slices, the worst on top", metric, "", height=height(len(scored)))
    axes.axvline(overall, color=GREY, linewidth=0.8)
    for k, (each, score) in enumerate(scored):
        solid = each.rows >= each.minimum
        axes.plot([score.low, score.high], [k, k], color=COLOURS[0], linewidth=1.4, alpha=1 if solid else 0.5)
        axes.plot(score.estimate, k, "o", color=COLOURS[0], markerfacecolor=COLOURS[0] if solid else "white")
    known = [score for each, score in scored if each.rows >= each.minimum]
    if known:  # a tiny slice's interval would squeeze all the others
        low, high = min(s.low for s in known), max(s.high for s in known)
        room = 0.15 * (high - low) or _LEAST_ROOM
        axes.set_xlim(low - room, high + room)
    name_lines(axes, [f"{short(each.name)}  ({each.rows:,})" for each, _ in scored])
    return png(figure)


def importance(found: Sequence[Importance], metric: str) -> bytes:
    shown = list(found)[:MOST][::-1]
    label = f"loss of {metric} when shuffled"
    figure, axes = canvas("Importance", label, "", height=height(len(shown)))
    axes.barh(range(len(shown)), [i.loss.estimate for i in shown], color=COLOURS[0], height=0.62)
    for k, each in enumerate(shown):
        axes.plot([each.loss.low, each.loss.high], [k, k], color=INK, linewidth=1.1)
    axes.axvline(0, color=GREY, linewidth=0.8)
    name_lines(axes, [short(i.name) for i in shown])
    return png(figure)


def residuals(labels: np.ndarray, scores: np.ndarray) -> bytes:
    """Truth against prediction, and how the errors are spread."""
    figure = new_figure(4.6)
    cloud, spread = figure.subplots(1, 2)
    dress(cloud, "Truth against prediction", "predicted", "truth")
    dress(spread, "Errors", "truth - predicted", "rows")
    taken = np.linspace(0, len(labels) - 1, min(DOTS, len(labels))).astype(int)
    cloud.plot(scores[taken], labels[taken], ".", color=COLOURS[0], markersize=3, alpha=0.35)
    cloud.axline((scores.mean(), scores.mean()), slope=1, color=INK, linewidth=0.8)
    errors = labels - scores
    low, high = np.quantile(errors, [0.005, 0.995])
    spread.hist(errors, bins=60, range=(low, high), color=COLOURS[5])
    spread.axvline(0, color=INK, linewidth=0.8)
    return png(figure)


def confusion(labels: np.ndarray, scores: np.ndarray, classes: Sequence[str] = ()) -> bytes:
    """Shares of each true class; counts would hide the rare ones."""
    size = scores.shape[1]
    names = [short(name) for name in classes] or [str(k) for k in range(size)]
    counts = np.zeros((size, size))
    np.add.at(counts, (labels.astype(int), scores.argmax(axis=1)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = canvas("Share of each true class", "decided", "true", height=max(4.6, 0.45 * size + 2))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(size), names, rotation=0 if size < 8 else 45)
    axes.set_yticks(range(size), names)
    for row, column in np.ndindex(size, size) if size <= 15 else ():
        colour = "white" if shares[row, column] > 0.55 else INK
        axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=colour)
    return png(figure)


def learning_curve(history: Sequence[Mapping[str, float]]) -> bytes:
    """Epoch by epoch, losses together and every other number in a panel of its own."""
    names = [name for name in history[0] if name not in ("epoch", "seconds")]
    losses = [name for name in names if "loss" in name]
    panels = [panel for panel in (losses, *([name] for name in names if name not in losses)) if panel]
    figure = new_figure(4.2)
    for k, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), k + 1)
        dress(axes, "loss" if panel is losses else panel[0], "epoch", "")
        for n, name in enumerate(panel):
            line(axes, range(1, len(history) + 1), [epoch[name] for epoch in history], k=n, label=name)
        if len(panel) > 1:
            legend(axes, "best")
    return png(figure)
