"""Draws quality over days, estimates beside what came out, how long labels take."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.quality.records import Estimated, PerformanceDay
from mlops_assets.domain.traffic.label_delay import DelayCurve
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.plots.style import COLOURS, GREY, INK, canvas, legend, line, png

_LABELS = 8  # dates on an axis


def draw_quality_by_day(days: Sequence[PerformanceDay], fall: float) -> bytes:
    """Each day's realised score, that of the last two weeks, the score at evaluation, the limit, and where it falls."""
    metric = days[-1].metric if days else ""
    figure, axes = canvas("Quality on ripe labels", "day", metric)
    latest = [each.since_promotion.latest if each.since_promotion else None for each in days]
    _band(axes, days, latest, k=0, label="last two weeks together")
    own = [(place, each.realised.value) for place, each in enumerate(days) if each.realised]
    axes.plot([p for p, _ in own], [v for _, v in own], ".", color=GREY, markersize=6, label="the day alone")
    at = [(place, each.baseline) for place, each in enumerate(days) if each.baseline is not None]
    axes.plot([p for p, _ in at], [v for _, v in at], color=INK, linewidth=1.0, label="at evaluation")
    limits = [value - _sign(metric) * fall * abs(value) for _, value in at]
    axes.plot([p for p, _ in at], limits, color=COLOURS[1], linewidth=1.0, linestyle="--", label="fall that matters")
    _mark_fall(axes, days)
    _dates(axes, days)
    legend(axes, "best")
    return png(figure)


def draw_estimate_and_realised(days: Sequence[PerformanceDay]) -> bytes:
    """What was estimated before labels, and what came out, of the same days."""
    figure, axes = canvas("Estimated before labels, and realised", "day", days[-1].metric if days else "")
    _band(axes, days, [each.recent.estimated if each.recent else None for each in days], k=1, label="estimated")
    _band(axes, days, [each.recent.realised if each.recent else None for each in days], k=0, label="realised")
    _dates(axes, days)
    legend(axes, "best")
    return png(figure)


def draw_label_delay(curve: DelayCurve, maturity: float) -> bytes:
    """The share of all answers that have a label after so many hours, and the age from which labels count."""
    figure, axes = canvas("How long labels take", "hours after the answer", "share of answers with a label", height=4)
    if len(curve.seconds):
        hours = np.concatenate([[0.0], curve.seconds / 3600])
        line(
            axes,
            hours,
            np.concatenate([[0.0], curve.arrived]),
            k=0,
            label=f"{curve.labelled:,} of {curve.rows:,} answers",
        )
    if (age := curve.after(maturity)) is not None:
        axes.axvline(
            age.total_seconds() / 3600, color=COLOURS[1], linewidth=1.2, label=f"ripe: {maturity:.0%} are there"
        )
        legend(axes, "lower right")
    axes.set_ylim(0, 1.02)
    return png(figure)


def _band(
    axes: Axes, days: Sequence[PerformanceDay], values: Sequence[Estimated | None], *, k: int, label: str
) -> None:
    there = [(place, each) for place, each in enumerate(values) if each is not None]
    x = [place for place, _ in there]
    axes.fill_between(
        x, [each.low for _, each in there], [each.high for _, each in there], color=COLOURS[k], alpha=0.18
    )
    axes.plot(
        x, [each.value for _, each in there], color=COLOURS[k], linewidth=1.8, marker="o", markersize=4, label=label
    )


def _mark_fall(axes: Axes, days: Sequence[PerformanceDay]) -> None:
    """Where the proven fall of the latest judged day began; at the first day drawn if that was earlier."""
    judged = [(each.fall.outcome, each.since_promotion.falls_since) for each in days if each.since_promotion]
    outcome, since = judged[-1] if judged else (None, None)
    if outcome is Outcome.FAIL and since is not None:
        place = next((place for place, each in enumerate(days) if each.day >= since), 0)
        axes.axvline(place, color=COLOURS[1], linewidth=1.2, label=f"falls since {since}")


def _dates(axes: Axes, days: Sequence[PerformanceDay]) -> None:
    step = max(1, -(-len(days) // _LABELS))
    axes.set_xticks(range(0, len(days), step), [each.day for each in days[::step]])


def _sign(metric: str) -> float:
    return METRICS[metric].sign
