"""The common look of every picture: colours, sizes, panels, notes; and how a figure becomes a file.

The colours are Okabe and Ito's, which people with any colour vision can tell apart (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from kmodels.errors import DataError
from kmodels.report.run_folder import write_atomically

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A9099"
INK, SOFT = "#1F2933", "#52606D"
# Shown 360 px wide, as on a phone, a 5 inch figure still has letters 11 to 12 px high.
WIDTH, DPI, TEXT = 5.0, 144, 12
DENSITY = LinearSegmentedColormap.from_list("density", ["#DCEBF5", "#7DB8DC", "#1F77B0"])
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
