"""Models compared: values as bars or dots, a metric against its cost, differences fold by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.report import style
from kmodels.report.metrics import describe
from kmodels.report.record import VariantRecord
from kmodels.report.style import BLUE, GREY, INK, ORANGE, PALE, PALETTE, heading, label, note, panels, short, signed

_CLOSE = 0.6  # values all above this share of the largest are drawn as dots on an axis of their own range


def bars(
    values: Mapping[str, float | None] | pd.DataFrame,
    metric: str,
    *,
    marked: Sequence[str] = (),
    floors: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    unit: str = "",
) -> Figure:
    """Draw values by name in order, the best on top, with the limits that none can pass.

    Bars start at zero. Where all values lie so close that bars would look alike, dots on an axis of their own range
    stand for bars, and the axis says where it starts.

    Args:
        values: Value by name, of which None and NaN are left out; or the parts of which each value is the sum, a row
            each and a column for each part, drawn as stacked bars.
        metric: Name of a registered metric, or any other label.
        marked: The names drawn in colour; by default all above zero. Of a single one, the others bear their difference
            from it.
        floors: Limits by name, such as {"Bayes": 0.91}, drawn as dashed lines.
        spread: Standard deviation by name over repeats, drawn as a whisker, of those that have one.
        unit: Unit of the values, or "" (default).

    Example:
        >>> figure = bars({"net": 0.89, "biases": 0.94}, "rmse", marked=["net"], unit="USD")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.890', '0.940  (+0.050)', 'net', 'biases']
    """
    parts = values if isinstance(values, pd.DataFrame) else None
    given: Mapping[Any, Any] = values if not isinstance(values, pd.DataFrame) else values.sum(axis=1).to_dict()
    known = {str(name): float(value) for name, value in given.items() if value is not None and np.isfinite(value)}
    if not known or (len(marked) == 1 and marked[0] not in known):
        raise DataError("no value to draw", column=", ".join(marked) or None, received=dict(given))
    described = describe(metric, unit)
    limits, spread = dict(floors or {}), spread or {}
    known = dict(sorted(known.items(), key=lambda item: item[1], reverse=described.better != "lower"))
    texts = {name: _value_text(name, known, spread, marked) for name in known}
    everything = [*known.values(), *limits.values()]
    close = parts is None and min(everything) > _CLOSE * max(everything)
    nearer = {} if close else {name: value for name, value in known.items() if name in marked}
    heights = [1.4 + 0.6 * len(known) + 0.28 * len(limits)] + ([1.4 + 0.52 * len(nearer)] if len(nearer) > 1 else [])
    figure, stack = panels(sum(heights), heights)
    grey = GREY if close else PALE
    colours = {name: BLUE if name in marked or (not marked and value > 0) else grey for name, value in known.items()}
    near = list(limits.values())
    options: style.Look = {"spread": spread, "bold": marked, "near": near if close else None}
    _draw_rows(stack[0], known, texts, colours, parts=parts, **options)
    stack[0].set_ylim(len(known) - 0.45 + 0.5 * len(limits), -0.85)
    for line, (name, value) in enumerate(limits.items()):
        note(stack[0], f"dashed: {name} {short(value)}", "bottom right", color=ORANGE, lines=line)
    names = [] if parts is None else list(parts)
    for line, part in enumerate(names):
        note(stack[0], f"■ {part}", "bottom right", color=PALETTE[line % 8], lines=len(names) - 1 - line)
    if len(nearer) > 1:
        _draw_rows(stack[1], nearer, texts, colours, **options | {"near": near})
        heading(stack[1], "Close up")
    for axes in stack:
        for value in limits.values():
            axes.axvline(value, zorder=2, **style.dashed(ORANGE))
    named = style.with_unit(described.label, unit)
    start = f"\nthe axis starts at {short(stack[-1].get_xlim()[0])}" if close or len(nearer) > 1 else ""
    stack[-1].set_xlabel(named + (f", {described.better} is better" if described.better else "") + start)
    heading(stack[0], named[:1].upper() + named[1:])
    return figure


def costs(models: Mapping[str, VariantRecord]) -> Figure:
    """Draw the training time and the parameter count of every model, smallest first."""
    sizes = {name: each.parameters for name, each in sorted(models.items(), key=lambda item: item[1].parameters)}
    times = {name: models[name].timing.fit_s or 0.0 for name in sizes}
    epochs = {name: models[name].timing.epochs for name in sizes}
    taken = {name: f"{_seconds(each)} s, {_seconds(each / epochs[name])} an epoch" for name, each in times.items()}
    figure, (upper, lower) = panels(1.9 + 1.12 * len(sizes), [1.0, 1.0])
    _draw_rows(upper, times, taken, dict.fromkeys(sizes, BLUE))
    _draw_rows(lower, sizes, {name: f"{size:,}" for name, size in sizes.items()}, dict.fromkeys(sizes, ORANGE))
    heading(upper, "Training time (seconds)")
    heading(lower, "Size (parameters)")
    return figure


def pareto(
    points: Mapping[str, tuple[float | None, float | None]],
    metric: str,
    *,
    chosen: str | None = None,
    unit: str = "",
) -> Figure:
    """Draw a metric against size, with the front of those that none beats in both; model -> (parameters, value)."""
    described = describe(metric, unit)
    known = {name: (np.nan if x is None else x, np.nan if y is None else y) for name, (x, y) in points.items()}
    if not known or not np.isfinite(list(known.values())).all():
        raise DataError("a model has no such figure", column=metric, received=points)
    sign = 1 if described.better == "lower" else -1
    known = dict(sorted(known.items(), key=lambda item: sign * item[1][1]))
    by_cost = sorted(known.values(), key=lambda point: (point[0], sign * point[1]))
    front = [
        point for row, point in enumerate(by_cost) if all(sign * (point[1] - each[1]) < 0 for each in by_cost[:row])
    ]
    figure, (axes,) = panels(4.6 + 0.2 * len(known))
    axes.plot(*zip(*front, strict=True), color=GREY, linewidth=1.5, zorder=2)
    handles = []
    for index, (name, point) in enumerate(known.items()):
        look: style.Look = {"color": PALETTE[index % len(PALETTE)], "zorder": 3, "linestyle": "none"}
        marker, size = ("*", 16) if name == chosen else ("os^"[index // len(PALETTE) % 3], 9)
        handles += axes.plot(*point, marker=marker, markersize=size, **look)
    style.legend_below(figure, handles, [f"{name}  {short(value)}" for name, (_, value) in known.items()])
    if style.is_wide([x for x, _ in known.values()], 10):
        axes.set_xscale("log")
    axes.margins(x=0.1, y=0.22)
    axes.xaxis.set_major_formatter(style.tick)
    axes.yaxis.set_major_formatter(style.tick)
    words = "line: none is better at both" + ("" if chosen is None else "; ★ chosen")
    axes.set_xlabel(f"parameters, fewer is better\n{words}")
    axes.set_ylabel(style.with_unit(described.label, unit))
    heading(axes, f"{described.label} against parameters")
    return figure


def differences(table: pd.DataFrame, metric: str) -> Figure:
    """Draw each model's difference and 95 % interval, as `selection.paired` gives them, coloured where significant."""
    rows = table.dropna(subset=["difference"]).sort_values("difference", ascending=False)
    figure, (axes,) = panels(1.5 + 0.6 * len(rows))
    axes.axvline(0, color=INK, linewidth=1.2)
    for index, (_, row) in enumerate(rows.iterrows()):
        colour, reach = ORANGE if row["significant"] else GREY, row["high"] - row["difference"]
        axes.errorbar(row["difference"], index, xerr=reach, color=colour, marker="o", markersize=8, capsize=4)
    style.name_rows(axes, [f"{name}  {signed(row['difference'])}" for name, row in rows.iterrows()])
    style.few_ticks(axes.xaxis)
    axes.set_xlabel(f"{describe(metric).label} less that of {table.index[table['difference'].isna()][0]}")
    heading(axes, "Grey: not significant (95 %)")
    return figure


