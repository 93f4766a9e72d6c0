"""The columns of a table: how they are spread, go together and go with a value; maps of points and of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.errors import DataError
from kmodels.report.style import (
    BLUE,
    DASHED,
    DENSITY,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    TEXT,
    Floats,
    checked,
    few_ticks,
    heading,
    note,
    panels,
    short,
    tick,
)

_MOST = 24  # values of a column that are drawn; the rarer ones are joined in one
_MISSING, _OTHERS = "none", "others"
_MOST_POINTS = 20_000
_MOST_GROUPS = len(PALETTE) - 1  # the last colour is left for "other"


def histogram(values: ArrayLike | pd.DataFrame, label: str = "value", *, edges: Sequence[float] = ()) -> Figure:
    """Draw how values are spread.

    Args:
        values: (rows,) finite values; or a table, with a panel for each column.
        label: What they are, for the axis.
        edges: Where groups of values part; dashed lines, of a single panel.

    Returns:
        The figure; of a single panel the last bar holds what lies above the 99.9 % quantile too.
    """
    if isinstance(values, pd.DataFrame):
        figure, stack = panels(0.4 + 1.6 * len(values.columns), [1.0] * len(values.columns))
        for axes, name in zip(stack, values, strict=True):
            axes.hist(values[name].dropna(), bins=30, color=BLUE)
            heading(axes, str(name))
            few_ticks(axes.xaxis)
        stack[-1].set_xlabel(f"{label}; rows on the other axis")
        return figure
    (values,) = checked(values=values)
    high = float(np.quantile(values, 0.999))
    figure, (axes,) = panels(3.6)
    axes.hist(np.minimum(values, high), bins=60, color=BLUE)
    for edge in edges:
        axes.axvline(edge, color=ORANGE, linewidth=1.4, linestyle=DASHED)
    mean, median = float(values.mean()), float(np.median(values))
    note(axes, f"mean {short(mean)}\nmedian {short(median)}", (0.98, 0.97), ha="right")
    if len(edges):
        note(axes, "dashed: where groups part", (0.98, 0.97), color=ORANGE, ha="right", lines_down=2)
    axes.set(xlabel=label, ylabel="rows")
    low, top = axes.get_ylim()
    axes.set_ylim(low, 1.15 * top)
    few_ticks(axes.xaxis)
    axes.yaxis.set_major_formatter(tick)
    heading(axes, f"{len(values):,} rows")
    return figure


def category_shares(table: pd.DataFrame) -> Figure:
    """Draw the share of the rows of each category, a panel for each column.

    Args:
        table: Columns of labels, best categoricals, whose order is kept; missing values are drawn as "none". Of a
            column with more than 24 values the rarest are joined as "others".

    Example:
        >>> figure = category_shares(pd.DataFrame({"city": ["A", "B", "B", None]}))
        >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
        ['A', 'B', 'none']
    """
    figure, stack = _panel_for_each(table)
    for axes, name in zip(stack, table, strict=True):
        labels = _labels(table[name])
        share = 100 * labels.value_counts(sort=False) / len(labels)
        axes.bar(range(len(share)), share, width=0.7, color=BLUE)
        _name_ticks(axes, share.index, str(name))
        axes.set_ylabel("rows (%)")
    return figure


def mean_by_category(table: pd.DataFrame, values: ArrayLike, label: str = "mean") -> Figure:
    """Draw the mean of each category with its 95 % interval, a panel for each column.

    Args:
        table: Columns of labels, as `category_shares` takes them.
        values: (rows,) finite values.
        label: What is averaged, for the axes. Default "mean".

    Returns:
        The figure; all panels have one scale, on which the dashed line is the mean of all rows.
    """
    (numbers,) = checked(values=values)
    if len(numbers) != len(table):
        raise DataError("table and values differ in length", expected=str(len(table)), received=len(numbers))
    figure, stack = _panel_for_each(table)
    for axes, name in zip(stack, table, strict=True):
        grouped = pd.Series(numbers).groupby(_labels(table[name]).array, observed=False)
        mean, count = grouped.mean(), grouped.size()
        reach: pd.Series = 1.96 * grouped.std().fillna(0.0) / np.sqrt(np.maximum(count, 1))
        positions = np.arange(len(mean))
        axes.axhline(numbers.mean(), color=ORANGE, linewidth=1.4, linestyle=DASHED)
        axes.vlines(positions, mean - reach, mean + reach, color=BLUE, alpha=0.45, linewidth=3)
        axes.plot(positions, mean.to_numpy(), "o", color=BLUE, markersize=6)
        _name_ticks(axes, mean.index, str(name))
        axes.set_ylabel(label)
        axes.yaxis.set_major_formatter(tick)
    lows, highs = zip(*(axes.get_ylim() for axes in stack), strict=True)
    for axes in stack:
        axes.set_ylim(min(lows), max(highs))
    return figure


def mean_by_column(table: pd.DataFrame, values: ArrayLike, label: str = "mean") -> Figure:
    """Draw the mean by every column: numbers in fifths of the rows, dates by decade, other columns by their labels.

    Args:
        table: The columns; those with less than two values are left out.
        values: As `mean_by_category` takes it.
        label: As `mean_by_category` takes it. Default "mean".

    Raises:
        DataError: As `mean_by_category`.

    Example:
        >>> built = pd.to_datetime(["1995-01-01", "2003-05-31", None, None, None])
        >>> table = pd.DataFrame({"rooms": [2, 3, 4, 5, 6], "built": built})
        >>> [axes.get_title(loc="left") for axes in mean_by_column(table, [1.0, 2.0, 3.0, 4.0, 5.0]).axes]
        ['rooms', 'built']
    """
    columns: dict[str, object] = {}
    for name in table:
        column = table[name]
        if column.nunique() < 2:
            continue
        if pd.api.types.is_datetime64_any_dtype(column):
            column = (column.dt.year // 10 * 10).map("{:.0f}s".format, na_action="ignore")
        elif pd.api.types.is_numeric_dtype(column):
            column = bands(column)
        columns[str(name)] = column
    return mean_by_category(pd.DataFrame(columns), values, label)


def bands(values: pd.Series, count: int = 5) -> pd.Series:
    """Cut numbers into bands of nearly as many rows each, for `category_shares` and `mean_by_category`.

    Args:
        values: Numbers; missing ones stay missing.
        count: How many bands at most. Default 5.

    Returns:
        A categorical, named by the bands' ends in as few digits as tell them apart.

    Example:
        >>> bands(pd.Series([1e6, 2e6, 4e6, 8e6, 16e6])).astype(str).tolist()
        ['1M–1.8M', '1.8M–3.2M', '3.2M–5.6M', '5.6M–9.6M', '9.6M–16M']
    """
    cut = pd.qcut(values, count, duplicates="drop")
    for digits in (2, 3, 4, 5, 6):
        names = [
            "–".join(tick(float(f"{end:.{digits}g}")) for end in (band.left, band.right)) for band in cut.cat.categories
        ]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"band {index}" for index in range(1, len(names) + 1)]
    return cut.cat.rename_categories(dict(zip(cut.cat.categories, names, strict=True)))


def correlations(table: pd.DataFrame) -> Figure:
    """Draw the rank correlation (Spearman) of every two number columns; empty where a column is constant.

    Args:
        table: A table; its number columns are taken.
    """
    matrix = table.select_dtypes("number").corr("spearman")
    figure, (axes,) = panels(5.0)
    axes.grid(False)
    axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else INK
            text = f"{value + 0.0:.1f}".replace("-0.0", "0.0").replace("-", "−")
            axes.annotate(text, (column, row), ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(matrix)), matrix.columns.astype(str), rotation=60, ha="right")
    axes.set_yticks(range(len(matrix)), matrix.columns.astype(str))
    heading(axes, "Rank correlations")
    return figure


def scatter_map(
    table: pd.DataFrame,
    groups: ArrayLike | None = None,
    *,
    log: bool = False,
    diagonal: bool = False,
    degrees: bool = False,
    title: str = "",
) -> Figure:
    """Draw the rows of a table as points, coloured by group.

    Args:
        table: Two columns of numbers: x and y, named as the axes shall be.
        groups: (rows,) label of each row's group. Default None: one group.
        log: Whether both axes are logarithmic.
        diagonal: Whether to draw a dashed line where x equals y.
        degrees: Whether x is a longitude and y a latitude: one degree of longitude is then drawn as long as it is at
            the mean latitude.
        title: Heading. Default none.
    """
    if table.shape[1] != 2 or (groups is not None and len(np.asarray(groups)) != len(table)):
        raise DataError("not points", expected="two columns, and a group for each row", received=table.shape)
    x, y = (table.iloc[:, column].to_numpy(float) for column in (0, 1))
    figure, (axes,) = panels(4.6)
    if diagonal:
        axes.plot([x.min(), x.max()], [x.min(), x.max()], color=INK, linewidth=1.4, linestyle=DASHED, zorder=3)
        note(axes, f"dashed: {table.columns[1]} = {table.columns[0]}", (0.98, 0.03), ha="right", va="bottom")
    look = _point_look(len(table)) | {"alpha": 0.45 if len(table) > 500 else 0.8}
    if groups is None:
        axes.scatter(x, y, color=BLUE, **look)
    else:
        _scatter_groups(figure, axes, np.column_stack([x, y]), pd.Series(np.asarray(groups)), look)
    if log:
        axes.set(xscale="log", yscale="log")
    if degrees:
        axes.set_aspect(1 / max(0.05, float(np.cos(np.radians(y.mean())))), adjustable="datalim")
    axes.set_xlabel(str(table.columns[0]))
    axes.set_ylabel(str(table.columns[1]))
    if title:
        heading(axes, title)
    return figure


def vectors_map(vectors: ArrayLike, labels: ArrayLike, column: str) -> Figure:
    """Draw vectors in the plane of their first two principal components, coloured by a column.

    Each vector is divided by its length first, as similarity is a cosine. Of more than 20,000, evenly many are drawn.

    Args:
        vectors: (rows, dim), finite, two rows and two columns at least; without the row of unknown ids.
        labels: (rows,) numbers, or categories, of which the seven most frequent have a colour of their own.
        column: What the labels are, for the heading.

    Returns:
        The figure; its axes say how much of the variance each direction holds.

    Example:
        >>> figure = vectors_map([[1, 0], [0.9, 0.1], [0, 1]], ["F", "F", "M"], "gender")
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
    look = _point_look(len(points))
    if pd.api.types.is_numeric_dtype(known) and known.nunique() > _MOST_GROUPS:
        dots = axes.scatter(points[:, 0], points[:, 1], c=known.to_numpy(float), cmap=DENSITY, **look)
        figure.colorbar(dots, ax=axes, location="bottom", label=column, shrink=0.8)
    else:
        _scatter_groups(figure, axes, points, known, look)
    if len(points) < len(table):
        note(axes, f"{len(points):,} of {len(table):,}", (0.98, 0.98), ha="right")
    few_ticks(axes.xaxis)
    few_ticks(axes.yaxis)
    axes.set_xlabel(f"first direction ({100 * share[0]:.0f} % of the variance)")
    axes.set_ylabel(f"second direction ({100 * share[1]:.0f} %)")
    heading(axes, f"Embedding vectors by {column}")
    return figure


