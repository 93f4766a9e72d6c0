"""The pictures of a table of films before any model: budgets and revenues, and which films make a profit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.report import canvas, exploration
from kmodels.report.fragments import Picture, Section, gallery, paragraphs

_BANDS = {"budget": "budget", "runtime": "runtime (minutes)", "rating": "rating", "votes": "votes"}
_FIFTHS = 5


def budgets(table: pd.DataFrame) -> Figure:
    """Draw each film's revenue against its budget, on logarithmic axes.

    Args:
        table: Columns budget and revenue, above 0.

    Returns:
        The figure; on the dashed line a film earns what it cost.

    Example:
        >>> budgets(pd.DataFrame({"budget": [1e6, 1e7], "revenue": [5e5, 3e7]})).axes[0].get_title(loc="left")
        '2 films, 50.0 % above the line'
    """
    figure, (axes,) = canvas.panels(4.4)
    profit = table["revenue"] > table["budget"]
    for kind, colour in ((profit, canvas.BLUE), (~profit, canvas.ORANGE)):
        axes.plot(table["budget"][kind], table["revenue"][kind], ".", color=colour, alpha=0.35, markersize=5)
    ends = [table["budget"].min(), table["budget"].max()]
    axes.plot(ends, ends, color=canvas.INK, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.set(xscale="log", yscale="log", xlabel="budget", ylabel="revenue")
    canvas.note(axes, "dashed: revenue = budget", (0.98, 0.03), ha="right", va="bottom")
    canvas.heading(axes, f"{len(table):,} films, {100 * profit.mean():.1f} % above the line")
    return figure


def columns(table: pd.DataFrame) -> pd.DataFrame:
    """Make labels of the columns that may go with profit: numbers in fifths, dates in decades.

    Args:
        table: A table of `datasets.movies`.

    Returns:
        A categorical column for each of budget, runtime, rating, votes and decade that the table has with at least two
        values.

    Example:
        >>> films = pd.DataFrame({"budget": [1e6, 2e6, 4e6, 8e6, 16e6]})
        >>> columns(films)["budget"].astype(str).tolist()
        ['1M–1.8M', '1.8M–3.2M', '3.2M–5.6M', '5.6M–9.6M', '9.6M–16M']
    """
    labels: dict[str, object] = {}
    for name, shown in _BANDS.items():
        if name in table and table[name].nunique() > 1:
            labels[shown] = _fifths(table[name])
    if "release_date" in table and table["release_date"].notna().any():
        decade = table["release_date"].dt.year // 10 * 10
        labels["decade"] = pd.Categorical(decade.map(lambda year: f"{year:.0f}s", na_action="ignore"))
    return pd.DataFrame(labels, index=table.index)


def profit_shares(labels: pd.DataFrame, profit: ArrayLike) -> Figure:
    """Draw the share of profitable films of each value, with its 95 % interval.

    Args:
        labels: (films, columns) labels, as `exploration.mean_by` takes them.
        profit: (films,) 1 for a profit, 0 for none.

    Returns:
        The figure; dashed: all films.
    """
    figure = exploration.mean_by(labels, 100 * np.asarray(profit, dtype=np.float64))
    for axes in figure.axes:
        axes.set_ylabel("profit (%)")
    return figure


def section(folder: str | Path, table: pd.DataFrame, profit: ArrayLike) -> Section:
    """Draw a table of films into the run folder's `plots/`: budgets, and with columns spread, shares and genres.

    Args:
        folder: The run folder.
        table: Films, as `datasets.movies` makes them.
        profit: (films,) 1 for a profit, 0 for none.

    Returns:
        The section.
    """
    labels, made = columns(table), np.asarray(profit)
    drawn = {"budgets": (budgets(table), "Budget and revenue", "A dot for each film; blue: profit, orange: none.")}
    if len(labels.columns):
        drawn["profit_by_column"] = (
            profit_shares(labels, made),
            "Who makes a profit",
            "Numbers in fifths of the films; 'none' is a missing value. Bars: 95 % intervals; dashed: all films. "
            "Rating and votes, where shown, came after the release.",
        )
    genres = table["genres"].reset_index(drop=True).explode() if "genres" in table else pd.Series(dtype=object)
    if genres.nunique() > 1:
        drawn["profit_by_genre"] = (
            profit_shares(pd.DataFrame({"genre": genres}).reset_index(drop=True), made[genres.index]),
            "Profit by genre",
            "A film counts once for each of its genres; 'none' has no genre in the table.",
        )
    words = f"The {len(table):,} training films of the first fold."
    return Section("The films", paragraphs(words) + gallery(saved(folder, drawn)))


def saved(folder: str | Path, figures: Mapping[str, tuple[Figure, str, str]]) -> list[Picture]:
    """Write figures into the run folder's `plots/`.

    Args:
        folder: The run folder.
        figures: Name of the file, without its ending -> the figure, its title and its caption.

    Returns:
        The pictures, in the same order.
    """
    return [
        Picture(canvas.save(figure, Path(folder) / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in figures.items()
    ]


def _fifths(values: pd.Series) -> pd.Series:
    """Bands of nearly as many films each, named by their ends in as few digits as tell them apart."""
    bands = pd.qcut(values, _FIFTHS, duplicates="drop")
    for digits in (2, 3, 4, 5, 6):
        names = [f"{_round(band.left, digits)}–{_round(band.right, digits)}" for band in bands.cat.categories]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"band {number}" for number in range(1, len(names) + 1)]
    return bands.cat.rename_categories(dict(zip(bands.cat.categories, names, strict=True)))


def _round(edge: float, digits: int) -> str:
    return canvas.tick(float(f"{edge:.{digits}g}"))
