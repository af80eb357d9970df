"""One look for every picture: 900 pixels wide, few lines, small files.

The colours are Okabe and Ito's, which people with colour blindness can distinguish; line styles differ as well.
No global state: figures are made directly, on the Agg canvas.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK, GREY, FAINT = "#333333", "#8a8a8a", "#e4e4e4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 3)))
POINTS = 400  # of a curve; more cannot be seen
DPI = 100


def line(axes: Axes, x: Any, y: Any, *, k: int, label: str) -> None:
    """A curve in the k-th style, thinned to the resolution of the picture; the first is drawn boldest."""
    taken = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(int))
    colour, dashes = COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)]
    width, order = (2.2, 10) if k == 0 else (1.3, 5)
    axes.plot(
        np.asarray(x)[taken],
        np.asarray(y)[taken],
        color=colour,
        linestyle=dashes,
        linewidth=width,
        label=label,
        zorder=order,
    )


def canvas(title: str, x: str, y: str, height: float = 5.2) -> tuple[Figure, Axes]:
    figure = new_figure(height)
    axes = figure.add_subplot()
    dress(axes, title, x, y)
    return figure, axes


def new_figure(height: float) -> Figure:
    figure = Figure(figsize=(9, height), dpi=DPI, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    return figure


def dress(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    axes.tick_params(labelsize=10, colors=INK, length=0)
    axes.grid(True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)


def legend(axes: Axes, place: Literal["best", "lower right", "upper right"]) -> None:
    axes.legend(loc=place, frameon=False, fontsize=10, labelcolor=INK)


def name_lines(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.7, len(names) - 0.3)


def height(lines: int) -> float:
    return 1.4 + 0.3 * max(lines, 3)


def short(name: str) -> str:
    """A label that fits; a dollar sign would start a formula."""
    name = name if len(name) <= 34 else name[:33] + "…"
    return name.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """At most 96 colours: a third of the size, and no eye sees it."""
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    buffer = BytesIO()
    picture = Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")
    picture.quantize(96, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
