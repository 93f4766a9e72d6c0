"""Models compared: a metric as bars, against its cost, fold by fold, user by user; importance of inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.errors import ConfigurationError, DataError
from kmodels.report.metrics import Better, cost_label, describe
from kmodels.report.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    PALETTE,
    SOFT,
    checked,
    few_ticks,
    heading,
    label,
    name_points,
    named_bars,
    note,
    panels,
    rows_from_the_top,
    short,
    signed,
    tick,
)

_CLOSE = 0.6  # values all above this share of the largest are drawn as dots on an axis of their own range


def bars(
    values: Mapping[str, float | None],
    metric: str,
    *,
    marked: Sequence[str] = (),
    floors: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    better: Better | None = None,
    unit: str = "",
) -> Figure:
    """Draw models and baselines in order, best on top, with the limits that none can pass.

    Bars start at zero. Where all values lie so close that bars would look alike, dots on an axis of their own range
    stand for bars, and the axis says where it starts.

    Args:
        values: Value by name; None and NaN are left out.
        metric: Name of a registered metric, or any other label.
        marked: The names drawn in colour. Of a single one, the others bear their difference from it.
        floors: Limits by name, such as {"Bayes": 0.91}, drawn as dashed lines.
        spread: Standard deviation by name over repeats, drawn as a whisker, of those that have one.
        better: Whether "lower" or "higher" values are better. Default None: as registered, else "higher".
        unit: Unit of the values, or "" (default).

    Example:
        >>> figure = bars({"net": 0.89, "biases": 0.94}, "rmse", marked=["net"], unit="USD")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.890', 'net', '0.940  (+0.050)', 'biases']
    """
    known = {name: float(value) for name, value in values.items() if value is not None and np.isfinite(value)}
    if not known or (len(marked) == 1 and marked[0] not in known):
        raise DataError("no value to draw", column=", ".join(marked) or None, received=dict(values))
    described = describe(metric, unit)
    better = better or described.better or "higher"
    limits, whiskers = dict(floors or {}), dict(spread or {})
    names = sorted(known, key=lambda name: known[name], reverse=better == "higher")
    texts = {name: _value_text(name, known, whiskers, marked) for name in names}
    everything = [*known.values(), *limits.values()]
    close = min(everything) > _CLOSE * max(everything)
    nearer = [] if close else [name for name in names if name in marked]
    heights = [1.4 + 0.6 * len(names) + 0.28 * len(limits)] + ([1.4 + 0.52 * len(nearer)] if len(nearer) > 1 else [])
    figure, stack = panels(sum(heights), heights)
    if close:
        _dots(stack[0], {name: known[name] for name in names}, texts, whiskers, limits, marked)
    else:
        colours = {name: BLUE if name in marked else PALE for name in names}
        ordered = {name: known[name] for name in names}
        named_bars(stack[0], ordered, texts, colours, room=1.45, bold=marked, spread=whiskers)
    stack[0].set_ylim(len(names) - 0.45 + 0.5 * len(limits), -0.8)
    for line, (name, value) in enumerate(limits.items()):
        words = f"dashed: {name} {short(value)}"
        note(stack[0], words, (0.99, 0.03), color=ORANGE, ha="right", va="bottom", lines_down=-line)
    if len(nearer) > 1:
        _dots(stack[1], {name: known[name] for name in nearer}, texts, whiskers, limits, marked)
        heading(stack[1], "Close up")
    for axes in stack:
        for value in limits.values():
            axes.axvline(value, color=ORANGE, linewidth=1.6, linestyle=(0, (4, 3)), zorder=2)
    start = f"\nthe axis starts at {short(stack[-1].get_xlim()[0])}" if close or len(nearer) > 1 else ""
    named = f"{described.label} ({unit})" if unit else described.label
    stack[-1].set_xlabel(f"{named}, {better} is better{start}")
    heading(stack[0], named)
    return figure


def costs(values: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Draw the training time and the parameter count of every model, smallest first.

    Args:
        values: Model -> `parameters`, `fit_s` (seconds), and perhaps `epochs`.

    Returns:
        The figure, of two panels with the models in one order.
    """
    if not values:
        raise DataError("there is no model to draw", expected="at least one")
    for name, known in values.items():
        for needed in ("parameters", "fit_s"):
            if known.get(needed) is None:
                raise DataError("a model has no such cost", column=f"{name}.{needed}", received=sorted(known))
    sizes = {name: float(known["parameters"] or 0) for name, known in values.items()}
    names = sorted(sizes, key=lambda name: sizes[name])
    figure, (upper, lower) = panels(1.9 + 1.12 * len(names), [1.0, 1.0])
    sizes = {name: sizes[name] for name in names}
    times = {name: float(values[name]["fit_s"] or 0) for name in names}
    epochs = {name: values[name].get("epochs") for name in names}
    texts = {
        name: f"{_seconds(times[name])} s" + (f", {_seconds(times[name] / count)} an epoch" if count else "")
        for name, count in epochs.items()
    }
    named_bars(upper, times, texts, BLUE, room=1.75)
    named_bars(lower, sizes, {name: f"{sizes[name]:,.0f}" for name in names}, ORANGE, room=1.35)
    heading(upper, "Training time (seconds)")
    heading(lower, "Size (parameters)")
    return figure


