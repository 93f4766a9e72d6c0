"""Predicted amounts against true ones, and a ranking user by user."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator
from numpy.typing import ArrayLike

from kmodels.report import style
from kmodels.report.style import Floats, checked, few_ticks, heading, note, panels, tick, with_unit

_LEVELS = 12  # more distinct true values than this are drawn as a continuous quantity
_LONG_TAIL = 30.0  # a largest value this many times the median is drawn on a logarithmic axis
_FEW = 20  # fewer values than this are drawn one by one, not as a shape


def predictions(true: ArrayLike, predicted: ArrayLike, unit: str = "") -> Figure:
    """Draw the shape, middle 50 % and median of predictions by true value; of more than twelve values a density."""
    true, predicted = checked(true, predicted)
    figure, (axes,) = panels(4.6)
    levels = np.unique(true)
    note(axes, "dashed: perfect prediction", "top left", color=style.ORANGE)
    if len(levels) <= _LEVELS:
        step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
        for level in levels:
            _shape_of(axes, float(level), predicted[true == level], 0.84 * step)
        axes.set_xticks(levels, [f"{level:g}\n{100 * np.mean(true == level):.0f}%" for level in levels])
        axes.set_xlabel(f"{with_unit('true', unit)}, and its share of all {len(true):,}")
        note(axes, "bar: middle 50 % · dot: median", "bottom right")
        ends = levels[[0, -1]] + np.array([-0.6, 0.6]) * step
    else:
        _stretch(axes, "x", true)
        _stretch(axes, "y", true)
        _density(axes, true, predicted)
        axes.set_xlabel(with_unit("true", unit))
        note(axes, f"darker: more of the {len(true):,}", "bottom right")
        ends = levels[[0, -1]]
    axes.plot(ends, ends, zorder=2.5, **style.dashed(style.ORANGE))
    axes.set_ylabel(with_unit("predicted", unit))
    heading(axes, with_unit("Predicted against true", unit))
    return figure


def residuals(true: ArrayLike, predicted: ArrayLike, unit: str = "") -> Figure:
    """Draw the residual (true − predicted) against the prediction, with its mean where predictions are alike."""
    true, predicted = checked(true, predicted)
    reach, beyond = reach_of(true - predicted)
    residual = np.clip(true - predicted, -reach, reach)
    figure, (axes,) = panels(4.3)
    _stretch(axes, "x", predicted)
    _density(axes, predicted, residual)
    axes.axhline(0, color=style.INK, linewidth=1)
    # Bins of equal count, so that no point of the line rests on a handful of rows.
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, int(np.clip(len(predicted) // 200, 1, 20)) + 1)))
    which = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(which)
    kept = count > 0
    centre, mean = (np.bincount(which, values)[kept] / count[kept] for values in (predicted, true - predicted))
    mean = np.clip(mean, -reach, reach)
    axes.plot(centre, mean, color="white", linewidth=6)
    axes.plot(centre, mean, color=style.ORANGE, linewidth=2.6, marker="o" if len(mean) == 1 else None)
    note(axes, "line: mean residual", "top left", color=style.ORANGE)
    note(axes, "above 0: predicted too low", "top right")
    note(axes, f"darker: more of the {len(true):,}", "bottom right")
    axes.margins(y=0.16)
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(with_unit("predicted", unit))
    axes.set_ylabel(with_unit("residual: true − predicted", unit) + ("\nedges: and beyond" if beyond else ""))
    heading(axes, with_unit("Residual against prediction", unit))
    return figure


def user_ranking(model: ArrayLike, baseline: ArrayLike, items: ArrayLike, *, name: str = "baseline") -> Figure:
    """Draw NDCG@10 user by user, model and baseline: sorted, paired, and by the length of the list.

    Args:
        model: (users,) the model's value, 0 to 1; NaN where a user has none.
        baseline: (users,) the baseline's, users in the same order.
        items: (users,) number of test items each list ranks.
        name: Name of the baseline. Default "baseline".

    Returns:
        The figure, of three panels. Users with NaN in either take no part.
    """
    table = np.array([model, baseline, items], float)
    own, other, length = checked(*table[:, np.isfinite(table).all(axis=0)])
    figure, (ordered, paired, by_length) = panels(9.6, [3.2, 2.6, 3.0])
    share = 100 * (np.arange(len(own)) + 0.5) / len(own)
    for line, (values, who, colour) in enumerate(((other, name, style.SOFT), (own, "model", style.BLUE))):
        ordered.plot(share, np.sort(values), color=colour, linewidth=2.4)
        note(ordered, f"{who}, mean {values.mean():.4f}", "bottom right", color=colour, lines=line)
    heading(ordered, f"NDCG@10 of {len(own):,} users (0 to 1)")
    ordered.set(xlabel="users from worst to best (%)", ylabel="NDCG@10")
    gain = own - other
    reach = float(np.quantile(np.abs(gain), 0.99)) or 0.1
    edges = np.linspace(-reach, reach, 42)  # 41 bars: the middle one holds the users without a difference
    count, _ = np.histogram(np.clip(gain, -reach, reach), edges)
    colours = [style.ORANGE] * 20 + [style.GREY] + [style.BLUE] * 20
    paired.bar(edges[:-1], 100 * count / len(gain), width=np.diff(edges), align="edge", color=colours)
    better, worse = 100 * np.mean(gain > 1e-9), 100 * np.mean(gain < -1e-9)
    note(paired, f"worse off\n{worse:.0f} % of users", "top left", color=style.ORANGE)
    note(paired, f"better off\n{better:.0f} % of users", "top right", color=style.BLUE)
    heading(paired, f"Gain of each user, mean {gain.mean():+.4f}")
    paired.set(xlabel="gain in NDCG@10 (outer bars: and beyond)", ylabel="users (%)")
    # A short list is easy to order: the means of users with about as many test items.
    which = np.searchsorted(np.unique(np.quantile(length, [0.2, 0.4, 0.6, 0.8], method="lower")), length)
    groups, ticks = np.unique(which), []
    for group in groups:
        fewest, most = length[which == group].min(), length[which == group].max()
        ticks.append(f"{fewest:.0f}" if fewest == most else f"{fewest:.0f}–{most:.0f}")
    means = np.array([[values[which == group].mean() for group in groups] for values in (other, own)])
    by_length.vlines(range(len(groups)), *means, color=style.GREY, linewidth=1.5)
    by_length.plot(means[0], "s", color=style.GREY, markersize=9)
    by_length.plot(means[1], "o", color=style.BLUE, markersize=10)
    by_length.set_xticks(range(len(groups)), ticks)
    by_length.margins(x=0.12, y=0.3)
    heading(by_length, "NDCG@10 by number of test items")
    by_length.set(xlabel="test items of the user (a fifth of users each)", ylabel="mean NDCG@10")
    note(by_length, "● model", "top right", color=style.BLUE)
    note(by_length, f"■ {name}", "top right", lines=1)
    return figure


def reach_of(errors: Floats) -> tuple[float, bool]:
    """How far from zero errors are drawn, and whether a few of them lie beyond."""
    size = np.abs(errors)
    most = reach = float(size.max())
    for share in (0.995, 0.95):
        within = float(np.quantile(size, share))
        if reach > 3 * within > 0:
            reach = within
    return reach or 1.0, reach < most


def _stretch(axes: Axes, which: Literal["x", "y"], values: Floats) -> None:
    """Make an axis logarithmic beyond a linear part around zero, where the largest of the values dwarf the rest."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    size = np.abs(values[values != 0])
    if len(size) >= _FEW and size.max() > _LONG_TAIL * np.median(size):
        start = float(10 ** np.ceil(np.log10(np.quantile(size, 0.05))))
        (axes.set_xscale if which == "x" else axes.set_yscale)("symlog", linthresh=start, linscale=0.5)
        locator = SymmetricalLogLocator(base=10, linthresh=start)
        locator.set_params(numticks=6)
        axis.set_major_locator(locator)
    elif size.max(initial=0) >= 10_000:
        few_ticks(axis)
    axis.set_major_formatter(tick)


