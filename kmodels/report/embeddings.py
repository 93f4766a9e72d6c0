"""A map of embedding vectors: who stands near whom, coloured by what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.errors import DataError
from kmodels.report.canvas import DENSITY, GREY, PALETTE, TEXT, Floats, few_ticks, heading, note, panels

_MOST_POINTS = 20_000
_MOST_LABELS = len(PALETTE) - 1  # the last look is left for "other"


def embedding_map(vectors: ArrayLike, labels: ArrayLike, column: str) -> Figure:
    """Draw vectors in the plane of their two main directions, coloured by a column.

    The vectors' directions are drawn, as their similarity is a cosine: each is divided by its length, and the plane is
    that of the first two principal components. Of more than 20,000 vectors, evenly many are drawn.

    Args:
        vectors: (rows, dim), finite, two rows and two columns at least; without the row of unknown ids.
        labels: (rows,) numbers, or categories, of which the seven most frequent have a colour of their own.
        column: What the labels are, for the heading.

    Returns:
        The figure; its axes say how much of the variance each direction holds.

    Raises:
        DataError: The shapes are others, or a vector is not finite.

    Example:
        >>> figure = embedding_map([[1, 0], [0.9, 0.1], [0, 1]], ["F", "F", "M"], "gender")
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['F', 'M']
    """
    table, known = np.asarray(vectors, np.float64), pd.Series(np.asarray(labels))
    if table.ndim != 2 or min(table.shape) < 2 or known.shape != (len(table),):
        expected = "(rows, dim) of 2 by 2 at least, and (rows,)"
        raise DataError("wrong shape", column=column, expected=expected, received=(table.shape, known.shape))
    if not np.isfinite(table).all():
        raise DataError("not finite", row=int(np.argmin(np.isfinite(table).all(axis=1))) + 1)
    points, share = _plane(table)
    drawn = np.linspace(0, len(table) - 1, min(len(table), _MOST_POINTS)).round().astype(int)
    points, known = points[drawn], known.iloc[drawn].reset_index(drop=True)

    figure, (axes,) = panels(5.2)
    look: dict[str, Any] = {"s": float(np.clip(9000 / len(points), 4, 36)), "linewidths": 0, "alpha": 0.75}
    if pd.api.types.is_numeric_dtype(known) and known.nunique() > _MOST_LABELS:
        shown = axes.scatter(points[:, 0], points[:, 1], c=known.to_numpy(float), cmap=DENSITY, **look)
        figure.colorbar(shown, ax=axes, location="bottom", label=column, shrink=0.8)
    else:
        counts = known.value_counts(dropna=False)
        frequent = sorted(counts.index[:_MOST_LABELS], key=str)
        names = known.where(known.isin(frequent), "other")
        colours = dict(zip(frequent, PALETTE, strict=False))
        if len(counts) > _MOST_LABELS:
            colours["other"] = GREY
        for name, colour in colours.items():
            of_name = (names == name).to_numpy()
            axes.scatter(points[of_name, 0], points[of_name, 1], color=colour, label=str(name), **look)
        legend = figure.legend(loc="outside lower left", ncols=4, fontsize=TEXT - 1, frameon=False, handletextpad=0.2)
        for handle in legend.legend_handles:
            handle.set_sizes([40.0])  # type: ignore[union-attr]
    if len(points) < len(table):
        note(axes, f"{len(points):,} of {len(table):,}", (0.98, 0.98), ha="right")
    few_ticks(axes.xaxis)
    few_ticks(axes.yaxis)
    axes.set_xlabel(f"first direction ({100 * share[0]:.0f} % of the variance)")
    axes.set_ylabel(f"second direction ({100 * share[1]:.0f} %)")
    heading(axes, f"Embedding vectors by {column}")
    return figure


def _plane(table: Floats) -> tuple[Floats, Floats]:
    """Coordinates in the first two principal components of the directions, (rows, 2), and their share of variance."""
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, norms, out=np.zeros_like(table), where=norms > 0)
    units -= units.mean(axis=0)
    variance, directions = np.linalg.eigh(units.T @ units)
    main = directions[:, :-3:-1]
    # The sign of a component is anyone's choice; this one is the same everywhere.
    main = main * np.where(main[np.abs(main).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return units @ main, variance[:-3:-1] / max(variance.sum(), np.finfo(float).tiny)