def pareto(
    points: Mapping[str, tuple[float | None, float | None]],
    metric: str,
    *,
    cost: str = "parameters",
    chosen: str | None = None,
    better: Better | None = None,
    unit: str = "",
) -> Figure:
    """Draw a metric against what it costs, with the front of those that none beats in both.

    Args:
        points: Model -> (cost, value).
        metric: Name of a registered metric, or any other label.
        cost: Name of the cost, as in `metrics.COSTS`. Default "parameters".
        chosen: The model that was chosen; it stands out.
        better: Whether "lower" or "higher" values are better. Default None: as registered.
        unit: Unit of the metric where it is an error of amounts.

    Returns:
        The figure, every point named. A cost that spans more than a factor of ten has a logarithmic axis.

    Example:
        >>> pareto({"s": (100, 0.8), "m": (150, 0.7), "l": (200, 0.9)}, "accuracy").axes[0].get_title(loc="left")
        'Accuracy against parameters'
    """
    described = describe(metric, unit)
    better = better or described.better
    if better is None:
        raise ConfigurationError(f"{metric!r} has no front: whether lower or higher is better is not known")
    if not points:
        raise DataError("there is no model to draw", expected="at least one")
    known: dict[str, tuple[float, float]] = {}
    for name, (price, value) in points.items():
        if price is None or value is None or not np.isfinite([price, value]).all():
            raise DataError("a model has no such figure", column=name, received=(price, value))
        known[name] = (float(price), float(value))
    front = _front(known, better)
    figure, (axes,) = panels(4.4)
    axes.plot(*zip(*(known[name] for name in front), strict=True), color=BLUE, linewidth=1.5, alpha=0.6, zorder=2)
    colours = {}
    for name, (x, y) in known.items():
        colours[name] = ORANGE if name == chosen else BLUE if name in front else SOFT
        axes.plot(x, y, "*" if name == chosen else "o", color=colours[name], markersize=15 if name == chosen else 8)
    prices = [x for x, _ in known.values()]
    if min(prices) > 0 and max(prices) > 10 * min(prices):
        axes.set_xscale("log")
    axes.margins(x=0.16, y=0.22)
    axes.xaxis.set_major_formatter(tick)
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(f"{cost_label(cost)}, {'fewer' if cost == 'parameters' else 'less'} is better")
    axes.set_ylabel(f"{described.label} ({unit})" if described.unit else described.label)
    heading(axes, f"{described.label} against {cost_label(cost)}")
    up = better == "higher"
    text = "line: none is better at both"
    note(axes, text, (0.98, 0.03 if up else 0.97), color=BLUE, ha="right", va="bottom" if up else "top")
    if chosen is not None:
        note(axes, "★ chosen", (0.02, 0.97 if up else 0.03), color=ORANGE, va="top" if up else "bottom")
    name_points(axes, known, colours)
    return figure


def differences(table: pd.DataFrame, metric: str) -> Figure:
    """Draw how far each model is from the baseline, with the 95 % interval.

    Args:
        table: As `evaluation.selection.paired` gives it; the row without a difference is the baseline.
        metric: Name of a registered metric, or any other label.

    Returns:
        The figure, the largest difference on top; intervals that leave out 0 are in colour.
    """
    rows = table.dropna(subset=["difference"]).sort_values("difference", ascending=False)
    figure, (axes,) = panels(1.5 + 0.6 * len(rows))
    axes.axvline(0, color=INK, linewidth=1.2)
    for index, (name, row) in enumerate(rows.iterrows()):
        colour = ORANGE if row["significant"] else GREY
        reach = row["high"] - row["difference"]
        axes.errorbar(row["difference"], index, xerr=reach, color=colour, marker="o", markersize=8, capsize=4)
        text = f"{name}  {signed(row['difference'])}"
        label(axes, (0, index - 0.22), (2, 2), text, xycoords=("axes fraction", "data"))
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.9)
    few_ticks(axes.xaxis)
    baseline = ", ".join(map(str, table.index[table["difference"].isna()])) or "the baseline"
    axes.set_xlabel(f"{describe(metric).label} less that of {baseline}")
    heading(axes, "Grey: not significant (95 %)")
    return figure


