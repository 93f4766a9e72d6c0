"""The two curves of a classifier over all thresholds: ROC, and precision against recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from kmodels.errors import DataError
from kmodels.report.canvas import GREY, ORANGE, PALETTE, STYLES, TEXT, Floats, heading, note, panels

_POINTS = 2000  # a curve of more points looks the same and takes longer to draw
_NAMED = 16  # more classes than this share one colour and one name


def roc_curves(true: ArrayLike, probability: ArrayLike, labels: Sequence[str]) -> Figure:
    """Draw the share of a class that is found against the share of the others wrongly taken for it.

    Args:
        true: (rows,) true classes, integers from 0.
        probability: (rows, classes), of two classes or more; any scores that order the rows will do.
        labels: Name of each class, in order.

    Returns:
        The figure: of two classes the curve of class 1, of more each class against the rest, the area under each in
        the legend, best first. A class without rows, or with all, has no curve.

    Raises:
        DataError: The arrays do not fit together, or no class has a curve.

    Example:
        >>> figure = roc_curves([0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]], ["loss", "profit"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['profit  0.750']
    """
    figure, (axes,) = panels(4.6)
    lines = {}
    for name, positive, score in _each_class(true, probability, labels):
        wrong, found, _ = metrics.roc_curve(positive, score)
        lines[name] = (wrong, found, float(metrics.auc(wrong, found)))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.4, linestyle=(0, (5, 3)))
    _curves(figure, axes, lines, labels)
    axes.set_xlabel("share of the others taken for it")
    axes.set_ylabel("share of the class found")
    heading(axes, "ROC (area under the curve below)")
    note(axes, "dashed: guessing", (0.98, 0.03), ha="right", va="bottom")
    return figure


def precision_recall(true: ArrayLike, probability: ArrayLike, labels: Sequence[str]) -> Figure:
    """Draw the share right among those named a class against the share of the class that is found.

    Args:
        true: (rows,) true classes, integers from 0.
        probability: (rows, classes), of two classes or more.
        labels: Name of each class, in order.

    Returns:
        The figure: of two classes the curve of class 1 and a dashed line at its share of the rows, which guessing
        reaches; of more each class against the rest. The legend holds the average precision, best first.

    Raises:
        DataError: The arrays do not fit together, or no class has a curve.

    Example:
        >>> figure = precision_recall([0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], ["loss", "profit"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['profit  1.000']
    """
    figure, (axes,) = panels(4.6)
    lines = {}
    for name, positive, score in _each_class(true, probability, labels):
        right, found, _ = metrics.precision_recall_curve(positive, score, drop_intermediate=True)
        lines[name] = (found, right, float(metrics.average_precision_score(positive, score)))
    _curves(figure, axes, lines, labels)
    if len(labels) == 2:
        base = float(np.mean(np.asarray(true) == 1))
        axes.axhline(base, color=ORANGE, linewidth=1.4, linestyle=(0, (5, 3)))
        note(axes, f"dashed: guessing, {base:.3f}", (0.02, 0.03), color=ORANGE, va="bottom")
    axes.set_xlabel("recall: share of the class found")
    axes.set_ylabel("precision: share right")
    heading(axes, "Precision and recall (average below)")
    return figure


def _each_class(
    true: ArrayLike, probability: ArrayLike, labels: Sequence[str]
) -> list[tuple[str, NDArray[np.bool_], Floats]]:
    """Split a problem of classes into yes-or-no problems with both answers: class 1 of two, else each of them."""
    truth, share = np.asarray(true), np.asarray(probability, dtype=np.float64)
    if share.ndim != 2 or share.shape != (len(truth), len(labels)) or len(labels) < 2:
        expected = f"({len(truth)}, {len(labels)}), two classes or more"
        raise DataError("wrong shape", column="probability", expected=expected, received=share.shape)
    if not np.isfinite(share).all():
        row = int(np.flatnonzero(~np.isfinite(share).all(axis=1))[0])
        raise DataError("not finite", column="probability", row=row + 1, received=share[row].tolist())
    chosen = [1] if len(labels) == 2 else range(len(labels))
    split = [(labels[at], truth == at, share[:, at]) for at in chosen]
    split = [each for each in split if 0 < each[1].sum() < len(truth)]
    if not split:
        raise DataError("a curve needs rows of the class and of another", column="true", received=np.unique(truth))
    return split


def _curves(figure: Figure, axes: Axes, lines: dict[str, tuple[Floats, Floats, float]], labels: Sequence[str]) -> None:
    """Draw a line for each class and list the areas below, best first."""
    many = len(lines) > _NAMED
    handles = {}
    for name, (x, y, _) in lines.items():
        at = list(labels).index(name)
        look = (GREY, "solid") if many else (PALETTE[at % len(PALETTE)], STYLES[at // len(PALETTE)])
        kept = np.unique(np.linspace(0, len(x) - 1, min(_POINTS, len(x))).astype(int))
        (handles[name],) = axes.plot(x[kept], y[kept], color=look[0], linestyle=look[1], linewidth=1.9)
    axes.set_xlim(-0.015, 1.015)
    axes.set_ylim(-0.015, 1.05)
    order = sorted(lines, key=lambda name: -lines[name][2])
    if many:
        areas = [lines[name][2] for name in order]
        text = f"{len(order)} classes, best {areas[0]:.3f} ({order[0]}), worst {areas[-1]:.3f} ({order[-1]})"
        figure.legend([handles[order[0]]], [text], loc="outside lower left", fontsize=TEXT - 1, frameon=False)
        return
    texts = [f"{name}  {lines[name][2]:.3f}" for name in order]
    columns = 2 if max(map(len, texts)) <= 24 and len(texts) > 1 else 1
    picked = [handles[name] for name in order]
    figure.legend(picked, texts, loc="outside lower left", ncols=columns, fontsize=TEXT - 1, frameon=False)
