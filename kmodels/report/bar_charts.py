"""Bars and dots that set values beside each other: the model beside its baselines, and what nobody can pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.report.canvas import BLUE, GREY, INK, ORANGE, TEXT, few_ticks, heading, note, panels, short, signed, tick
from kmodels.report.glossary import Better

_PALE = "#C3C9D1"
_CLOSE = 0.6  # values all above this share of the largest are drawn as dots on an axis of their own range


def baseline_bars(
    values: Mapping[str, float], metric: str, *, model: str, better: Better = "lower", unit: str = ""
) -> Figure:
    """Draw the model beside its baselines, best on top, the model in colour.

    Args:
        values: Value by name, the model's own included; None and NaN are left out.
        metric: What the values are, as shown.
        model: The name in `values` that is the model.
        better: Whether "lower" or "higher" values are better.
        unit: Unit of the values, or "".

    Returns:
        The figure.

    Raises:
        DataError: `model` has no value.

    Example:
        >>> figure = baseline_bars({"NeuMF": 0.89, "biases": 0.94}, "RMSE", model="NeuMF", unit="stars")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.890', 'NeuMF', '0.940  (+0.050)', 'biases']
    """
    known = {name: float(value) for name, value in values.items() if value is not None and np.isfinite(value)}
    if model not in known:
        raise DataError("the model has no value to draw", column=model, expected="a finite number")
    names = sorted(known, key=lambda name: known[name], reverse=better == "higher")
    figure, (axes,) = panels(1.3 + 0.62 * len(names))
    axes.barh(range(len(names)), [known[name] for name in names], height=0.42)
    for row, (name, bar) in enumerate(zip(names, axes.patches, strict=True)):
        bar.set_facecolor(BLUE if name == model else _PALE)
        gap = "" if name == model else f"  ({signed(known[name] - known[model], '-', known[name])})"
        look: dict[str, Any] = {"textcoords": "offset points", "fontsize": TEXT - 1, "color": INK}
        axes.annotate(f"{short(known[name])}{gap}", (max(known[name], 0.0), row), (5, 0), va="center", **look)
        # The name stands above its bar, not left of it: on a phone the bars then have the whole width.
        axes.annotate(name, (0, row - 0.24), (2, 2), weight="bold" if name == model else "normal", **look)
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.8)
    axes.set_xlim(min(0.0, 1.2 * min(known.values())), max(1.4 * max(known.values()), 1e-6))
    named = f"{metric} ({unit})" if unit else metric
    axes.xaxis.set_major_formatter(tick)
    axes.set_xlabel(f"{named}, {better} is better")
    heading(axes, f"{named} on the test ratings" if unit == "stars" else f"{named} on the test split")
    return figure


def metric_bars(
    values: Mapping[str, float | None],
    metric: str,
    *,
    floors: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    marked: Sequence[str] = (),
    better: Better = "higher",
    unit: str = "",
) -> Figure:
    """Draw variants and baselines in order, best on top, with the limits that nobody can pass.

    Bars start at zero. Where all values lie so close that bars would look alike, dots on an axis of their own range
    take the place of bars, and the axis says where it starts.

    Args:
        values: Value by name; None and NaN are left out.
        metric: What the values are, as shown.
        floors: Limits by name, such as {"Bayes accuracy": 0.91} or {"noise floor": 1.02}, drawn as dashed lines.
        spread: Standard deviation by name over repeats, drawn as a whisker; of those that have one.
        marked: The names drawn in colour; the others are the baselines.
        better: Whether "higher" (default) or "lower" values are better.
        unit: Unit of the values, or "".

    Returns:
        The figure.

    Raises:
        DataError: No name has a value.

    Example:
        >>> figure = metric_bars({"net": 0.9, "majority": 0.3}, "accuracy", floors={"Bayes": 0.94}, marked=["net"])
        >>> [text.get_text() for text in figure.axes[0].texts][-1]
        'dashed: Bayes 0.940'
    """
    known = {name: float(value) for name, value in values.items() if value is not None and np.isfinite(value)}
    if not known:
        raise DataError("no name has a value to draw", received=dict(values))
    limits, whiskers = dict(floors or {}), spread or {}
    names = sorted(known, key=lambda name: known[name], reverse=better == "higher")
    texts = {name: short(known[name]) + (f" ± {short(whiskers[name])}" if name in whiskers else "") for name in names}
    everything = [*known.values(), *limits.values()]
    close = min(everything) > _CLOSE * max(everything)
    nearer = [] if close else [name for name in names if name in marked]
    heights = [1.4 + 0.6 * len(names) + 0.28 * len(limits)] + ([1.4 + 0.52 * len(nearer)] if len(nearer) > 1 else [])
    figure, stack = panels(sum(heights), heights)
    named = f"{metric} ({unit})" if unit else metric
    if close:
        _dots(stack[0], names, known, texts, whiskers, limits, marked)
    else:
        colours = {name: BLUE if name in marked else _PALE for name in names}
        bars(stack[0], {name: known[name] for name in names}, texts, colours, room=1.45, bold=marked)
    for row, name in enumerate(names):
        if name in whiskers and not close:
            stack[0].errorbar(known[name], row, xerr=whiskers[name], color=INK, linewidth=1.6, capsize=4, zorder=2.5)
    stack[0].set_ylim(len(names) - 0.45 + 0.5 * len(limits), -0.8)
    for line, (name, value) in enumerate(limits.items()):
        words = f"dashed: {name} {short(value)}"
        note(stack[0], words, (0.99, 0.03), color=ORANGE, ha="right", va="bottom", lines_down=-line)
    if len(nearer) > 1:
        _dots(stack[1], nearer, known, texts, whiskers, limits, marked)
        heading(stack[1], "Close up")
    for axes in stack:
        for value in limits.values():
            axes.axvline(value, color=ORANGE, linewidth=1.6, linestyle=(0, (4, 3)), zorder=2)
    start = f"\nthe axis starts at {short(stack[-1].get_xlim()[0])}" if close or len(nearer) > 1 else ""
    stack[-1].set_xlabel(f"{named}, {better} is better{start}")
    heading(stack[0], named)
    return figure


def bars(
    axes: Axes,
    values: Mapping[str, float],
    texts: Mapping[str, str],
    colour: str | Mapping[str, str],
    *,
    room: float,
    bold: Sequence[str] = (),
) -> None:
    """Draw bars from zero in the order given, each with its text at the end and its name above.

    Args:
        axes: The panel.
        values: Length of each bar by name, top to bottom.
        texts: What stands at the end of each.
        colour: One for all, or one by name.
        room: Width of the panel over the longest bar, so that the texts have room.
        bold: The names set bold.

    Example:
        >>> _, (axes,) = panels(3.0)
        >>> bars(axes, {"small": 2.0, "wide": 3.0}, {"small": "2 s", "wide": "3 s"}, BLUE, room=1.5)
        >>> [float(bar.get_width()) for bar in axes.patches]
        [2.0, 3.0]
    """
    names = list(values)
    colours = [colour if isinstance(colour, str) else colour[name] for name in names]
    axes.barh(range(len(names)), [values[name] for name in names], height=0.42, color=colours)
    for row, name in enumerate(names):
        _label(axes, (max(values[name], 0.0), row), (5, 0), texts[name], va="center")
        # The name stands above its bar, not left of it: on a phone the bars then have the whole width.
        _label(axes, (0, row - 0.24), (2, 2), name, bold=name in bold)
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.8)
    axes.set_xlim(min(0.0, 1.2 * min(values.values())), max(room * max(values.values()), 1e-9))
    few_ticks(axes.xaxis)


def _dots(
    axes: Axes,
    names: Sequence[str],
    values: Mapping[str, float],
    texts: Mapping[str, str],
    whiskers: Mapping[str, float],
    limits: Mapping[str, float],
    marked: Sequence[str],
) -> None:
    """Draw values as dots on an axis that starts where they do: what bars from zero would not tell apart."""
    shown = [values[name] for name in names] + list(limits.values())
    reach = max((whiskers.get(name, 0.0) for name in names), default=0.0)
    low, high = min(shown) - reach, max(shown) + reach
    room = (high - low) or 0.1 * abs(high) or 1.0
    axes.set_xlim(low - 0.08 * room, high + 0.6 * room)
    for row, name in enumerate(names):
        colour = BLUE if name in marked else GREY
        axes.plot(values[name], row, "o", color=colour, markersize=9, zorder=3)
        if name in whiskers:
            axes.errorbar(values[name], row, xerr=whiskers[name], color=colour, linewidth=1.8, capsize=4, zorder=2.5)
        _label(axes, (values[name] + whiskers.get(name, 0.0), row), (9, 0), texts[name], va="center")
        _label(axes, (0, row - 0.2), (2, 2), name, bold=name in marked, xycoords=("axes fraction", "data"))
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.5, -0.8)
    few_ticks(axes.xaxis)


def _label(
    axes: Axes, at: tuple[float, float], offset: tuple[float, float], text: str, *, bold: bool = False, **more: Any
) -> None:
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": TEXT - 1, "color": INK, "zorder": 5, **more}
    look["bbox"] = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
    axes.annotate(text, at, offset, weight="bold" if bold else "normal", **look)