def importance_bars(
    table: pd.DataFrame, *, measure: str = "accuracy lost when shuffled", title: str = "Importance of the inputs"
) -> Figure:
    """Draw how important each group of inputs is, in the order given.

    Args:
        table: `group`, `mean` and `std`, as of `explain.permutation_importance`.
        measure: What the means are, with the unit. Default "accuracy lost when shuffled".
        title: Heading. Default "Importance of the inputs".

    Returns:
        The figure: bars of the means, with a line of one std to both sides.
    """
    for column in ("group", "mean", "std"):
        if column not in table:
            raise DataError("the importances lack a column", column=column, received=list(table.columns))
    mean, std = checked(mean=table["mean"], std=table["std"])
    figure, (axes,) = panels(1.3 + 0.55 * len(mean))
    axes.barh(range(len(mean)), mean, height=0.4, color=[BLUE if value > 0 else GREY for value in mean])
    axes.errorbar(mean, range(len(mean)), xerr=std, fmt="none", ecolor=INK, elinewidth=1.4, capsize=3)
    for row, name in enumerate(table["group"]):
        end = max(float(mean[row] + std[row]), 0.0)
        label(axes, (end, row), (5, 0), f"{mean[row]:.3f} ± {std[row]:.3f}".replace("-", "−"), va="center", color=SOFT)
        label(axes, (0, row - 0.22), (2, 2), str(name))
    axes.axvline(0, color=INK, linewidth=1)
    rows_from_the_top(axes, len(mean))
    reach = float(np.max(np.abs(mean) + std)) or 1.0
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

    Example:
        >>> figure = shap_bars([[[1.0, -1.0], [0.5, 0.0]]], ["tier", "tags"], ["low", "high"])
        >>> [text.get_text() for text in figure.axes[0].texts][:2]
        ['2.000', 'tier']
    """
    table = np.asarray(values, dtype=np.float64)
    expected = (len(names), len(labels))
    if table.ndim != 3 or table.shape[1:] != expected or not len(table) or 0 in expected:
        received = table.shape
        raise DataError("SHAP values do not fit", expected=f"(rows, {expected[0]}, {expected[1]})", received=received)
    if not np.isfinite(table).all():
        raise DataError("not finite", column="values")
    size = np.abs(table).mean(axis=0)
    total = size.sum(axis=1)
    order = np.argsort(-total, kind="stable")
    summed = len(labels) > len(PALETTE)
    figure, (axes,) = panels(1.3 + 0.55 * len(names))
    start = np.zeros(len(names))
    for index, part in enumerate((total[order, None] if summed else size[order]).T):
        axes.barh(range(len(names)), part, left=start, height=0.4, color=PALETTE[index], edgecolor="white")
        start += part
    for row, group in enumerate(order):
        label(axes, (float(total[group]), row), (5, 0), f"{total[group]:.3f}", va="center", color=SOFT)
        label(axes, (0, row - 0.22), (2, 2), str(names[group]))
    rows_from_the_top(axes, len(names))
    axes.set_xlim(0, 1.3 * float(total.max()) or 1.0)
    axes.set_xlabel(f"mean |SHAP value| ({unit}), summed over classes")
    heading(axes, "SHAP values by group of inputs")
    for index, name in enumerate(() if summed else labels):
        up = len(labels) - 1 - index
        note(axes, f"■ {name}", (0.985, 0.02), color=PALETTE[index], ha="right", va="bottom", lines_down=-up)
    return figure


def _value_text(name: str, values: Mapping[str, float], spread: Mapping[str, float], marked: Sequence[str]) -> str:
    text = short(values[name])
    if name in spread:
        text += f" ± {short(spread[name])}"
    if len(marked) == 1 and name not in marked:
        text += f"  ({signed(values[name] - values[marked[0]], values[name])})"
    return text


def _dots(
    axes: Axes,
    values: Mapping[str, float],
    texts: Mapping[str, str],
    spread: Mapping[str, float],
    limits: Mapping[str, float],
    marked: Sequence[str],
) -> None:
    """Draw values as dots on an axis that starts where they do: bars from zero would look alike."""
    drawn = [*values.values(), *limits.values()]
    reach = max((spread.get(name, 0.0) for name in values), default=0.0)
    low, high = min(drawn) - reach, max(drawn) + reach
    room = (high - low) or 0.1 * abs(high) or 1.0
    axes.set_xlim(low - 0.08 * room, high + 0.6 * room)
    for row, (name, value) in enumerate(values.items()):
        colour = BLUE if name in marked else GREY
        axes.plot(value, row, "o", color=colour, markersize=9, zorder=3)
        if name in spread:
            axes.errorbar(value, row, xerr=spread[name], color=colour, linewidth=1.8, capsize=4, zorder=2.5)
        label(axes, (value + spread.get(name, 0.0), row), (9, 0), texts[name], va="center")
        label(axes, (0, row - 0.2), (2, 2), name, bold=name in marked, xycoords=("axes fraction", "data"))
    axes.set_yticks([])
    axes.set_ylim(len(values) - 0.5, -0.8)
    few_ticks(axes.xaxis)


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _front(points: Mapping[str, tuple[float, float]], better: Better) -> list[str]:
    """Name the points that none beats in both cost and value, cheapest first."""
    sign = 1 if better == "lower" else -1
    front: list[str] = []
    for name in sorted(points, key=lambda name: (points[name][0], sign * points[name][1])):
        if not front or sign * points[name][1] < sign * points[front[-1]][1]:
            front.append(name)
    return front
