"""The pictures that compare variants: curves, time and size, a metric against its cost, a metric beside its floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kmodels.errors import ConfigurationError, DataError
from kmodels.report.bar_charts import bars, metric_bars
from kmodels.report.canvas import (
    BLUE,
    ORANGE,
    PALETTE,
    SOFT,
    STYLES,
    TEXT,
    heading,
    name_points,
    note,
    panels,
    save,
    short,
    tick,
)
from kmodels.report.choice import choose, paired
from kmodels.report.comparison import cost_label
from kmodels.report.fragments import Picture
from kmodels.report.glossary import Better, best, describe
from kmodels.report.record import costs_of, unit_of

__all__ = ["choose", "curves", "draw", "metric_bars", "paired", "pareto", "time_and_size"]


def curves(histories: Mapping[str, pd.DataFrame], column: str, label: str) -> Figure:
    """Draw one quantity by epoch for every variant, training above, validation below, on one scale.

    The legend lists the variants from best to worst, each with its best validation value, at which a dot stands.

    Args:
        histories: By variant, one row per epoch with `epoch`, `column` and, for the lower panel, `val_` + `column`.
        column: The quantity, such as "loss" or "accuracy".
        label: What it is, for the axis.

    Returns:
        The figure.

    Raises:
        DataError: A history lacks `epoch` or the column, or has no epochs; or there is no history.

    Example:
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [1.5, 1.2]})
        >>> figure = curves({"small": history, "wide": history / 2}, "loss", "cross-entropy")
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['wide  0.600', 'small  1.200']
    """
    if not histories:
        raise DataError("there is no history to draw", expected="one for each variant")
    for name, history in histories.items():
        for needed in ("epoch", column):
            if needed not in history:
                raise DataError(f"the history of {name} lacks a column", column=needed, received=list(history.columns))
        if history.empty:
            raise DataError(f"the history of {name} has no epochs", expected="one row per epoch")
    both = all(f"val_{column}" in history for history in histories.values())
    judge = f"val_{column}" if both else column
    better = describe(column).better or "lower"
    columns = 2 if max(map(len, histories)) <= 15 else 1  # of the legend
    lines = -(-len(histories) // columns)
    figure, stack = panels((5.2 if both else 3.2) + 0.23 * lines, [1.0, 1.0] if both else [1.0], share_x=True)
    looks = {name: (PALETTE[at % len(PALETTE)], STYLES[at // len(PALETTE) % 3]) for at, name in enumerate(histories)}
    peaks = {name: _peak(history[judge], better) for name, history in histories.items()}
    for axes, drawn in zip(stack, [column, judge], strict=False):
        for name, history in histories.items():
            colour, style = looks[name]
            line = {"color": colour, "linestyle": style, "label": name, "linewidth": 1.9}
            axes.plot(history["epoch"], history[drawn], **line)  # type: ignore[arg-type]
            peak = peaks[name]
            if drawn == judge and peak is not None:
                axes.plot(history["epoch"].iloc[peak], history[drawn].iloc[peak], "o", color=colour)
        axes.set_ylabel(label)
    heading(stack[0], "Training, by epoch")
    heading(stack[-1], "Validation, by epoch (dot: the best)" if both else "Training, by epoch (dot: the best)")
    stack[-1].set_xlabel("epoch")
    stack[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    shown = [np.asarray(history[each], float) for history in histories.values() for each in {column, judge}]
    _one_scale(stack, np.concatenate(shown))
    worst = np.inf if better == "lower" else -np.inf
    value = {name: worst if at is None else float(histories[name][judge].iloc[at]) for name, at in peaks.items()}
    order = sorted(histories, key=lambda name: value[name], reverse=better == "higher")
    handles = [next(line for line in stack[-1].lines if line.get_label() == name) for name in order]
    texts = [f"{name}  {short(value[name])}" if np.isfinite(value[name]) else name for name in order]
    figure.legend(handles, texts, loc="outside lower left", ncols=columns, fontsize=TEXT - 1, frameon=False)
    return figure


def time_and_size(records: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the training time and the parameter count of every variant, smallest first.

    Args:
        records: `record["variants"]`, each with `model.parameters`, `timing.fit_s` and `timing.epochs`.

    Returns:
        The figure, of two panels with the variants in one order.

    Raises:
        DataError: There is no variant, or one has no parameter count or no time.

    Example:
        >>> one = {"model": {"name": "cnn", "parameters": 900}, "timing": {"fit_s": 20.0, "epochs": 10}}
        >>> [text.get_text() for text in time_and_size({"small": one}).axes[0].texts]
        ['20 s, 2 an epoch', 'small']
    """
    if not records:
        raise DataError("there is no variant to draw", expected="at least one")
    costs = {name: costs_of(record) for name, record in records.items()}
    for name, known in costs.items():
        for needed in ("parameters", "fit_s"):
            if needed not in known:
                raise DataError("a variant has no such cost", column=f"{name}.{needed}", received=sorted(known))
    names = sorted(records, key=lambda name: costs[name]["parameters"])
    figure, (upper, lower) = panels(1.9 + 1.12 * len(names), share_x=False, ratios=[1.0, 1.0])
    times, sizes = {name: costs[name]["fit_s"] for name in names}, {name: costs[name]["parameters"] for name in names}
    texts = {}
    for name in names:
        epochs = records[name]["timing"]["epochs"]
        texts[name] = f"{_seconds(times[name])} s" + (f", {_seconds(times[name] / epochs)} an epoch" if epochs else "")
    bars(upper, times, texts, BLUE, room=1.75)
    bars(lower, sizes, {name: f"{sizes[name]:,.0f}" for name in names}, ORANGE, room=1.35)
    heading(upper, "Training time (seconds)")
    heading(lower, "Size (parameters)")
    return figure