def _point_look(count: int) -> dict[str, Any]:
    return {"s": float(np.clip(9000 / count, 4, 36)), "linewidths": 0, "alpha": 0.75}


def _scatter_groups(figure: Figure, axes: Axes, points: Floats, groups: pd.Series, look: dict[str, Any]) -> None:
    """Draw each group in its colour, the rarer ones as "other", and name them below."""
    counts = groups.value_counts(dropna=False)
    frequent = sorted(counts.index[:_MOST_GROUPS], key=str)
    names = groups.where(groups.isin(frequent), "other")
    colours = dict(zip(frequent, PALETTE, strict=False))
    if len(counts) > _MOST_GROUPS:
        colours["other"] = GREY
    for name, colour in colours.items():
        rows = (names == name).to_numpy()
        axes.scatter(points[rows, 0], points[rows, 1], color=colour, label=str(name), **look)
    columns = 4 if max(map(len, axes.get_legend_handles_labels()[1]), default=0) < 8 else 3  # what the width holds
    legend = figure.legend(loc="outside lower left", ncols=columns, fontsize=TEXT - 1, frameon=False, handletextpad=0.2)
    for handle in legend.legend_handles:
        handle.set(sizes=[40.0], alpha=1.0)  # type: ignore[union-attr]


def _plane(table: Floats) -> tuple[Floats, Floats]:
    """Coordinates in the first two principal components of the directions, (rows, 2), and their share of variance."""
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, norms, out=np.zeros_like(table), where=norms > 0)
    units -= units.mean(axis=0)
    variance, directions = np.linalg.eigh(units.T @ units)
    main = directions[:, :-3:-1]
    # The sign of a component is arbitrary; this one is the same everywhere.
    main = main * np.where(main[np.abs(main).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return units @ main, variance[:-3:-1] / max(variance.sum(), np.finfo(float).tiny)


def _panel_for_each(table: pd.DataFrame) -> tuple[Figure, list[Axes]]:
    if not len(table.columns) or not len(table):
        raise DataError("there is nothing to draw", expected="a column and a row", received=table.shape)
    return panels(0.3 + 1.75 * len(table.columns), [1.0] * len(table.columns))


def _labels(column: pd.Series) -> pd.Series:
    """The column as a categorical of few texts, a missing value among them."""
    values = pd.Categorical(column)
    texts = [str(value) for value in values.categories]
    count = np.bincount(values.codes[values.codes >= 0], minlength=len(texts))
    kept = np.sort(np.argsort(-count, kind="stable")[:_MOST])
    index = np.full(len(texts) + 1, len(kept))  # of the others
    index[kept] = np.arange(len(kept))
    index[-1] = len(kept) + 1  # which code -1, a missing value, reads
    categories = [*(texts[code] for code in kept), _OTHERS, _MISSING]
    codes = index[values.codes]
    used = [*range(len(kept)), *(code for code in (len(kept), len(kept) + 1) if (codes == code).any())]
    return pd.Series(pd.Categorical([categories[code] for code in codes], [categories[code] for code in used]))


def _name_ticks(axes: Axes, names: pd.Index, title: str) -> None:
    texts = [str(name) for name in names]
    turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if sum(map(len, texts)) + len(texts) > 46 else {}
    axes.set_xticks(range(len(texts)), texts, fontsize=TEXT - 2 if len(texts) < 16 else TEXT - 4, **turned)
    axes.grid(axis="x", visible=False)
    axes.tick_params(axis="x", color=GREY)
    heading(axes, title.replace("_", " "))
