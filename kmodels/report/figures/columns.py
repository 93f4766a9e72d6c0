"""The columns of a table: how they are spread, go together and go with a value; maps of points and of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from kmodels.errors import DataError
from kmodels.report import style
from kmodels.report.figures.amounts import reach_of
from kmodels.report.style import Look, checked, few_ticks, heading, legend_below, note, panels, short, signed, tick

_MOST = 24  # values of a column that are drawn, the rarer ones joined in one; and letters of each
_MOST_POINTS = 20_000
_MOST_GROUPS = len(style.PALETTE) - 1  # the last colour is left for "other"


def histogram(
    values: ArrayLike | pd.DataFrame, label: str = "value", *, edges: Sequence[float] = (), errors: bool = False
) -> Figure:
    """Draw how values are spread.

    Args:
        values: (rows,) finite values; or a table, with a panel for each column.
        label: What they are, for the axis. Default "value".
        edges: Where groups of values part; dashed lines, of a single panel.
        errors: Whether they are errors: bars on both sides of zero then, the root of the mean square shaded.

    Returns:
        The figure; of a single panel the outer bars hold what few values lie far beyond, too.

    Example:
        >>> histogram([0.5, -0.5, 1.0], "error", errors=True).axes[0].texts[1].get_text()
        'mean +0.333'
    """
    if isinstance(values, pd.DataFrame):
        figure, stack = panels(0.4 + 1.6 * len(values.columns), [1.0] * len(values.columns))
        for axes, name in zip(stack, values, strict=True):
            axes.hist(values[name].dropna(), bins=30, color=style.BLUE)
            heading(axes, str(name))
            few_ticks(axes.xaxis)
        stack[-1].set_xlabel(f"{label}; rows on the other axis")
        return figure
    (values,) = checked(values)
    figure, (axes,) = panels(3.9)
    reach, beyond = reach_of(values)
    low, high = (-reach, reach) if errors else (float(values.min()), float(np.quantile(values, 0.999)))
    bins = int(np.clip(2 * np.cbrt(len(values)), 9, 61)) // 2 * 2 + 1  # odd, so that one bar stands on zero
    look: Look = {"weights": np.full(len(values), 100 / len(values)), "color": style.BLUE, "edgecolor": "white"}
    axes.hist(np.clip(values, low, high), bins=bins, range=(low, high), **look)
    mean, rmse = float(values.mean()), float(np.sqrt(np.mean(values**2)))
    if errors:
        axes.axvspan(-rmse, rmse, color=style.ORANGE, alpha=0.13, linewidth=0, zorder=0.5)
        axes.axvline(0, color=style.INK, linewidth=1)
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        within = 100 * float(np.mean(np.abs(values) <= rmse))
        note(axes, f"shaded: ± RMSE {short(rmse)}\n{within:.0f} % lie inside", "top left", color=style.ORANGE)
        note(axes, f"mean {signed(mean)}", "top right")
    else:
        note(axes, f"mean {short(mean)}\nmedian {short(float(np.median(values)))}", "top right")
    for edge in edges:
        axes.axvline(edge, **style.dashed(style.ORANGE))
    if len(edges):
        note(axes, "dashed: where groups part", "top right", color=style.ORANGE, lines=2)
    axes.set(xlabel=label + ("\nouter bars: and beyond" if errors and beyond else ""), ylabel="rows (%)")
    axes.margins(y=0.2)
    few_ticks(axes.xaxis)
    heading(axes, f"{'Errors of ' if errors else ''}{len(values):,} rows")
    return figure


def by_category(table: pd.DataFrame, values: ArrayLike | None = None, label: str = "rows (%)") -> Figure:
    """Draw the share of the rows of each category, or the mean of values in each, a panel for each column.

    Args:
        table: The columns. Of numbers with more than 24 values, fifths of the rows are drawn and infinite ones on their
            own, of dates decades, of others each value as it is, in the order of a categorical; the rarest beyond 24
            are joined as "others", and missing values are "none".
        values: (rows,) finite values whose means are drawn, with their 95 % intervals. Default None: shares.
        label: What is drawn, for the axes. Default "rows (%)".

    Returns:
        The figure; panels of means have one scale, on which the dashed line is the mean of all rows.

    Example:
        >>> figure = by_category(pd.DataFrame({"city": ["A", "B", "B", None]}))
        >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
        ['A', 'B', 'none']
    """
    if not len(table.columns) or not len(table):
        raise DataError("there is nothing to draw", expected="a column and a row", received=table.shape)
    numbers = np.ones(len(table)) if values is None else checked(values, np.zeros(len(table)))[0]
    ratios = [1.0] * len(table.columns)
    figure, stack = panels(0.3 + 1.75 * len(ratios), ratios, sharey=values is not None)
    for axes, name in zip(stack, table, strict=True):
        grouped = pd.Series(numbers).groupby(_labels(table[name]).array, observed=False)
        count, mean = grouped.size(), grouped.mean()
        names = [style.brief(str(name), _MOST) for name in count.index]
        if values is None:
            axes.bar(range(len(count)), 100 * count / len(table), width=0.7, color=style.BLUE)
        else:
            reach: pd.Series = 1.96 * grouped.std().fillna(0.0) / np.sqrt(np.maximum(count, 1))
            axes.axhline(numbers.mean(), **style.dashed(style.ORANGE))
            axes.vlines(range(len(mean)), mean - reach, mean + reach, color=style.BLUE, alpha=0.45, linewidth=3)
            axes.plot(range(len(mean)), mean.to_numpy(), "o", color=style.BLUE, markersize=6)
        look: Look = {"rotation": 45, "ha": "right"} if sum(map(len, names)) + len(names) > 46 else {}
        axes.set_xticks(range(len(names)), names, fontsize=10 if len(names) < 16 else 8, **look)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(label)
        axes.yaxis.set_major_formatter(tick)
        heading(axes, str(name).replace("_", " "))
    return figure


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
            colour = "white" if abs(value) > 0.6 else style.INK
            text = f"{round(value, 1) + 0.0:.1f}".replace("-", "−")
            axes.annotate(text, (column, row), ha="center", va="center", fontsize=9, color=colour)
    names = [style.brief(str(name), _MOST) for name in matrix.columns]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    heading(axes, "Rank correlations")
    return figure


def scatter(
    table: pd.DataFrame,
    groups: ArrayLike | None = None,
    *,
    label: str = "",
    log: bool = False,
    diagonal: bool = False,
    degrees: bool = False,
    title: str = "",
) -> Figure:
    """Draw the rows of a table as points, coloured by group; of more than 20,000, evenly many are drawn.

    Args:
        table: Two columns of numbers: x and y, named as the axes shall be.
        groups: (rows,) label of each row's group, of which the seven most frequent have a colour of their own; or
            numbers, drawn from pale to dark where there are many. Default None: one group.
        label: What the numbers of `groups` are.
        log: Whether both axes are logarithmic.
        diagonal: Whether to draw a dashed line where x equals y.
        degrees: Whether x is a longitude and y a latitude: one degree of longitude is then drawn as long as it is at
            the mean latitude.
        title: Heading. Default none.
    """
    if table.shape[1] != 2 or table.empty or (groups is not None and len(np.asarray(groups)) != len(table)):
        raise DataError("not points", expected="two columns, and a group for each row", received=table.shape)
    drawn = np.linspace(0, len(table) - 1, min(len(table), _MOST_POINTS)).round().astype(int)
    known = pd.Series("" if groups is None else np.asarray(groups)[drawn], index=drawn)
    x, y = table.to_numpy(float)[drawn].T
    figure, (axes,) = panels(4.9)
    if diagonal:
        axes.plot(ends := [x.min(), x.max()], ends, zorder=3, **style.dashed(style.INK))
        note(axes, f"dashed: {table.columns[1]} = {table.columns[0]}", "bottom right")
    look: Look = {"s": float(np.clip(9000 / len(x), 4, 36)), "linewidths": 0}
    look["alpha"] = 0.5 if len(x) > 500 else 0.8
    if pd.api.types.is_numeric_dtype(known) and known.nunique() > _MOST_GROUPS:
        dots = axes.scatter(x, y, c=known.to_numpy(float), cmap=style.DENSITY, **look)
        figure.colorbar(dots, ax=axes, location="bottom", label=label, shrink=0.8)
    else:
        counts = known.value_counts(dropna=False)
        colours = dict(zip(sorted(counts.index[:_MOST_GROUPS], key=str), style.PALETTE, strict=False))
        other = _unlike("other", list(map(str, colours)))
        names = known.where(known.isin(colours), other)  # the rarer ones
        colours |= {other: style.GREY} if len(counts) > len(colours) else {}
        for name, colour in colours.items():
            rows = (names == name).to_numpy()
            axes.scatter(x[rows], y[rows], color=colour, label=str(name), **look)
        if len(colours) > 1:
            handles = [Line2D([], [], marker="o", linestyle="none", color=colour) for colour in colours.values()]
            legend_below(figure, handles, list(map(str, colours)))
    if len(drawn) < len(table):
        note(axes, f"{len(drawn):,} of {len(table):,}", "top right")
    if log:
        axes.set(xscale="log", yscale="log")
    else:
        few_ticks(axes.xaxis)
        few_ticks(axes.yaxis)
    if degrees:
        axes.set_aspect(1 / max(0.05, float(np.cos(np.radians(y.mean())))), adjustable="datalim")
    axes.set(xlabel=str(table.columns[0]), ylabel=str(table.columns[1]))
    if title:
        heading(axes, title)
    return figure


def vectors_map(vectors: ArrayLike, labels: ArrayLike, column: str) -> Figure:
    """Draw vectors in the plane of their first two principal components, coloured by a column.

    Each vector is divided by its length first, as similarity is a cosine.

    Args:
        vectors: (rows, dim), finite, a row and a column at least; without the row of unknown ids.
        labels: (rows,) as the groups of `scatter`.
        column: What the labels are, for the heading.

    Returns:
        The figure; its axes say how much of the variance each direction holds.

    Example:
        >>> figure = vectors_map([[1, 0], [0.9, 0.1], [0, 1]], ["F", "F", "M"], "gender")
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['F', 'M']
    """
    directions = normalize(np.asarray(vectors, np.float64))
    n = min(2, *directions.shape)
    points, shares = np.zeros((len(directions), 2)), np.zeros(2)
    with np.errstate(invalid="ignore"):  # of equal vectors, whose variance is 0
        plane = PCA(n, svd_solver="full").fit(directions)
    points[:, :n], shares[:n] = plane.transform(directions), 100 * np.nan_to_num(plane.explained_variance_ratio_)
    first, second = shares
    axes = [f"first direction ({first:.0f} % of the variance)", f"second direction ({second:.0f} %)"]
    table = pd.DataFrame(points, columns=axes)
    return scatter(table, labels, label=column, title=f"Embedding vectors by {column}")


def _labels(column: pd.Series) -> pd.Series:
    """A column as a categorical of few texts, a missing value among them."""
    if pd.api.types.is_datetime64_any_dtype(column):
        column = (column.dt.year // 10 * 10).map("{:.0f}s".format, na_action="ignore")
    elif pd.api.types.is_numeric_dtype(column) and column.nunique() > _MOST:
        column = _fifths(column)
    values = column.astype("category").cat
    known = list(map(str, values.categories))
    others, none = (_unlike(name, known) for name in ("others", "none"))
    texts = pd.Series(pd.Categorical(values.codes.map(dict(enumerate(known))), list(dict.fromkeys(known))))
    rare = texts.value_counts().index[_MOST:]
    order = [name for name in texts.cat.categories if name not in rare]
    order += [others] * bool(len(rare)) + [none] * bool(texts.isna().any())
    named = texts.astype(object).where(~texts.isin(rare), others).where(texts.notna(), none)
    return pd.Series(pd.Categorical(named, order))


def _unlike(name: str, known: Sequence[str]) -> str:
    return _unlike(f"({name})", known) if name in known else name


def _fifths(values: pd.Series) -> pd.Series:
    """Numbers cut into bands of nearly as many rows each, named by their ends in as few digits as tell them apart."""
    values = values.astype(float)
    cut = pd.qcut(values.where(np.isfinite(values)), 5, duplicates="drop")
    for digits in range(2, 16):
        names = ["–".join(tick(float(f"{end:.{digits}g}")) for end in (b.left, b.right)) for b in cut.cat.categories]
        if len(set(names)) == len(names):
            break
    banded = cut.cat.rename_categories(names).cat.set_categories(["−∞", *names, "∞"])
    return banded.mask(values == -np.inf, "−∞").mask(values == np.inf, "∞").cat.remove_unused_categories()
