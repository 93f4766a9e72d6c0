"""The pictures of a table before any model: how its columns are spread, and how an amount differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.errors import DataError
from kmodels.report.canvas import BLUE, GREY, ORANGE, TEXT, checked, few_ticks, heading, note, panels, save, short, tick
from kmodels.report.fragments import Picture

_MOST = 24  # values of a column that are drawn; the rarer ones stand together as the last
_MISSING, _OTHERS = "none", "others"


def amount_histogram(amount: ArrayLike, label: str, *, edges: Sequence[float] = ()) -> Figure:
    """Draw how amounts are spread.

    Args:
        amount: (rows,) finite amounts.
        label: What they are, for the axis.
        edges: Where groups of amounts part; drawn as dashed lines. Default ().

    Returns:
        The figure; the outermost bar holds what lies above the 99.9 % quantile too.

    Raises:
        DataError: There is no amount, or one is not finite.

    Example:
        >>> figure = amount_histogram([1.0, 2.0, 9.0], "amount", edges=[5.0])
        >>> figure.axes[0].get_title(loc="left")
        '3 rows'
    """
    (values,) = checked(amount=amount)
    high = float(np.quantile(values, 0.999))
    figure, (axes,) = panels(3.6)
    axes.hist(np.minimum(values, high), bins=60, color=BLUE)
    for edge in edges:
        axes.axvline(edge, color=ORANGE, linewidth=1.4, linestyle=(0, (4, 3)))
    middle = float(np.median(values))
    note(axes, f"mean {short(float(values.mean()))}\nmedian {short(middle)}", (0.98, 0.97), ha="right")
    if len(edges):
        note(axes, "dashed: where groups part", (0.98, 0.97), color=ORANGE, ha="right", lines_down=2)
    axes.set(xlabel=label, ylabel="rows")
    low, top = axes.get_ylim()
    axes.set_ylim(low, 1.15 * top)
    few_ticks(axes.xaxis)
    axes.yaxis.set_major_formatter(tick)
    heading(axes, f"{len(values):,} rows")
    return figure


def shares(table: pd.DataFrame) -> Figure:
    """Draw the share of the rows of each value, a panel for each column.

    Args:
        table: Columns of labels, best categoricals, whose order is kept; missing values are drawn as "none". Of a
            column with more than 24 values the rarest stand together.

    Returns:
        The figure.

    Raises:
        DataError: There is no column or no row.

    Example:
        >>> figure = shares(pd.DataFrame({"city": ["A", "B", "B", None]}))
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


def mean_by(table: pd.DataFrame, amount: ArrayLike) -> Figure:
    """Draw the mean amount of each value with its 95 % interval, a panel for each column.

    Args:
        table: Columns of labels, as `shares` takes them.
        amount: (rows,) finite amounts.

    Returns:
        The figure; all panels have one scale, on which the dashed line is the mean of all rows.

    Raises:
        DataError: There is no column or no row, or amounts are not finite or of another length.

    Example:
        >>> figure = mean_by(pd.DataFrame({"city": ["A", "B", "B"]}), [1.0, 2.0, 4.0])
        >>> figure.axes[0].lines[-1].get_ydata().tolist()
        [1.0, 3.0]
    """
    (values,) = checked(amount=amount)
    if len(values) != len(table):
        raise DataError("table and amounts differ in length", expected=str(len(table)), received=len(values))
    figure, stack = _panel_for_each(table)
    for axes, name in zip(stack, table, strict=True):
        grouped = pd.Series(values).groupby(_labels(table[name]).array, observed=False)
        mean, count = grouped.mean(), grouped.size()
        reach: pd.Series = 1.96 * grouped.std().fillna(0.0) / np.sqrt(np.maximum(count, 1))
        places = np.arange(len(mean))
        axes.axhline(values.mean(), color=ORANGE, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.vlines(places, mean - reach, mean + reach, color=BLUE, alpha=0.45, linewidth=3)
        axes.plot(places, mean.to_numpy(), "o", color=BLUE, markersize=6)
        _name_ticks(axes, mean.index, str(name))
        axes.set_ylabel("mean")
        axes.yaxis.set_major_formatter(tick)
    lows, highs = zip(*(axes.get_ylim() for axes in stack), strict=True)
    for axes in stack:
        axes.set_ylim(min(lows), max(highs))
    return figure


def draw(
    folder: str | Path,
    table: pd.DataFrame,
    amount: ArrayLike,
    *,
    label: str = "amount",
    edges: Sequence[float] = (),
) -> list[Picture]:
    """Draw a table into the run folder's `plots/`: amounts, and with columns columns and amount_by_column.

    Args:
        folder: The run folder.
        table: Columns of labels, as `shares` takes them; none is allowed.
        amount: (rows,) finite amounts.
        label: What they are, as shown. Default "amount".
        edges: As `amount_histogram` takes them. Default ().

    Returns:
        The pictures, in the report's order.

    Raises:
        DataError: As the functions above.
    """
    figures = {"amounts": (amount_histogram(amount, label, edges=edges), "Amounts", "The last bar: and above.")}
    if len(table.columns):
        figures["columns"] = (shares(table), "What the columns hold", f"Values beyond the {_MOST}th: {_OTHERS}.")
        figures["amount_by_column"] = (
            mean_by(table, amount),
            f"Mean {label} by column",
            "On one scale. Bars: 95 % intervals; dashed: the mean of all rows. Columns hang together: what differs "
            "here need not be an effect of the column itself.",
        )
    return [
        Picture(save(figure, Path(folder) / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in figures.items()
    ]


def _panel_for_each(table: pd.DataFrame) -> tuple[Figure, list[Axes]]:
    if not len(table.columns) or not len(table):
        raise DataError("there is nothing to draw", expected="a column and a row", received=table.shape)
    return panels(0.3 + 1.75 * len(table.columns), [1.0] * len(table.columns))


def _labels(column: pd.Series) -> pd.Series:
    """The column as a categorical of few texts, a missing value among them."""
    values = pd.Categorical(column)
    names = [str(value) for value in values.categories]
    count = np.bincount(values.codes[values.codes >= 0], minlength=len(names))
    kept = np.sort(np.argsort(-count, kind="stable")[:_MOST])
    place = np.full(len(names) + 1, len(kept))  # of the others
    place[kept] = np.arange(len(kept))
    place[-1] = len(kept) + 1  # which code -1, a missing value, reads
    categories = [*(names[code] for code in kept), _OTHERS, _MISSING]
    codes = place[values.codes]
    used = [*range(len(kept)), *(code for code in (len(kept), len(kept) + 1) if (codes == code).any())]
    return pd.Series(pd.Categorical([categories[code] for code in codes], [categories[code] for code in used]))


def _name_ticks(axes: Axes, names: pd.Index, title: str) -> None:
    texts = [str(name) for name in names]
    turned = {"rotation": 45, "ha": "right"} if sum(map(len, texts)) + len(texts) > 46 else {}
    axes.set_xticks(range(len(texts)), texts, fontsize=TEXT - 2 if len(texts) < 16 else TEXT - 4, **turned)  # type: ignore[arg-type]
    axes.grid(axis="x", visible=False)
    axes.tick_params(axis="x", color=GREY)
    heading(axes, title.replace("_", " "))