def pareto(
    records: Mapping[str, Mapping[str, Any]],
    metric: str,
    *,
    cost: str = "parameters",
    split: str = "test",
    chosen: str | None = None,
    unit: str = "",
) -> Figure:
    """Draw a metric against what it costs, with the front of those that none beats in both.

    Args:
        records: `record["variants"]`, each with its metrics and its costs.
        metric: Name of the metric, with a known better direction.
        cost: "parameters" (default), "fit_s", or a name in every variant's `cost`.
        split: "test" (default), "validation" or "train": whose figures are drawn.
        chosen: The variant that was chosen; it stands out.
        unit: Unit of the metric where it is an error of amounts.

    Returns:
        The figure, every point named. A cost that spans more than a factor of ten has a logarithmic axis.

    Raises:
        ConfigurationError: The metric has no known better direction.
        DataError: There is no variant, or one lacks the metric or the cost.

    Example:
        >>> records = {
        ...     name: {"model": {"parameters": size}, "timing": {"fit_s": 1.0}, "test": {"accuracy": value}}
        ...     for name, size, value in [("s", 100, 0.8), ("m", 150, 0.7), ("l", 200, 0.9)]
        ... }
        >>> pareto(records, "accuracy").axes[0].get_title(loc="left")
        'Accuracy against parameters'
    """
    described = describe(metric, unit)
    if described.better is None:
        raise ConfigurationError(f"{metric!r} has no front: whether lower or higher is better is not known")
    points: dict[str, tuple[float, float]] = {}
    for name, record in records.items():
        value, price = record[split].get(metric), costs_of(record).get(cost)
        if value is None or price is None or not np.isfinite(value):
            raise DataError("a variant has no such figure", column=f"{name}.{metric if price is not None else cost}")
        points[name] = (float(price), float(value))
    if not points:
        raise DataError("there is no variant to draw", expected="at least one")
    front = _front(points, described.better)
    figure, (axes,) = panels(4.4)
    axes.plot(*zip(*(points[name] for name in front), strict=True), color=BLUE, linewidth=1.5, alpha=0.6, zorder=2)
    colours = {}
    for name, (x, y) in points.items():
        colours[name] = ORANGE if name == chosen else BLUE if name in front else SOFT
        axes.plot(x, y, "*" if name == chosen else "o", color=colours[name], markersize=15 if name == chosen else 8)
    prices = [x for x, _ in points.values()]
    if min(prices) > 0 and max(prices) > 10 * min(prices):
        axes.set_xscale("log")
    axes.margins(x=0.16, y=0.22)
    axes.xaxis.set_major_formatter(tick)
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(
        f"{cost_label(cost)}, fewer is better" if cost == "parameters" else f"{cost_label(cost)}, less is better"
    )
    axes.set_ylabel(f"{split} {described.label}" + (f" ({unit})" if described.unit else ""))
    heading(axes, f"{described.label} against {cost_label(cost)}")
    down = described.better == "higher"
    note(
        axes,
        "line: none is better at both",
        (0.98, 0.03 if down else 0.97),
        color=BLUE,
        ha="right",
        va="bottom" if down else "top",
    )
    if chosen is not None:
        note(axes, "★ the chosen one", (0.02, 0.97 if down else 0.03), color=ORANGE, va="top" if down else "bottom")
    name_points(axes, points, colours)
    return figure