def _draw_rows(
    axes: Axes,
    values: Mapping[str, float],
    texts: Mapping[str, str],
    colours: Mapping[str, str],
    *,
    spread: Mapping[str, float] | None = None,
    bold: Sequence[str] = (),
    parts: pd.DataFrame | None = None,
    near: Sequence[float] | None = None,
) -> None:
    """Draw values as horizontal bars from zero; with `near` as dots on an axis of the range of both."""
    reach = {name: (spread or {}).get(name, 0.0) for name in values}
    ends = [value + side * reach[name] for name, value in values.items() for side in (-1, 1)]
    if near is None:
        room = 1 - 0.018 * (max(map(len, texts.values())) + 1)  # of the panel's width, next to the text
        axes.set_xlim(min(0.0, 1.1 * min(ends)), max(*ends, 1e-9) / room)
    else:
        low, width = min(*ends, *near), float(np.ptp([*ends, *near])) or 0.1 * max(ends)
        axes.set_xlim(low - 0.08 * width, low + 1.6 * width)
    for row, (name, value) in enumerate(values.items()):
        if near is not None:
            axes.plot(value, row, "o", color=colours[name], markersize=9)
        elif parts is None:
            axes.barh(row, value, height=0.42, color=colours[name])
        else:
            part = parts.loc[name].to_numpy()
            axes.barh([row] * len(part), part, left=part.cumsum() - part, height=0.42, color=PALETTE, edgecolor="white")
        if reach[name]:
            axes.errorbar(value, row, xerr=reach[name], fmt="none", ecolor=INK, elinewidth=1.6, capsize=4)
        end = value + reach[name]
        label(axes, (end if near is not None else max(end, 0.0), row), (7, 0), texts[name], va="center")
    style.name_rows(axes, list(values), bold)
    style.few_ticks(axes.xaxis)


def _value_text(name: str, values: Mapping[str, float], spread: Mapping[str, float], marked: Sequence[str]) -> str:
    text = short(values[name])
    if name in spread:
        text += f" ± {short(spread[name])}"
    if len(marked) == 1 and name not in marked:
        text += f"  ({signed(values[name] - values[marked[0]], values[name])})"
    return text


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
