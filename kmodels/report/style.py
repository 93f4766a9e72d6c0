"""The common style of all figures: colours, sizes, panels, notes, numbers as text, and a figure as PNG.

The colours are Okabe and Ito's, which people with any colour vision can tell apart (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from kmodels.errors import DataError
from kmodels.report.fonts import PlainFigure

BLUE, ORANGE, GREEN, GREY, PALE = "#0072B2", "#D55E00", "#009E73", "#8A9099", "#C3C9D1"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#1F2933", "#8C6D31")
_STYLES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))  # of the first, second and third eight lines
INK, SOFT = "#1F2933", "#52606D"
# On a phone's 360 px, a 5 inch figure still has letters 11 to 12 px high.
WIDTH, DPI, TEXT = 5.0, 144, 12
DENSITY = LinearSegmentedColormap.from_list("density", ["#DCEBF5", "#7DB8DC", "#1F77B0"])
SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#B9D8EC", "#1F77B0"])
_GROUND = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none"}
Floats = NDArray[np.float64]
Look = dict[str, Any]


def png(figure: Figure) -> bytes:
    """Render a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def blank(height: float) -> Figure:
    """Make an empty figure of the common width that no global state of Matplotlib knows."""
    figure = PlainFigure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def panels(height: float, ratios: Sequence[float] = (1.0,), **shared: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure of stacked panels; `ratios` are their relative heights, `shared` is `sharex` and `sharey`."""
    figure = blank(height)
    stack = list(figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios, **shared)[:, 0])
    for axes in stack:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#B8BEC7")
        axes.tick_params(labelsize=TEXT - 1, colors=SOFT, length=3)
        axes.grid(color="#E4E7EB", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.label.set(size=TEXT, color=INK)
        axes.yaxis.label.set(size=TEXT, color=INK)
    figure.get_layout_engine().set(h_pad=0.1)  # type: ignore[union-attr, call-arg]  # the constrained one has it
    return figure, stack


def heading(axes: Axes, text: str) -> None:
    """Set a panel's heading, flush left and bold."""
    axes.set_title(brief(text, 46), loc="left", fontsize=TEXT + 1, weight="bold", color=INK, pad=9)


def note(axes: Axes, text: str, corner: str, *, color: str = SOFT, lines: float = 0) -> None:
    """Write a few words in a corner ("top left") of the panel; `lines` stacks notes away from the edge."""
    va, ha = corner.split()
    at, up = (0.985 if ha == "right" else 0.02, 0.97 if va == "top" else 0.03), -1 if va == "top" else 1
    where: Look = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": ha, "va": va}
    look: Look = {"fontsize": TEXT - 1, "color": color, "zorder": 6, "bbox": _GROUND | {"pad": 1.5}}
    axes.annotate(text, at, (0, up * lines * 1.45 * (TEXT - 1)), **where, **look)


def line(index: int) -> Look:
    """The look of a line among several."""
    return {"color": PALETTE[index % 8], "linestyle": _STYLES[index // 8 % 3], "linewidth": 1.9}


def dashed(color: str) -> Look:
    """The look of a line to compare with."""
    return {"color": color, "linestyle": (0, (5, 3)), "linewidth": 1.5}


def label(axes: Axes, at: tuple[float, float], offset: tuple[float, float], text: str, **more: Any) -> None:
    """Write a name or a value next to a mark, in the panel's data coordinates unless `xycoords` says otherwise."""
    look: Look = {"textcoords": "offset points", "fontsize": TEXT - 1, "color": INK, "zorder": 5, **more}
    axes.annotate(text, at, offset, bbox=_GROUND | {"pad": 0.5}, **look)


def name_rows(axes: Axes, names: Sequence[str], bold: Sequence[str] = ()) -> None:
    """Name rows above their marks, row 0 on top: on a phone the bars then have the panel's whole width."""
    for row, name in enumerate(names):
        weight = "bold" if name in bold else "normal"
        label(axes, (0, row - 0.24), (2, 2), brief(str(name), 44), weight=weight, xycoords=("axes fraction", "data"))
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.85)


def legend_below(figure: Figure, handles: Sequence[Any], texts: Sequence[str]) -> None:
    """List lines or dots below the panels, in as many columns as their names leave room for."""
    columns = max(1, min(len(texts), 60 // (max(map(len, texts), default=0) + 8)))
    # Matplotlib leaves out labels that begin with an underscore.
    look: Look = {"loc": "outside lower left", "ncols": columns, "fontsize": TEXT - 1, "frameon": False}
    for label, text in zip(figure.legend(handles, [" "] * len(texts), **look).get_texts(), texts, strict=True):
        label.set_text(text)


def checked(*arrays: ArrayLike) -> list[Floats]:
    """Turn arrays into float64 (n,) of one length; DataError where one is empty, shorter or not finite."""
    found = [np.asarray(values, dtype=np.float64) for values in arrays]
    shapes = [values.shape for values in found]
    if shapes != [(max(len(found[0]), 1),)] * len(found) or not all(np.isfinite(values).all() for values in found):
        raise DataError("not finite numbers, as many of each", expected="(n,) with n ≥ 1", received=shapes)
    return found


def is_wide(values: ArrayLike, factor: float = 20) -> bool:
    """Whether positive values span more than a factor, so that a logarithmic axis suits them."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return len(known) > 0 and bool(known.min() > 0 and known.max() > factor * known.min())


def with_unit(text: str, unit: str) -> str:
    """A label with its unit, where there is one."""
    return f"{text} ({unit})" if unit else text


def short(value: float, like: float | None = None) -> str:
    """Write a number in few signs ("0.884", "2,503", "2.79bn"), with the decimals of `like` where it is given."""
    size = abs(value if like is None else like)
    scale, letter = (1e9, "bn") if size >= 1e9 else (1e6, "M") if size >= 1e6 else (1.0, "")
    decimals = 2 if letter else int(np.clip(3 - np.floor(np.log10(max(size, 1))), 0, 3))
    return f"{value / scale:,.{decimals}f}{letter}".replace("-", "−")


def brief(text: str, most: int) -> str:
    """The beginning of a text, where it is longer than that many letters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def signed(value: float, like: float | None = None) -> str:
    """Write a difference with its sign, as `short` does."""
    return ("+" if value >= 0 else "−") + short(abs(value), like)


def tick(value: float, _: object = None) -> str:
    """Write the number at a tick of an axis ("−20,000", "1.5M"), with a real minus sign."""
    size = abs(value)
    scale, letter = (1e9, "bn") if size >= 1e9 else (1e6, "M") if size >= 1e6 else (1.0, "")
    text = f"{value / scale:,.0f}" if size < 1e6 and size >= 1000 else f"{value / scale:g}"
    return f"{text}{letter}".replace("-", "−")


def few_ticks(axis: XAxis | YAxis) -> None:
    """Put at most six round ticks on an axis, so that the labels of large numbers do not touch."""
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(tick)