def draw(
    folder: str | Path,
    record: Mapping[str, Any],
    histories: Mapping[str, pd.DataFrame],
    metric: str,
    *,
    floors: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    cost: str = "parameters",
) -> list[Picture]:
    """Draw the comparison into the run folder's `plots/`: variants, metric_curves, loss_curves, time_and_size, pareto.

    Args:
        folder: The run folder.
        record: A record of variants, with `best`.
        histories: By variant, one row per epoch: epoch, loss and val_loss, and `metric` and its `val_` where known.
        metric: The metric compared; every variant has it on the test split.
        floors: As `metric_bars` takes it.
        spread: As `metric_bars` takes it.
        cost: As `pareto` takes it.

    Returns:
        The pictures, in the report's order.

    Raises:
        DataError: As the functions above.
    """
    variants, unit = record["variants"], unit_of(record)
    described = describe(metric, unit)
    values = {name: each["test"].get(metric) for name, each in variants.items()}
    values |= {name: each[metric] for name, each in record["baselines"].items() if metric in each}
    look = {"better": described.better or "higher", "unit": described.unit}
    drawn: dict[str, tuple[Figure, str, str]] = {
        "variants": (
            metric_bars(values, described.label, floors=floors, spread=spread, marked=list(variants), **look),  # type: ignore[arg-type]
            "The variants beside the baselines",
            "Test rows. In colour: the variants; grey: the baselines.",
        ),
        "pareto": (
            pareto(variants, metric, cost=cost, chosen=record["best"], unit=unit),
            f"{described.label} against cost",
            "Whoever stands on the line is beaten by none in both; the others are dominated.",
        ),
        "time_and_size": (
            time_and_size(variants),
            "Training time and size",
            "Both measured in this run, one variant after the other on the same machine.",
        ),
    }
    for column in dict.fromkeys((metric, "loss")):
        if all(column in history for history in histories.values()):
            drawn[f"{column}_curves"] = (
                curves(histories, column, describe(column, unit).label),
                f"{describe(column, unit).label} by epoch",
                "The same data in the same order for every variant; the best epoch is that on validation.",
            )
    return [
        Picture(save(figure, Path(folder) / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in drawn.items()
    ]


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _peak(values: pd.Series, better: Better) -> int | None:
    """Find the row of the best value; NaN takes no part."""
    row = best(dict(enumerate(map(float, values))), better)  # type: ignore[arg-type]
    return None if row is None else int(row)


def _one_scale(stack: Sequence[Axes], values: np.ndarray) -> None:
    """Give all panels the same vertical scale, logarithmic where the values span more than a factor of twenty."""
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and high > 20 * low
    margin = (high / low) ** 0.06 if logarithmic else 0.06 * (high - low) or 0.5
    for axes in stack:
        axes.set_yscale("log" if logarithmic else "linear")
        axes.set_ylim((low / margin, high * margin) if logarithmic else (low - margin, high + margin))


def _front(points: Mapping[str, tuple[float, float]], better: Better) -> list[str]:
    """Name the points that none beats in both cost and value, cheapest first."""
    sign = 1 if better == "lower" else -1
    front: list[str] = []
    for name in sorted(points, key=lambda name: (points[name][0], sign * points[name][1])):
        if not front or sign * points[name][1] < sign * points[front[-1]][1]:
            front.append(name)
    return front
