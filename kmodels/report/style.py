"""The common style of all figures: colours, sizes, panels, notes, numbers as text, and a figure as PNG.

The colours are Okabe and Ito's, which people with any colour vision can tell apart (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from kmodels.errors import DataError

BLUE, ORANGE, GREEN, GREY, PALE = "#0072B2", "#D55E00", "#009E73", "#8A9099", "#C3C9D1"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#1F2933", "#8C6D31")
STYLES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))  # for the second and third eight lines
DASHED = (0, (5, 3))
INK, SOFT = "#1F2933", "#52606D"
# On a phone's 360 px, a 5 inch figure still has letters 11 to 12 px high.
WIDTH, DPI, TEXT = 5.0, 144, 12
DENSITY = LinearSegmentedColormap.from_list("density", ["#DCEBF5", "#7DB8DC", "#1F77B0"])
SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#B9D8EC", "#1F77B0"])
# Where a name may stand around its point: offset in points (1/72 inch) and alignment.
_PLACES = (
    (8, 0, "left", "center"),
    (-8, 0, "right", "center"),
    (0, 8, "center", "bottom"),
    (0, -8, "center", "top"),
    (6, 6, "left", "bottom"),
    (6, -6, "left", "top"),
    (-6, 6, "right", "bottom"),
    (-6, -6, "right", "top"),
    (0, 22, "center", "bottom"),
    (0, -22, "center", "top"),
)
Floats = NDArray[np.float64]


def png(figure: Figure) -> bytes:
    """Render a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def blank(height: float) -> Figure:
    """Make an empty figure of the common width that no global state of Matplotlib knows."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def panels(height: float, ratios: Sequence[float] = (1.0,), *, share_x: bool = False) -> tuple[Figure, list[Axes]]:
    """Make a figure of stacked panels; `ratios` are their relative heights."""
    figure = blank(height)
    stack = list(figure.subplots(len(ratios), 1, squeeze=False, sharex=share_x, height_ratios=ratios)[:, 0])
    for axes in stack:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#B8BEC7")
        axes.tick_params(labelsize=TEXT - 1, colors=SOFT, length=3)
        axes.grid(color="#E4E7EB", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.label.set(size=TEXT, color=INK)
        axes.yaxis.label.set(size=TEXT, color=INK)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(h_pad=0.1)  # type: ignore[call-arg]  # the constrained engine has it
    return figure, stack


def heading(axes: Axes, text: str) -> None:
    """Set a panel's heading, flush left and bold."""
    axes.set_title(text, loc="left", fontsize=TEXT + 1, weight="bold", color=INK, pad=9)


def note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    *,
    color: str = SOFT,
    ha: Literal["left", "right"] = "left",
    va: Literal["top", "bottom"] = "top",
    lines_down: int = 0,
) -> None:
    """Write a few words at fractions of the panel, on a pale ground; `lines_down` stacks notes."""
    axes.annotate(
        text,
        at,
        (0, -lines_down * 1.45 * (TEXT - 1)),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=TEXT - 1,
        color=color,
        ha=ha,
        va=va,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5},
        zorder=6,
    )


def label(
    axes: Axes, at: tuple[float, float], offset: tuple[float, float], text: str, *, bold: bool = False, **more: Any
) -> None:
    """Write a name or a value next to a mark, in the panel's data coordinates unless `xycoords` says otherwise."""
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": TEXT - 1, "color": INK, "zorder": 5, **more}
    look["bbox"] = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
    axes.annotate(text, at, offset, weight="bold" if bold else "normal", **look)


def named_bars(
    axes: Axes,
    values: Mapping[str, float],
    texts: Mapping[str, str],
    colours: str | Mapping[str, str],
    *,
    room: float,
    bold: Sequence[str] = (),
    spread: Mapping[str, float] | None = None,
) -> None:
    """Draw horizontal bars from zero, first on top, with whiskers; the panel is `room` times as wide as the longest."""
    names = list(values)
    filled = [colours if isinstance(colours, str) else colours[name] for name in names]
    axes.barh(range(len(names)), [values[name] for name in names], height=0.42, color=filled)
    for row, name in enumerate(names):
        reach = (spread or {}).get(name, 0.0)
        if reach:
            axes.errorbar(values[name], row, xerr=reach, color=INK, linewidth=1.6, capsize=4)
        label(axes, (max(values[name] + reach, 0.0), row), (5, 0), texts[name], va="center")
        # The name stands above its bar, not left of it: on a phone the bars then have the whole width.
        label(axes, (0, row - 0.24), (2, 2), name, bold=name in bold)
    rows_from_the_top(axes, len(names))
    axes.set_xlim(min(0.0, 1.2 * min(values.values())), max(room * max(values.values()), 1e-9))
    few_ticks(axes.xaxis)


def rows_from_the_top(axes: Axes, count: int) -> None:
    """Give a panel `count` rows without ticks, row 0 on top with room for a name above it."""
    axes.set_yticks([])
    axes.set_ylim(count - 0.6, -0.8)


def legend_below(figure: Figure, handles: Sequence[Any], texts: Sequence[str], columns: int) -> None:
    """List the lines below the panels."""
    figure.legend(handles, texts, loc="outside lower left", ncols=columns, fontsize=TEXT - 1, frameon=False)


def checked(**arrays: ArrayLike) -> list[Floats]:
    """Turn (n,) arrays into float64 of one length; DataError where one is empty, shorter or not finite."""
    converted = {name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()}
    first, length = next((name, values.shape) for name, values in converted.items())
    for name, values in converted.items():
        if values.ndim != 1 or values.shape != length or not len(values):
            expected = f"(n,) with n ≥ 1, as long as {first}"
            raise DataError("wrong shape", column=name, expected=expected, received=values.shape)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError("not finite", column=name, row=row + 1, received=float(values[row]))
    return list(converted.values())


def short(value: float, like: float | None = None) -> str:
    """Write a number in few signs ("0.884", "2,503", "2.79bn"), with the decimals of `like` where it is given."""
    size = abs(value if like is None else like)
    for limit, scale, decimals, letter in (
        (9.9995, 1.0, 3, ""),
        (99.995, 1.0, 2, ""),
        (999.95, 1.0, 1, ""),
        (999_999.5, 1.0, 0, ""),
        (999.995e6, 1e6, 2, "M"),
    ):
        if size < limit:
            return f"{value / scale:,.{decimals}f}{letter}"
    return f"{value / 1e9:,.2f}bn"


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


def name_points(axes: Axes, points: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Write each point's name next to it, where it covers neither another name nor a point."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # the layout decides where a point stands
    dots = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    inside = axes.get_window_extent()
    for name, point in points.items():
        text = axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=TEXT - 1, zorder=7)
        text.set_color(colours[name])
        costs = []
        for x, y, ha, va in _PLACES:
            text.xyann = (x, y)
            text.set(ha=ha, va=va)
            box = text.get_window_extent()
            outside = box.width * box.height - _overlap(box, inside)
            costs.append(sum(_overlap(box, other) for other in taken) + 2 * outside)
        x, y, ha, va = _PLACES[int(np.argmin(np.round(costs, 6)))]
        text.xyann = (x, y)
        text.set(ha=ha, va=va)
        taken.append(text.get_window_extent())


def _overlap(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)
