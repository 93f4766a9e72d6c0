"""Predicted amounts against true ones, their errors, and a ranking user by user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.report.style import (
    BLUE,
    DASHED,
    DENSITY,
    GREY,
    INK,
    ORANGE,
    SOFT,
    Floats,
    checked,
    few_ticks,
    heading,
    note,
    panels,
    short,
    signed,
    tick,
)

_LEVELS = 12  # more distinct true values than this are drawn as a continuous quantity
_LONG_TAIL = 30.0  # a largest value this many times the median is drawn on a logarithmic axis
_FEW = 20  # fewer values than this are drawn one by one, not as a shape


def predictions(true: ArrayLike, predicted: ArrayLike, unit: str = "") -> Figure:
    """Draw predictions against true values.

    Of at most twelve distinct true values each has a shape as wide as its predictions are frequent, with a bar over
    the middle 50 % and a dot at the median. More are drawn as a density, on logarithmic axes where a few are large.

    Args:
        true: (n,) true values, finite.
        predicted: (n,) predictions, finite.
        unit: Unit of both, or "" (default).

    Example:
        >>> predictions([1, 3, 5, 5], [2.0, 3.1, 4.2, 4.4], "USD").axes[0].get_ylabel()
        'predicted (USD)'
    """
    true, predicted = checked(true=true, predicted=predicted)
    figure, (axes,) = panels(4.6)
    levels = np.unique(true)
    if len(levels) <= _LEVELS:
        step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
        for level in levels:
            _shape_of(axes, float(level), predicted[true == level], 0.42 * step)
        axes.set_xticks(levels, [f"{level:g}\n{100 * np.mean(true == level):.0f}%" for level in levels])
        axes.set_xlabel(f"{_with_unit('true', unit)}, and its share of all {len(true):,}")
        note(axes, "bar: middle 50 % · dot: median", (0.985, 0.03), ha="right", va="bottom")
        edge = 0.6 * step
    else:
        stretch = _stretch(true)
        levels, true, predicted = stretch(levels), stretch(true), stretch(predicted)
        axes.hexbin(true, predicted, gridsize=45, mincnt=1, bins="log", cmap=DENSITY, linewidths=0.2)
        axes.set_xlabel(_with_unit("true", unit))
        note(axes, f"darker: more of the {len(true):,}", (0.985, 0.03), ha="right", va="bottom")
        edge = 0.0
    ends = np.array([levels[0] - edge, levels[-1] + edge])
    axes.plot(ends, ends, color=ORANGE, linewidth=1.6, linestyle=DASHED, zorder=1.5)
    note(axes, "dashed: perfect prediction", (0.02, 0.975), color=ORANGE)
    low, high = min(predicted.min(), true.min()), max(predicted.max(), true.max())
    margin = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + 2.5 * margin)
    if len(levels) > _LEVELS:
        _label_stretched(axes.xaxis, stretch)
        _label_stretched(axes.yaxis, stretch)
    axes.set_ylabel(_with_unit("predicted", unit))
    heading(axes, _with_unit("Predicted against true", unit))
    return figure


def error_histogram(true: ArrayLike, predicted: ArrayLike, unit: str = "") -> Figure:
    """Draw how often each error (predicted − true) occurs; where a few are very large, the outer bars hold them.

    Args:
        true: As `predictions` takes it.
        predicted: As `predictions` takes it.
        unit: Unit of both, or "" (default).
    """
    true, predicted = checked(true=true, predicted=predicted)
    error = predicted - true
    rmse, mean = float(np.sqrt(np.mean(error**2))), float(error.mean())
    figure, (axes,) = panels(3.9)
    reach, beyond = _reach(error)
    bins = int(np.clip(2 * np.cbrt(len(error)), 9, 61)) // 2 * 2 + 1  # odd, so that one bar stands on zero
    edges, share = np.linspace(-reach, reach, bins + 1).tolist(), np.full(len(error), 100 / len(error))
    axes.hist(np.clip(error, -reach, reach), bins=edges, weights=share, color=BLUE, edgecolor="white", linewidth=0.4)
    limits = axes.get_xlim()
    axes.axvspan(-rmse, rmse, color=ORANGE, alpha=0.13, linewidth=0, zorder=0.5)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlim(limits)
    within = 100 * float(np.mean(np.abs(error) <= rmse))
    note(axes, f"shaded: ± RMSE {short(rmse)}\n{within:.0f} % lie inside", (0.02, 0.97), color=ORANGE)
    note(axes, f"mean error\n{signed(mean)}", (0.98, 0.97), ha="right")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    axes.set_xlabel(_with_unit("error: predicted − true", unit) + ("\nouter bars: and beyond" if beyond else ""))
    axes.xaxis.set_major_formatter(tick)
    axes.set_ylabel(f"share of {len(error):,} (%)")
    heading(axes, _with_unit("Distribution of errors", unit))
    return figure


def residuals(true: ArrayLike, predicted: ArrayLike, unit: str = "") -> Figure:
    """Draw the residual (true − predicted) against the prediction, with its mean where predictions are alike.

    Args:
        true: As `predictions` takes it.
        predicted: As `predictions` takes it.
        unit: Unit of both, or "" (default).

    Returns:
        The figure. Where a few residuals are very large, they are drawn at the edge.
    """
    true, predicted = checked(true=true, predicted=predicted)
    residual = true - predicted
    figure, (axes,) = panels(4.3)
    stretch, (reach, beyond) = _stretch(predicted), _reach(residual)
    drawn = np.clip(residual, -reach, reach)
    axes.hexbin(stretch(predicted), drawn, gridsize=(80, 32), mincnt=1, bins="log", cmap=DENSITY, linewidths=0.2)
    axes.axhline(0, color=INK, linewidth=1)
    # Bins of equal count, so that no point of the line rests on a handful of rows.
    bins = int(np.clip(len(predicted) // 200, 1, 20))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)))
    which = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(which)
    kept = count > 0
    centre = stretch(np.bincount(which, predicted)[kept] / count[kept])
    mean = np.clip(np.bincount(which, residual)[kept] / count[kept], -reach, reach)
    axes.plot(centre, mean, color="white", linewidth=6)
    axes.plot(centre, mean, color=ORANGE, linewidth=2.6, marker="o" if len(mean) == 1 else None)
    note(axes, "line: mean residual", (0.02, 0.97), color=ORANGE)
    note(axes, "above 0: predicted too low", (0.98, 0.97), ha="right")
    note(axes, f"darker: more of the {len(true):,}", (0.98, 0.03), ha="right", va="bottom")
    spread = 0.16 * float(np.ptp(drawn)) or 1.0
    axes.set_ylim(float(drawn.min()) - spread, float(drawn.max()) + spread)
    _label_stretched(axes.xaxis, stretch)
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(_with_unit("predicted", unit))
    axes.set_ylabel(_with_unit("residual: true − predicted", unit) + ("\nedges: and beyond" if beyond else ""))
    heading(axes, _with_unit("Residual against prediction", unit))
    return figure


def per_user_ranking(
    model: ArrayLike, baseline: ArrayLike, items: ArrayLike, *, name: str = "baseline", metric: str = "NDCG@10"
) -> Figure:
    """Draw a ranking metric user by user, model and baseline: sorted, paired, and by the length of the list.

    Args:
        model: (users,) the model's value, 0 to 1; NaN where a user has none.
        baseline: (users,) the baseline's, users in the same order.
        items: (users,) number of test items each list ranks.
        name: Name of the baseline.
        metric: What the values are. Default "NDCG@10".

    Returns:
        The figure, of three panels. Users with NaN in either take no part.
    """
    own, other, length = (np.asarray(values, float) for values in (model, baseline, items))
    if own.shape == other.shape == length.shape:
        known = np.isfinite(own) & np.isfinite(other)
        own, other, length = own[known], other[known], length[known]
    own, other, length = checked(model=own, baseline=other, items=length)
    figure, (sorted_axes, paired_axes, length_axes) = panels(9.6, [3.2, 2.6, 3.0])
    share = 100 * (np.arange(len(own)) + 0.5) / len(own)
    sorted_axes.plot(share, np.sort(other), color=GREY, linewidth=2.4)
    sorted_axes.plot(share, np.sort(own), color=BLUE, linewidth=2.4)
    note(sorted_axes, f"model, mean {own.mean():.4f}", (0.98, 0.18), color=BLUE, ha="right", va="bottom")
    note(sorted_axes, f"{name}, mean {other.mean():.4f}", (0.98, 0.05), color=SOFT, ha="right", va="bottom")
    heading(sorted_axes, f"{metric} of {len(own):,} users (0 to 1)")
    sorted_axes.set_xlabel("users from worst to best (%)")
    sorted_axes.set_ylabel(metric)
    _gains(paired_axes, own - other, metric)
    _by_length(length_axes, own, other, length, metric)
    return figure


def _gains(axes: Axes, gain: Floats, metric: str) -> None:
    reach = float(np.quantile(np.abs(gain), 0.99)) or 0.1
    edges = np.linspace(-reach, reach, 42)  # 41 bars: the middle one holds the users without a difference
    share = np.full(len(gain), 100 / len(gain))
    _, _, bars = axes.hist(np.clip(gain, -reach, reach), bins=edges.tolist(), weights=share)
    for bar, centre in zip(bars, (edges[:-1] + edges[1:]) / 2, strict=True):  # type: ignore[arg-type]
        near_zero = abs(centre) < reach / 41
        bar.set_facecolor(GREY if near_zero else BLUE if centre > 0 else ORANGE)
    better, worse = 100 * np.mean(gain > 1e-9), 100 * np.mean(gain < -1e-9)
    note(axes, f"worse off\n{worse:.0f} % of users", (0.02, 0.97), color=ORANGE)
    note(axes, f"better off\n{better:.0f} % of users", (0.98, 0.97), color=BLUE, ha="right")
    heading(axes, f"Gain of each user, mean {gain.mean():+.4f}")
    axes.set_xlabel(f"gain in {metric} (outer bars: and beyond)")
    axes.set_ylabel("users (%)")


def _by_length(axes: Axes, model: Floats, other: Floats, items: Floats, metric: str) -> None:
    """Draw the means for users with short and long lists: a short list is easy to order."""
    edges = np.unique(np.quantile(items, [0.2, 0.4, 0.6, 0.8], method="lower"))
    which = np.searchsorted(edges, items)
    groups = np.unique(which)
    ticks = []
    for index, group in enumerate(groups):
        chosen = which == group
        fewest, most = int(items[chosen].min()), int(items[chosen].max())
        ticks.append(f"{fewest}" if fewest == most else f"{fewest}–{most}")
        axes.plot([index, index], [other[chosen].mean(), model[chosen].mean()], color=GREY, linewidth=1.5)
        axes.plot(index, other[chosen].mean(), "s", color=GREY, markersize=9)
        axes.plot(index, model[chosen].mean(), "o", color=BLUE, markersize=10)
    axes.set_xticks(range(len(groups)), ticks)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    heading(axes, f"{metric} by number of test items")
    axes.set_xlabel("test items of the user (a fifth of users each)")
    axes.set_ylabel(f"mean {metric}")
    note(axes, "● model", (0.98, 0.97), color=BLUE, ha="right")
    note(axes, "■ baseline", (0.98, 0.97), color=SOFT, ha="right", lines_down=1)


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit else text


def _reach(errors: Floats) -> tuple[float, bool]:
    """Say how far from zero errors are drawn, and whether a few of them lie beyond."""
    size = np.abs(errors)
    most = reach = float(size.max())
    for share in (0.995, 0.95):
        within = float(np.quantile(size, share))
        if reach > 3 * within > 0:
            reach = within
    return reach or 1.0, reach < most


@dataclass(frozen=True)
class _Stretch:
    """A scale that is linear up to `start` on both sides of zero and logarithmic beyond; linear if None."""

    start: float | None

    def __call__(self, values: Floats) -> Floats:
        return values if self.start is None else np.sign(values) * np.log10(1 + np.abs(values) / self.start)


def _stretch(values: Floats) -> _Stretch:
    """Choose the scale on which values are drawn: logarithmic where the largest dwarf the rest."""
    size = np.abs(values[values != 0])
    if len(size) < _FEW or size.max() < _LONG_TAIL * np.median(size):
        return _Stretch(None)
    return _Stretch(float(10 ** np.floor(np.log10(np.quantile(size, 0.05)))))


def _label_stretched(axis: XAxis | YAxis, stretch: _Stretch) -> None:
    """Label an axis of stretched values with the values themselves: zero and powers of ten."""
    if stretch.start is None:
        axis.set_major_formatter(tick)
        if np.abs(axis.get_view_interval()).max() >= 10_000:
            few_ticks(axis)
        return
    low, high = axis.get_view_interval()
    powers = stretch.start * 10.0 ** np.arange(1, np.ceil(max(-low, high)) + 1)
    powers = powers[:: int(np.ceil(len(powers) / 5))]
    values = np.concatenate([-powers[::-1], [0.0], powers])
    positions = stretch(values)
    inside = (positions >= low) & (positions <= high)
    axis.set_ticks(positions[inside].tolist(), [tick(value) for value in values[inside]])


def _shape_of(axes: Axes, level: float, values: Floats, half_width: float) -> None:
    """Draw the predictions of one true value: their shape, middle 50 % and median."""
    if len(values) < _FEW:
        axes.plot(np.full(len(values), level), values, "o", color=BLUE, alpha=0.5, markersize=5)
        return
    bins = int(np.clip(2 * np.cbrt(len(values)), 8, 60))
    count, edges = np.histogram(values, bins=bins)
    # The outline is closed at both ends and smoothed over three bins: it is a density, not single counts.
    outline = np.convolve(np.pad(count, 1), [0.25, 0.5, 0.25], mode="same")
    middle = np.r_[edges[0], (edges[:-1] + edges[1:]) / 2, edges[-1]]
    width = half_width * outline / outline.max()
    axes.fill_betweenx(middle, level - width, level + width, color=BLUE, alpha=0.32, linewidth=0, zorder=2)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([level, level], [low, high], color=BLUE, linewidth=6, solid_capstyle="butt", zorder=3)
    axes.plot(level, median, "o", color="white", markeredgecolor=INK, markersize=6, zorder=4)