def _density(axes: Axes, x: Floats, y: Floats) -> None:
    """Colour cells by how many points they hold; the cells are of one size on the panel, whatever its scales."""
    edges = []
    for axis, values in ((axes.xaxis, x), (axes.yaxis, y)):
        scale = axis.get_transform()
        ends = np.array([values.min(), values.max()]) if np.ptp(values) else values[0] + np.array([-0.5, 0.5])
        low, high = scale.transform(ends)
        cells = scale.inverted().transform(np.linspace(low, high, 46))
        cells[[0, -1]] = ends
        edges.append(cells)
    axes.use_sticky_edges = False
    axes.hist2d(x, y, edges, cmin=1, norm="log", cmap=style.DENSITY)


def _shape_of(axes: Axes, level: float, values: Floats, width: float) -> None:
    """Draw the predictions of one true value: their shape, middle 50 % and median."""
    if len(values) < _FEW or not np.ptp(values):
        axes.plot(np.full(len(values), level), values, "o", color=style.BLUE, alpha=0.5, markersize=5)
        return
    sample = values[:: -(-len(values) // 20_000)]
    for shape in axes.violinplot(sample, [level], widths=width, showextrema=False)["bodies"]:  # type: ignore[attr-defined]
        shape.set(facecolor=style.BLUE, alpha=0.32)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([level, level], [low, high], color=style.BLUE, linewidth=6, solid_capstyle="butt", zorder=3)
    axes.plot(level, median, "o", color="white", markeredgecolor=style.INK, markersize=6, zorder=4)
