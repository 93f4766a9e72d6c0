"""The common look of every picture: colours, sizes, panels, notes; and how a figure becomes a file.

The colours are Okabe and Ito's, which people with any colour vision can tell apart (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from kmodels.errors import DataError
from kmodels.files import write_atomically

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A9099"
# Eight lines that can be told apart; `STYLES` tells the eight after them from these.
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#1F2933", "#8C6D31")
STYLES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
INK, SOFT = "#1F2933", "#52606D"
# Shown 360 px wide, as on a phone, a 5 inch figure still has letters 11 to 12 px high.
WIDTH, DPI, TEXT = 5.0, 144, 12
DENSITY = LinearSegmentedColormap.from_list("density", ["#DCEBF5", "#7DB8DC", "#1F77B0"])
# Where a name may stand beside its point, in points (1/72 inch): right, left, above, below, and their corners.
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


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, the same bytes for the same figure.

    Args:
        figure: Any figure.
        path: Where to; its folder must exist. A file already there is replaced at once, never half.

    Returns:
        The path.

    Example:
        >>> import tempfile
        >>> figure, _ = panels(3.0)
        >>> save(figure, Path(tempfile.mkdtemp()) / "empty.png").read_bytes()[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    write_atomically(Path(path), buffer.getvalue())
    return Path(path)


def panels(height: float, ratios: Sequence[float] = (1.0,), *, share_x: bool = False) -> tuple[Figure, list[Axes]]:
    """Make a figure of stacked panels in the common style.

    Args:
        height: Height of the figure in inches; its width is `WIDTH`.
        ratios: Relative heights of the panels, one panel each.
        share_x: Whether the panels share their x axis, labelled on the last alone.

    Returns:
        The figure and its panels from top to bottom.

    Example:
        >>> figure, (upper, lower) = panels(4.0, [2, 1])
        >>> len(figure.axes)
        2
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
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
        engine.set(h_pad=0.1)  # type: ignore[call-arg]  # the constrained engine, asked for above, has it
    return figure, stack


def heading(axes: Axes, text: str) -> None:
    """Give a panel its heading, flush left and bold.

    Args:
        axes: The panel.
        text: What it shows, with the unit.

    Example:
        >>> _, (axes,) = panels(3.0)
        >>> heading(axes, "Distribution of errors (stars)")
        >>> axes.get_title(loc="left")
        'Distribution of errors (stars)'
    """
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
    """Write a few words into a panel, on a pale ground so that they stay readable over what is drawn.

    Args:
        axes: The panel.
        text: The words.
        at: (x, y) as fractions of the panel.
        color: Colour of the words; that of the line they name.
        ha: Which side of the text stands at x.
        va: Which side of the text stands at y.
        lines_down: How many lines of text lower, to stack notes whatever the panel's height.

    Example:
        >>> _, (axes,) = panels(3.0)
        >>> note(axes, "dashed: perfect", (0.02, 0.97))
        >>> axes.texts[0].get_text()
        'dashed: perfect'
    """
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


def checked(**arrays: ArrayLike) -> list[Floats]:
    """Turn arrays into floats of one length, so that a picture never leaves out a value silently.

    Args:
        **arrays: (n,) values by name, n ≥ 1, all finite.

    Returns:
        The arrays as float64, in the order given.

    Raises:
        DataError: An array is empty, differs in length from the first, or holds a value that is not finite.

    Example:
        >>> checked(y_true=[4, 5], y_pred=[3.5, float("nan")])
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: row 2, column 'y_pred': not finite; received nan
    """
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
    """Write a number beside what is drawn, in as few signs as tell it from its neighbours.

    Args:
        value: Any finite number.
        like: The number beside which it stands, to have as many decimals and the same unit; itself by default.

    Returns:
        Three decimals below 10, two below 100, one below 1,000, none below a million, then "1.23M" and "1.23bn".

    Example:
        >>> short(0.88432), short(-2503.1), short(61_234), short(2.787e9)
        ('0.884', '-2,503', '61,234', '2.79bn')
    """
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


def signed(value: float, minus: str = "−", like: float | None = None) -> str:
    """Write a difference with its sign.

    Args:
        value: Any finite number.
        minus: The minus sign.
        like: As `short` takes it.

    Returns:
        The sign and what `short` makes of the rest.

    Example:
        >>> signed(0.75), signed(-2503.1)
        ('+0.750', '−2,503')
    """
    return ("+" if value >= 0 else minus) + short(abs(value), like)


def tick(value: float, _: object = None) -> str:
    """Write the number at a tick of an axis, large ones short.

    Args:
        value: Where the tick stands.
        _: Its place, which Matplotlib passes and nobody needs.

    Returns:
        The label, with a real minus sign.

    Example:
        >>> tick(0.25), tick(-20000.0), tick(1.5e6), tick(2e9)
        ('0.25', '−20,000', '1.5M', '2bn')
    """
    size = abs(value)
    scale, letter = (1e9, "bn") if size >= 1e9 else (1e6, "M") if size >= 1e6 else (1.0, "")
    text = f"{value / scale:,.0f}" if size < 1e6 and size >= 1000 else f"{value / scale:g}"
    return f"{text}{letter}".replace("-", "−")


def few_ticks(axis: XAxis | YAxis) -> None:
    """Put at most six round ticks on an axis, so that the labels of large numbers do not touch.

    Args:
        axis: The x or y axis of a panel, linear.

    Example:
        >>> _, (axes,) = panels(3.0)
        >>> _ = axes.set_xlim(0, 24_000)
        >>> few_ticks(axes.xaxis)
        >>> [tick(value) for value in axes.get_xticks()]
        ['0', '5,000', '10,000', '15,000', '20,000', '25,000']
    """
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(tick)


def name_points(axes: Axes, points: Mapping[str, tuple[float, float]], colors: Mapping[str, str] | None = None) -> None:
    """Write each point's name beside it, where it covers neither another name nor a point.

    Args:
        axes: The panel, its limits and scales as they will be.
        points: (x, y) by name, in the panel's data.
        colors: Colour of a name; `INK` without one.

    Example:
        >>> _, (axes,) = panels(3.0)
        >>> name_points(axes, {"small": (0.2, 0.5), "wide": (0.8, 0.6)})
        >>> [text.get_text() for text in axes.texts]
        ['small', 'wide']
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # the layout decides where a point stands
    dots = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    inside = axes.get_window_extent()
    for name, point in points.items():
        text = axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=TEXT - 1, zorder=7)
        text.set_color((colors or {}).get(name, INK))
        best, least = _PLACES[0], np.inf
        for place in _PLACES:
            _place(text, place)
            box = text.get_window_extent()
            covered = sum(_overlap(box, other) for other in taken)
            covered += 2 * (box.width * box.height - _overlap(box, inside))
            if covered < least - 1e-9:
                best, least = place, covered
        _place(text, best)
        taken.append(text.get_window_extent())


def _place(text: Annotation, place: tuple[float, float, str, str]) -> None:
    text.xyann = place[:2]
    text.set(ha=place[2], va=place[3])


def _overlap(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)
