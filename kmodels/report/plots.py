"""The pictures of a run, drawn from arrays and tables, never from models.

Each function returns a `matplotlib.figure.Figure` that no global state knows, so that they may be drawn in
any order and in any thread. What is drawn is named beside it, in its colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from kmodels.errors import DataError
from kmodels.report.canvas import (
    BLUE,
    DENSITY,
    GREY,
    INK,
    ORANGE,
    SOFT,
    TEXT,
    Floats,
    checked,
    heading,
    note,
    panels,
    save,
)
from kmodels.report.glossary import Better, describe

__all__ = [
    "baseline_bars",
    "error_histogram",
    "loss_curves",
    "per_user_ranking",
    "residuals",
    "save",
    "true_vs_predicted",
]

_LEVELS = 12  # more distinct true values than this are drawn as a continuous quantity
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
    True values of more than twelve kinds are drawn as a density.

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
    axes.set_ylabel(f"predicted ({unit})")
    heading(axes, f"Predicted against true ({unit})")
    return figure


def error_histogram(y_true: ArrayLike, y_pred: ArrayLike, *, unit: str = "stars") -> Figure:
    """Draw how often each error (predicted − true) occurs.

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
    reach = float(np.abs(error).max()) or 1.0
    bins = int(np.clip(2 * np.cbrt(len(error)), 9, 61)) // 2 * 2 + 1  # odd, so that one bar stands on zero
    edges, share = np.linspace(-reach, reach, bins + 1).tolist(), np.full(len(error), 100 / len(error))
    axes.hist(error, bins=edges, weights=share, color=BLUE, edgecolor="white", linewidth=0.4)
    axes.axvspan(-rmse, rmse, color=ORANGE, alpha=0.13, linewidth=0, zorder=0.5)
    axes.axvline(0, color=INK, linewidth=1)
    within = 100 * float(np.mean(np.abs(error) <= rmse))
    note(axes, f"shaded: ± RMSE {rmse:.3f}\n{within:.0f} % lie inside", (0.02, 0.97), color=ORANGE)
    note(axes, f"mean error\n{mean:+.3f}".replace("-", "−"), (0.98, 0.97), ha="right")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    axes.set_xlabel(f"error: predicted − true ({unit})")
    axes.set_ylabel(f"share of {len(error):,} (%)")
    heading(axes, f"Distribution of errors ({unit})")
    return figure


