"""Draws what came into the lake: rows, and how many of them wait in quarantine."""

import base64
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlops_assets.resources.plots.style import COLOURS, GREY, png

_WIDTH, _ROW_HEIGHT, _DPI = 8.2, 1.25, 80  # inches, inches, dots: this is kept with every materialisation
_LABELS = 8


def draw_rows_by_partition(
    rows: Mapping[str, Sequence[int]],
    partitions: Sequence[str],
    bad: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """For each feed its rows by partition, the quarantined ones on top in another colour."""

    figure = Figure(figsize=(_WIDTH, _ROW_HEIGHT * len(rows) + 0.4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    places = range(len(partitions))
    for axis, (feed, counts) in zip(axes, rows.items(), strict=True):
        wrong = (bad or {}).get(feed, [0] * len(counts))
        axis.stackplot(*_steps(counts), color=COLOURS[0], linewidth=0)
        axis.stackplot(*_steps(wrong), color=COLOURS[1], linewidth=0)
        share = f", {sum(wrong):,} of them quarantined" if bad is not None else ""
        axis.set_title(f"{feed}: {sum(counts):,} rows{share}", fontsize=8, loc="left")
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7, color=GREY)
        axis.spines[["top", "right"]].set_visible(False)
    step = max(1, len(partitions) // _LABELS)
    axes[-1].set_xticks(list(places)[::step], list(partitions)[::step])
    return png(figure)


def inline(picture: bytes, title: str) -> str:
    """A picture as Markdown that needs no file beside it."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(picture).decode()})"


def _steps(counts: Sequence[int]) -> tuple[list[float], list[int]]:
    """Edges of bars as one area, which draws hundreds of them at once."""
    edges = [place + side for place in range(len(counts)) for side in (-0.5, 0.5)]
    return edges, [count for count in counts for _ in range(2)]
