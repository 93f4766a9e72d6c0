"""The pictures of a run, drawn from arrays and tables, never from models.

Each function returns a `matplotlib.figure.Figure` that no global state knows, so that they may be drawn in
any order and in any thread. What is drawn is named beside it, in its colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from kmodels.errors import DataError
from kmodels.report.bar_charts import baseline_bars, metric_bars
from kmodels.report.canvas import (
    BLUE,
    DENSITY,
    INK,
    ORANGE,
    SOFT,
    Floats,
    checked,
    few_ticks,
    heading,
    note,
    panels,
    save,
    short,
    signed,
    tick,
)
from kmodels.report.glossary import describe

__all__ = [
    "baseline_bars",
    "error_histogram",
    "loss_curves",
    "metric_bars",
    "residuals",
    "save",
    "true_vs_predicted",
]

_LEVELS = 12  # more distinct true values than this are drawn as a continuous quantity
_LONG_TAIL = 30.0  # a largest value this many times the median is drawn on a logarithmic axis
_FEW = 20  # fewer values than this are drawn one by one, not as a shape


def loss_curves(history: pd.DataFrame, *, loss_label: str = "loss") -> Figure:
    """Draw training and validation curves by epoch, one panel per quantity, with the best epoch marked.

    Args:
        history: One row per epoch with columns `epoch` and `loss`, and any of `val_loss`, further pairs `x`
            and `val_x`, and `learning_rate`. A quantity without its `val_` partner is drawn alone. The best
            epoch is that of the lowest `val_loss`, of `loss` where there is none.
        loss_label: What the loss is, for its axis.

    Returns:
        The figure.

    Raises:
        DataError: `epoch` or `loss` is missing, or there are no rows.

    Example:
        >>> figure = loss_curves(pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [1.5, 1.2]}))
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['loss']
    """
    for column in ("epoch", "loss"):
        if column not in history:
            raise DataError("the history lacks a column", column=column, received=list(history.columns))
    if history.empty:
        raise DataError("the history has no epochs", expected="one row per epoch")
    names = [name for name in history if name != "epoch" and not str(name).startswith("val_")]
    names.sort(key=lambda name: (name != "loss", name == "learning_rate"))
    ratios = [3.0 if name == "loss" else 1.4 if name == "learning_rate" else 2.0 for name in names]
    figure, all_axes = panels(1.0 + 0.95 * sum(ratios), ratios, share_x=True)
    judge = history["val_loss"] if "val_loss" in history else history["loss"]
    best_epoch = None if judge.isna().all() else int(history["epoch"].iloc[int(np.nanargmin(judge))])
    for axes, name in zip(all_axes, names, strict=True):
        label = {"loss": loss_label, "learning_rate": "learning rate"}.get(str(name), describe(str(name)).label)
        _curves(axes, history, str(name), label)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    heading(all_axes[0], "Training and validation by epoch" if "val_loss" in history else "Training by epoch")
    all_axes[-1].set_xlabel("epoch" if best_epoch is None else f"epoch (dashed: the best, {best_epoch})")
    all_axes[-1].set_xlim(history["epoch"].min() - 0.5, history["epoch"].max() + 0.5)
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def true_vs_predicted(y_true: ArrayLike, y_pred: ArrayLike, *, unit: str = "stars") -> Figure:
    """Draw how predictions spread at each true value.

    Ratings take few values, so a scatter of them is a row of solid bars. Here each true rating has a shape as
    wide as its predictions are frequent, with a bar over the middle half of them and a dot at the median.
    True values of more than twelve kinds are drawn as a density, on logarithmic axes where a few are very large.

    Args:
        y_true: (n,) true values, finite.
        y_pred: (n,) predictions, finite.
        unit: Unit of both.

    Returns:
        The figure.

    Raises:
        DataError: The arrays are empty, differ in length, or hold a value that is not finite.

    Example:
        >>> true_vs_predicted([1, 3, 5, 5], [2.0, 3.1, 4.2, 4.4]).axes[0].get_ylabel()
        'predicted (stars)'
    """
    true, predicted = checked(y_true=y_true, y_pred=y_pred)
    figure, (axes,) = panels(4.6)
    levels = np.unique(true)
    if len(levels) <= _LEVELS:
        step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
        for level in levels:
            _shape_of(axes, float(level), predicted[true == level], 0.42 * step)
        share = [f"{level:g}\n{100 * np.mean(true == level):.0f}%" for level in levels]
        axes.set_xticks(levels, share)
        axes.set_xlabel(f"true ({unit}), and its share of all {len(true):,}")
        note(axes, "bar: middle half · dot: median", (0.985, 0.03), ha="right", va="bottom")
        edge = 0.6 * step
    else:
        stretch = _stretch(true)
        levels, true, predicted = stretch(levels), stretch(true), stretch(predicted)
        axes.hexbin(true, predicted, gridsize=45, mincnt=1, bins="log", cmap=DENSITY, linewidths=0.2)
        axes.set_xlabel(f"true ({unit})")
        note(axes, f"darker: more of the {len(true):,}", (0.985, 0.03), ha="right", va="bottom")
        edge = 0.0
    ends = np.array([levels[0] - edge, levels[-1] + edge])
    axes.plot(ends, ends, color=ORANGE, linewidth=1.6, linestyle=(0, (5, 3)), zorder=1.5)
    note(axes, "dashed: perfect prediction", (0.02, 0.975), color=ORANGE)
    low, high = min(predicted.min(), true.min()), max(predicted.max(), true.max())
    margin = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + 2.5 * margin)
    if len(levels) > _LEVELS:
        _label_stretched(axes.xaxis, stretch)
        _label_stretched(axes.yaxis, stretch)
    axes.set_ylabel(f"predicted ({unit})")
    heading(axes, f"Predicted against true ({unit})")
    return figure


def error_histogram(y_true: ArrayLike, y_pred: ArrayLike, *, unit: str = "stars") -> Figure:
    """Draw how often each error (predicted − true) occurs; where a few are very large, the outer bars hold them.

    Args:
        y_true: (n,) true values, finite.
        y_pred: (n,) predictions, finite.
        unit: Unit of both.

    Returns:
        The figure.

    Raises:
        DataError: The arrays are empty, differ in length, or hold a value that is not finite.

    Example:
        >>> error_histogram([1.0, 4.0, 5.0], [2.0, 3.5, 4.5]).axes[0].get_xlabel()
        'error: predicted − true (stars)'
    """
    true, predicted = checked(y_true=y_true, y_pred=y_pred)
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
    axes.set_xlabel(f"error: predicted − true ({unit})" + ("\nouter bars: and beyond" if beyond else ""))
    axes.xaxis.set_major_formatter(tick)
    axes.set_ylabel(f"share of {len(error):,} (%)")
    heading(axes, f"Distribution of errors ({unit})")
    return figure


def residuals(y_true: ArrayLike, y_pred: ArrayLike, *, unit: str = "stars") -> Figure:
    """Draw the residual (true − predicted) against the prediction, with its mean where predictions are alike.

    A mean line off zero shows where the model is too generous or too strict. Where a few residuals are very large,
    they are drawn at the edge.

    Args:
        y_true: (n,) true values, finite.
        y_pred: (n,) predictions, finite.
        unit: Unit of both.

    Returns:
        The figure.

    Raises:
        DataError: The arrays are empty, differ in length, or hold a value that is not finite.

    Example:
        >>> residuals([1.0, 4.0, 5.0], [2.0, 3.5, 4.5]).axes[0].get_xlabel()
        'predicted (stars)'
    """
    true, predicted = checked(y_true=y_true, y_pred=y_pred)
    residual = true - predicted
    figure, (axes,) = panels(4.3)
    stretch, (reach, beyond) = _stretch(predicted), _reach(residual)
    drawn = np.clip(residual, -reach, reach)
    axes.hexbin(stretch(predicted), drawn, gridsize=(80, 32), mincnt=1, bins="log", cmap=DENSITY, linewidths=0.2)
    axes.axhline(0, color=INK, linewidth=1)
    # Bins of equal count, so that no point of the line rests on a handful of ratings.
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
    axes.set_xlabel(f"predicted ({unit})")
    axes.set_ylabel(f"residual: true − predicted ({unit})" + ("\nedges: and beyond" if beyond else ""))
    heading(axes, f"Residual against prediction ({unit})")
    return figure


def _curves(axes: Axes, history: pd.DataFrame, name: str, label: str) -> None:
    """Draw one quantity, and its validation beside it, named at the right end of each line."""
    epoch = history["epoch"].to_numpy(dtype=float)
    marker = "o" if len(epoch) <= 40 else None
    lines = [(name, "train", BLUE), (f"val_{name}", "validation", ORANGE)]
    if f"val_{name}" not in history:
        lines = [(name, "", SOFT if name == "learning_rate" else BLUE)]
    drawn = []
    ends = np.concatenate([history[column].to_numpy(dtype=float) for column, *_ in lines])
    # The names stand where a curve that ends high, or low, leaves room.
    known = ends[np.isfinite(ends)]
    rising = len(known) > 0 and np.isfinite(ends[-1]) and ends[-1] > (known.min() + known.max()) / 2
    at, va = ((0.99, 0.03), "bottom") if rising else ((0.99, 0.97), "top")
    for column, text, colour in lines:
        values = history[column].to_numpy(dtype=float)
        axes.plot(epoch, values, color=colour, linewidth=2, marker=marker, markersize=3.5)
        drawn.append(values[np.isfinite(values)])
        if text:
            down = int(column != name) - int(rising)
            note(axes, text, at, color=colour, ha="right", va=va, lines_down=down)  # type: ignore[arg-type]
    values = np.concatenate(drawn)
    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
    axes.set_ylabel(label)


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
    places = stretch(values)
    seen = (places >= low) & (places <= high)
    axis.set_ticks(places[seen].tolist(), [tick(value) for value in values[seen]])


def _shape_of(axes: Axes, level: float, values: Floats, half_width: float) -> None:
    """Draw the predictions of one true rating: their shape, middle half and median."""
    if len(values) < _FEW:
        axes.plot(np.full(len(values), level), values, "o", color=BLUE, alpha=0.5, markersize=5)
        return
    bins = int(np.clip(2 * np.cbrt(len(values)), 8, 60))
    count, edges = np.histogram(values, bins=bins)
    # The outline is closed at both ends and smoothed over three bins: it shows a density, not single counts.
    outline = np.convolve(np.pad(count, 1), [0.25, 0.5, 0.25], mode="same")
    middle = np.r_[edges[0], (edges[:-1] + edges[1:]) / 2, edges[-1]]
    width = half_width * outline / outline.max()
    axes.fill_betweenx(middle, level - width, level + width, color=BLUE, alpha=0.32, linewidth=0, zorder=2)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([level, level], [low, high], color=BLUE, linewidth=6, solid_capstyle="butt", zorder=3)
    axes.plot(level, median, "o", color="white", markeredgecolor=INK, markersize=6, zorder=4)