def residuals(y_true: ArrayLike, y_pred: ArrayLike, *, unit: str = "stars") -> Figure:
    """Draw the residual (true − predicted) against the prediction, with its mean where predictions are alike.

    A mean line off zero shows where the model is too generous or too strict.

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
    axes.hexbin(predicted, residual, gridsize=(80, 32), mincnt=1, bins="log", cmap=DENSITY, linewidths=0.2)
    axes.axhline(0, color=INK, linewidth=1)
    # Bins of equal count, so that no point of the line rests on a handful of ratings.
    bins = int(np.clip(len(predicted) // 200, 1, 20))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)))
    which = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(which)
    kept = count > 0
    centre = np.bincount(which, predicted)[kept] / count[kept]
    mean = np.bincount(which, residual)[kept] / count[kept]
    axes.plot(centre, mean, color="white", linewidth=6)
    axes.plot(centre, mean, color=ORANGE, linewidth=2.6, marker="o" if len(mean) == 1 else None)
    note(axes, "line: mean residual", (0.02, 0.97), color=ORANGE)
    note(axes, "above 0: predicted too low", (0.98, 0.97), ha="right")
    note(axes, f"darker: more of the {len(true):,}", (0.98, 0.03), ha="right", va="bottom")
    spread = 0.16 * float(np.ptp(residual)) or 1.0
    axes.set_ylim(float(residual.min()) - spread, float(residual.max()) + spread)
    axes.set_xlabel(f"predicted ({unit})")
    axes.set_ylabel(f"residual: true − predicted ({unit})")
    heading(axes, f"Residual against prediction ({unit})")
    return figure


def per_user_ranking(
    ndcg_per_user: ArrayLike,
    baseline_per_user: ArrayLike,
    n_items_per_user: ArrayLike,
    *,
    baseline: str = "baseline",
) -> Figure:
    """Draw each user's NDCG@10, model beside a baseline: sorted, paired, and by the length of the list.

    Args:
        ndcg_per_user: (users,) NDCG@10 of the model, 0 to 1; NaN where a user has none.
        baseline_per_user: (users,) the same of the baseline, users in the same order.
        n_items_per_user: (users,) number of test items each list ranks.
        baseline: Name of the baseline.

    Returns:
        The figure, of three panels. Users with NaN in either take no part.

    Raises:
        DataError: The arrays differ in length, or no user has both values.

    Example:
        >>> figure = per_user_ranking([0.9, 0.7, 1.0], [0.8, 0.75, 1.0], [5, 20, 3], baseline="biases")
        >>> len(figure.axes)
        3
    """
    model, other = np.asarray(ndcg_per_user, float), np.asarray(baseline_per_user, float)
    known = np.isfinite(model) & np.isfinite(other) if model.shape == other.shape else slice(None)
    items = np.asarray(n_items_per_user, float)
    if items.shape == model.shape:
        items = items[known]
    model, other, items = checked(ndcg_per_user=model[known], baseline_per_user=other[known], n_items_per_user=items)
    figure, (sorted_axes, paired_axes, length_axes) = panels(9.6, [3.2, 2.6, 3.0])
    share = 100 * (np.arange(len(model)) + 0.5) / len(model)
    sorted_axes.plot(share, np.sort(other), color=GREY, linewidth=2.4)
    sorted_axes.plot(share, np.sort(model), color=BLUE, linewidth=2.4)
    note(sorted_axes, f"model, mean {model.mean():.4f}", (0.98, 0.18), color=BLUE, ha="right", va="bottom")
    note(sorted_axes, f"{baseline}, mean {other.mean():.4f}", (0.98, 0.05), color=SOFT, ha="right", va="bottom")
    heading(sorted_axes, f"NDCG@10 of {len(model):,} users (0 to 1)")
    sorted_axes.set_xlabel("users from worst to best (%)")
    sorted_axes.set_ylabel("NDCG@10")
    _paired(paired_axes, model - other)
    _by_length(length_axes, model, other, items)
    return figure


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
        bar.set_facecolor(BLUE if name == model else "#C3C9D1")
        gap = "" if name == model else f"  ({known[name] - known[model]:+.3f})"
        look: dict[str, Any] = {"textcoords": "offset points", "fontsize": TEXT - 1, "color": INK}
        axes.annotate(f"{known[name]:.3f}{gap}", (max(known[name], 0.0), row), (5, 0), va="center", **look)
        # The name stands above its bar, not left of it: on a phone the bars then have the whole width.
        axes.annotate(name, (0, row - 0.24), (2, 2), weight="bold" if name == model else "normal", **look)
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.8)
    axes.set_xlim(min(0.0, 1.2 * min(known.values())), max(1.4 * max(known.values()), 1e-6))
    named = f"{metric} ({unit})" if unit else metric
    axes.set_xlabel(f"{named}, {better} is better")
    heading(axes, f"{named} on the test ratings" if unit == "stars" else f"{named} on the test split")
    return figure


def _curves(axes: Axes, history: pd.DataFrame, name: str, label: str) -> None:
    """Draw one quantity, and its validation beside it, named at the right end of each line."""
    epoch = history["epoch"].to_numpy(dtype=float)
    marker = "o" if len(epoch) <= 40 else None
    lines = [(name, "train", BLUE), (f"val_{name}", "validation", ORANGE)]
    if f"val_{name}" not in history:
        lines = [(name, "", SOFT if name == "learning_rate" else BLUE)]
    drawn = []
    for column, text, colour in lines:
        values = history[column].to_numpy(dtype=float)
        axes.plot(epoch, values, color=colour, linewidth=2, marker=marker, markersize=3.5)
        drawn.append(values[np.isfinite(values)])
        if text:
            note(axes, text, (0.99, 0.97), color=colour, ha="right", lines_down=int(column != name))
    values = np.concatenate(drawn)
    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
    axes.set_ylabel(label)


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


def _paired(axes: Axes, gain: Floats) -> None:
    """Draw the paired differences, and say what share of the users is better and worse off."""
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
    axes.set_xlabel("gain in NDCG@10 (outer bars: and beyond)")
    axes.set_ylabel("users (%)")


def _by_length(axes: Axes, model: Floats, other: Floats, items: Floats) -> None:
    """Draw the means for users with short and long lists: a short list is easy to order."""
    edges = np.unique(np.quantile(items, [0.2, 0.4, 0.6, 0.8], method="lower"))
    which = np.searchsorted(edges, items)
    groups = np.unique(which)
    ticks = []
    for place, group in enumerate(groups):
        chosen = which == group
        fewest, most = int(items[chosen].min()), int(items[chosen].max())
        ticks.append(f"{fewest}" if fewest == most else f"{fewest}–{most}")
        axes.plot([place, place], [other[chosen].mean(), model[chosen].mean()], color=GREY, linewidth=1.5)
        axes.plot(place, other[chosen].mean(), "s", color=GREY, markersize=9)
        axes.plot(place, model[chosen].mean(), "o", color=BLUE, markersize=10)
    axes.set_xticks(range(len(groups)), ticks)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    heading(axes, "NDCG@10 by number of test items")
    axes.set_xlabel("test items of the user (a fifth of users each)")
    axes.set_ylabel("mean NDCG@10")
    note(axes, "● model", (0.98, 0.97), color=BLUE, ha="right")
    note(axes, "■ baseline", (0.98, 0.97), color=SOFT, ha="right", lines_down=1)
