"""What a model looks at, as pictures: heat maps over the examples, importance of inputs, SHAP values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from kmodels.errors import ConfigurationError, DataError
from kmodels.report.canvas import BLUE, GREY, INK, ORANGE, PALETTE, SOFT, TEXT, WIDTH, checked, heading, note, panels

_ACROSS = 2  # examples side by side, each a picture and its heat map
_LETTERS = 14  # of a label, so that the captions of two examples do not meet
_OPAQUE = 0.75  # of the colour where the heat is 1


def gallery(
    pictures: ArrayLike,
    maps: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    each: int = 4,
) -> Figure:
    r"""Draw examples predicted right and wrong, each beside its heat over itself in grey.

    The first of each kind are taken, in the order given: rows in random order make an honest choice.

    Args:
        pictures: uint8 (n, height, width, 3), or 1 channel for grey.
        maps: (n, h, w) heat, 0 to 1, of any size, as of `explain.grad_cam`.
        true: (n,) true classes, integers from 0.
        predicted: (n,) predicted classes, likewise; the heat should be that of these.
        probability: (n, classes) probabilities.
        labels: Name of each class; long ones are cut to 14 letters.
        each: How many right and how many wrong ones, at most. Default 4.

    Returns:
        The figure.

    Raises:
        DataError: Shapes, lengths or the pictures' dtype do not fit, or a class has no label.
        ConfigurationError: `each` is below 1.

    Example:
        >>> pictures, maps = np.zeros((2, 8, 8, 3), "uint8"), np.ones((2, 4, 4))
        >>> figure = gallery(pictures, maps, [0, 1], [0, 0], [[0.9, 0.1], [0.7, 0.3]], ["no", "yes"])
        >>> figure.axes[2].get_title(loc="left")
        'predicted no, 70 %\nis yes'
    """
    if each < 1:
        raise ConfigurationError(f"a gallery needs at least one example of each kind. Received: each={each}")
    shown, heat = np.asarray(pictures), np.asarray(maps, dtype=np.float64)
    shares, classes = np.asarray(probability, dtype=np.float64), (np.asarray(true), np.asarray(predicted))
    _check_gallery(shown, heat, classes, shares, labels)
    right = classes[0] == classes[1]
    kinds = [("Predicted right", np.flatnonzero(right), BLUE), ("Predicted wrong", np.flatnonzero(~right), ORANGE)]
    # Heights in inches: a heading and the rows, each of a caption of two lines and the pictures.
    picture = WIDTH / (2 * _ACROSS) * shown.shape[1] / shown.shape[2]
    heights = [0.45 + -(-min(each, len(rows)) // _ACROSS) * (0.5 + picture) for _, rows, _ in kinds]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    for part, (title, rows, colour) in zip(parts[:, 0], kinds, strict=True):
        part.suptitle(
            f"{title}: {len(rows)} of {len(right)}", x=0.02, ha="left", fontsize=TEXT + 1, weight="bold", color=colour
        )
        cells = _cells(part, min(each, len(rows)))
        for row, (plain, covered) in zip(rows[:each], cells, strict=True):
            is_, said = (int(column[row]) for column in classes)
            share = 100 * shares[row, said]
            caption = f"predicted {_shortened(labels[said])}, {share:.0f} %\nis {_shortened(labels[is_])}"
            plain.set_title(caption, loc="left", fontsize=TEXT - 2, color=INK, pad=4)
            _show(plain, shown[row])
            _show(covered, shown[row], heat[row])
    return figure


def importance_bars(
    frame: pd.DataFrame, *, measure: str = "accuracy lost when shuffled", title: str = "What the model relies on"
) -> Figure:
    """Draw how important each group of inputs is, the most important on top.

    Args:
        frame: A row for each group: `group`, `mean` and `std`, as of `explain.permutation_importance` and
            `explain.mean_absolute`. The order is kept.
        measure: What the means are, with the unit. Default "accuracy lost when shuffled".
        title: Heading. Default "What the model relies on".

    Returns:
        The figure: bars of the means, with a line of one std to both sides.

    Raises:
        DataError: A column is missing, there are no rows, or a value is not finite.

    Example:
        >>> figure = importance_bars(pd.DataFrame({"group": ["image"], "mean": [0.2], "std": [0.01]}))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.200 ± 0.010', 'image']
    """
    for column in ("group", "mean", "std"):
        if column not in frame:
            raise DataError("the importances lack a column", column=column, received=list(frame.columns))
    mean, std = checked(mean=frame["mean"], std=frame["std"])
    figure, (axes,) = panels(1.3 + 0.55 * len(mean))
    colours = [BLUE if value > 0 else GREY for value in mean]
    axes.barh(range(len(mean)), mean, height=0.4, color=colours)
    axes.errorbar(mean, range(len(mean)), xerr=std, fmt="none", ecolor=INK, elinewidth=1.4, capsize=3)
    reach = float(np.max(np.abs(mean) + std)) or 1.0
    for row, name in enumerate(frame["group"]):
        end = max(float(mean[row] + std[row]), 0.0)
        _value_and_name(axes, row, end, f"{mean[row]:.3f} ± {std[row]:.3f}".replace("-", "−"), str(name))
    axes.axvline(0, color=INK, linewidth=1)
    _rows_from_the_top(axes, len(mean))
    axes.set_xlim(min(0.0, 1.1 * float((mean - std).min())), 1.45 * reach)
    axes.set_xlabel(measure)
    heading(axes, title)
    return figure


def shap_bars(values: ArrayLike, names: Sequence[str], labels: Sequence[str], *, unit: str = "logit") -> Figure:
    """Draw the mean size of each group's SHAP values, divided by class, the largest on top.

    Args:
        values: (rows, groups, classes), as `explain.shap_values` gives them.
        names: Name of each group.
        labels: Name of each class; more than eight are drawn as one bar of their sum.
        unit: Unit of the values. Default "logit".

    Returns:
        The figure.

    Raises:
        DataError: Shapes do not fit, there are no rows, or a value is not finite.

    Example:
        >>> figure = shap_bars([[[1.0, -1.0], [0.5, 0.0]]], ["tier", "tags"], ["low", "high"])
        >>> [text.get_text() for text in figure.axes[0].texts][:2]
        ['2.000', 'tier']
    """
    table = np.asarray(values, dtype=np.float64)
    expected = (len(names), len(labels))
    if table.ndim != 3 or table.shape[1:] != expected or not len(table) or 0 in expected:
        raise DataError(
            "SHAP values do not fit", expected=f"(rows, {expected[0]}, {expected[1]})", received=table.shape
        )
    if not np.isfinite(table).all():
        raise DataError("not finite", column="values")
    size = np.abs(table).mean(axis=0)
    total = size.sum(axis=1)
    order = np.argsort(-total, kind="stable")
    together = len(labels) > len(PALETTE)
    stacked = total[order, None] if together else size[order]
    figure, (axes,) = panels(1.3 + 0.55 * len(names))
    start = np.zeros(len(names))
    for place, part in enumerate(stacked.T):
        axes.barh(range(len(names)), part, left=start, height=0.4, color=PALETTE[place], edgecolor="white")
        start += part
    for row, group in enumerate(order):
        _value_and_name(axes, row, float(total[group]), f"{total[group]:.3f}", str(names[group]))
    _rows_from_the_top(axes, len(names))
    axes.set_xlim(0, 1.3 * float(total.max()) or 1.0)
    axes.set_xlabel(f"mean |SHAP value| ({unit}), summed over classes")
    heading(axes, "What moves the prediction")
    for place, label in enumerate(() if together else labels):
        up = len(labels) - 1 - place
        note(axes, f"■ {label}", (0.985, 0.02), color=PALETTE[place], ha="right", va="bottom", lines_down=-up)
    return figure


def _check_gallery(
    pictures: NDArray[Any],
    heat: NDArray[np.float64],
    classes: tuple[NDArray[Any], NDArray[Any]],
    shares: NDArray[np.float64],
    labels: Sequence[str],
) -> None:
    n_rows = len(pictures) if pictures.ndim else 0
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] not in (1, 3) or not n_rows:
        raise DataError(
            "not pictures",
            column="pictures",
            expected="uint8 (n, height, width, 3 or 1)",
            received=f"{pictures.dtype} {pictures.shape}",
        )
    if heat.ndim != 3 or len(heat) != n_rows or not ((heat >= 0) & (heat <= 1)).all():
        raise DataError("not a heat map for each picture", column="maps", expected=f"({n_rows}, h, w), 0 to 1")
    if shares.shape != (n_rows, len(labels)):
        expected = f"({n_rows}, {len(labels)})"
        raise DataError("wrong shape", column="probability", expected=expected, received=shares.shape)
    for name, column in zip(("true", "predicted"), classes, strict=True):
        if column.shape != (n_rows,) or column.dtype.kind not in "iu":
            raise DataError("not a class for each picture", column=name, expected=f"integers ({n_rows},)")
        if column.min() < 0 or column.max() >= len(labels):
            raise DataError("a class has no label", column=name, expected=f"0 to {len(labels) - 1}")


def _shortened(label: str) -> str:
    return label if len(label) <= _LETTERS else f"{label[: _LETTERS - 1].rstrip()}…"


def _cells(part: SubFigure, count: int) -> list[tuple[Axes, Axes]]:
    """A pair of axes for each example, without frames."""
    if not count:
        return []
    grid = part.subplots(-(-count // _ACROSS), 2 * _ACROSS, squeeze=False)
    pairs = [(line[at], line[at + 1]) for line in grid for at in range(0, 2 * _ACROSS, 2)]
    for axes in grid.flat:
        axes.set_axis_off()
    for pair in pairs[count:]:
        for axes in pair:
            axes.remove()
    return pairs[:count]


def _show(axes: Axes, picture: NDArray[Any], heat: NDArray[np.float64] | None = None) -> None:
    height, width = picture.shape[:2]
    shown = np.broadcast_to(picture, (height, width, 3))
    if heat is not None:
        # Grey below, so that no colour of the picture is taken for heat; bicubic, or a map of 4 x 4 shows its grid.
        grown = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        smooth = np.clip(np.asarray(grown), 0, 1)[..., None]
        colour = 255 * matplotlib.colormaps["inferno"](smooth[..., 0])[..., :3]
        grey = shown @ np.array([0.299, 0.587, 0.114])
        shown = ((1 - _OPAQUE * smooth) * grey[..., None] + _OPAQUE * smooth * colour).astype(np.uint8)
    axes.imshow(shown, interpolation="nearest")


def _value_and_name(axes: Axes, row: int, end: float, value: str, name: str) -> None:
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": TEXT - 1}
    axes.annotate(value, (end, row), (5, 0), va="center", color=SOFT, **look)
    # The name stands above its bar, not left of it: on a phone the bars then have the whole width.
    axes.annotate(name, (0, row - 0.22), (2, 2), color=INK, **look)


def _rows_from_the_top(axes: Axes, count: int) -> None:
    axes.set_yticks([])
    axes.set_ylim(count - 0.6, -0.8)
