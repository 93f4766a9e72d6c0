"""Curves: quantities by epoch, and a classifier's curves over all thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn import metrics

from kmodels.errors import DataError
from kmodels.report import style
from kmodels.report.metrics import Better, best, describe
from kmodels.report.style import Look, heading, is_wide, legend_below, note, panels, short

_NAMED = 16  # more classes than this share one colour and one name


def learning_curves(
    histories: pd.DataFrame | Mapping[str, pd.DataFrame],
    column: str = "loss",
    label: str | None = None,
    *,
    also: Sequence[str] = (),
) -> Figure:
    """Draw a quantity by epoch, training and validation.

    Args:
        histories: One row per epoch, with `epoch`, the column and perhaps `val_` + column; or such a table by model.
        column: The quantity. Default "loss".
        label: What it is, for the axis. Default None: the label of the metric.
        also: Of a single history, further columns, a panel each; those it lacks are left out.

    Returns:
        The figure. A single history: both curves in one panel, the best epoch on validation marked, and the learning
        rate below where it is known. Several: training above, validation below, on one scale, and a legend from best
        to worst with each one's best value.

    Example:
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [1.5, 1.2]})
        >>> learning_curves(history).axes[0].get_xlabel()
        'epoch (dashed: the best, 2)'
        >>> [text.get_text() for text in learning_curves({"a": history, "b": history / 2}).legends[0].get_texts()]
        ['b  0.600', 'a  1.200']
    """
    tables = {"": histories} if isinstance(histories, pd.DataFrame) else histories
    for name, history in tables.items():
        if not {"epoch", column} <= set(history) or history.empty:
            raise DataError("a history lacks a column or rows", column=column, received=f"{name} {list(history)}")
    label = describe(column).label if label is None else label
    if isinstance(histories, pd.DataFrame):
        return _one_history(histories, column, label, also)
    return _many_histories(histories, column, label)


def class_curves(
    true: ArrayLike, probability: ArrayLike, labels: Sequence[str], kind: Literal["roc", "precision_recall"] = "roc"
) -> Figure:
    """Draw the curve of class 1 of two, else of each class with rows against the rest; its area is in the legend."""
    truth, share = np.asarray(true), np.asarray(probability, dtype=np.float64)
    if share.shape != (shape := (len(truth), len(labels))):
        raise DataError("wrong shape", column="probability", expected=str(shape), received=share.shape)
    figure, (axes,) = panels(4.6)
    classes = [1] if len(labels) == 2 else range(len(labels))
    classes = [each for each in classes if 0 < (truth == each).sum() < len(truth)]
    if not classes:
        note(axes, "no curve: all rows are of one class", "top left")
    found = []
    for index, each in enumerate(classes):
        positive, scores = truth == each, share[:, each]
        look: Look = style.line(index) if len(classes) <= _NAMED else {"color": style.GREY}
        if kind == "roc":
            x, y, _ = metrics.roc_curve(positive, scores)
            area = metrics.auc(x, y)
        else:
            y, x, _ = metrics.precision_recall_curve(positive, scores, drop_intermediate=True)
            area, look = metrics.average_precision_score(positive, scores), {"drawstyle": "steps-post", **look}
        (line,) = axes.plot(x, y, **look)
        found.append((float(area), labels[each], line))
    found.sort(key=lambda each: -each[0])
    texts = [f"{name}  {area:.3f}" for area, name, _ in found]
    if len(found) > _NAMED:
        texts = [f"{len(found)} classes, best {found[0][0]:.3f} ({found[0][1]}), worst {texts[-1]}"]
    legend_below(figure, [line for *_, line in found][: len(texts)], texts)
    axes.set(aspect="auto", xlim=(-0.015, 1.015), ylim=(-0.015, 1.05))
    if kind == "roc":
        axes.plot([0, 1], [0, 1], **style.dashed(style.GREY))
        note(axes, "dashed: guessing", "bottom right")
        axes.set(xlabel="share of the others taken for it", ylabel="share of the class found")
        heading(axes, "ROC (area under the curve below)")
        return figure
    if len(labels) == 2:
        base = float(np.mean(truth == 1))
        axes.axhline(base, **style.dashed(style.ORANGE))
        note(axes, f"dashed: guessing, {base:.3f}", "bottom left", color=style.ORANGE)
    axes.set(xlabel="recall: share of the class found", ylabel="precision: share right")
    heading(axes, "Precision and recall (average below)")
    return figure


def calibration_curve(calibration: pd.DataFrame) -> Figure:
    """Draw `classification.calibration`: accuracy by confidence with Wilson's intervals (1927), and the bands' rows."""
    confidence, accuracy, count = (calibration[name].to_numpy(float) for name in ("confidence", "accuracy", "count"))
    figure, (axes, below) = panels(5.2, [3.0, 1.2], sharex=True)
    low = max(0.0, float(confidence.min()) - 0.06)
    axes.plot([low, 1], [low, 1], **style.dashed(style.ORANGE))
    axes.plot(confidence, accuracy, color=style.BLUE, linewidth=2.2, marker="o", markersize=7)
    for at, share, rows in zip(confidence, accuracy, count, strict=True):
        interval = binomtest(round(share * rows), int(rows)).proportion_ci(method="wilson")
        axes.vlines(at, *interval, color=style.BLUE, alpha=0.45, linewidth=3)
    below.bar(confidence, 100 * count / count.sum(), width=0.6 * (1 - low) / max(len(count), 4), color=style.BLUE)
    axes.set(ylim=(-0.03, 1.14), ylabel="share right")
    below.set(xlim=(low, 1.02), ylabel="rows (%)", xlabel="confidence: probability of the predicted class")
    heading(axes, "Accuracy by confidence")
    note(axes, "dashed: perfectly calibrated\nbelow it: overconfident", "top left", color=style.ORANGE)
    note(axes, "bar: 95 % interval", "bottom right", color=style.BLUE, lines=1)
    error = float((count * np.abs(confidence - accuracy)).sum() / count.sum())
    note(axes, f"calibration error {error:.3f}", "bottom right")
    return figure


def _one_history(history: pd.DataFrame, column: str, label: str, also: Sequence[str]) -> Figure:
    labels = {column: label} | {name: describe(name).label for name in also if name in history}
    if "learning_rate" in history:
        labels["learning_rate"] = "learning rate"
    ratios = [3.0 if name == column else 1.4 if name == "learning_rate" else 2.0 for name in labels]
    figure, stack = panels(1.0 + 0.95 * sum(ratios), ratios, sharex=True)
    row = _best_row(history.get(f"val_{column}", history[column]), describe(column).better or "lower")
    for axes, (name, text) in zip(stack, labels.items(), strict=True):
        parts = {"train": name, "validation": f"val_{name}"} if f"val_{name}" in history else {"": name}
        for colour, (part, each) in zip((style.BLUE, style.ORANGE), parts.items(), strict=False):
            look: Look = {"color": style.SOFT if name == "learning_rate" else colour, "linewidth": 2, "label": part}
            axes.plot(history["epoch"], history[each], marker="o" if len(history) <= 40 else "", markersize=3.5, **look)
        if len(parts) > 1:
            axes.legend(fontsize=style.TEXT - 1, frameon=False, labelcolor="linecolor")
        if is_wide(history[list(parts.values())]):
            axes.set_yscale("log")
        axes.set_ylabel(text)
        if row is not None:
            axes.axvline(history["epoch"].iloc[row], zorder=1, **style.dashed(style.SOFT))
    heading(stack[0], "Training and validation by epoch" if f"val_{column}" in history else "Training by epoch")
    _label_epochs(stack[-1], "epoch" if row is None else f"epoch (dashed: the best, {history['epoch'].iloc[row]:.0f})")
    return figure


def _many_histories(histories: Mapping[str, pd.DataFrame], column: str, label: str) -> Figure:
    both = all(f"val_{column}" in history for history in histories.values())
    compared, better = f"val_{column}" if both else column, describe(column).better or "lower"
    drawn = [column, compared] if both else [column]
    figure, stack = panels(2.8 * len(drawn) + 0.2 * len(histories), [1.0] * len(drawn), sharex=True, sharey=True)
    worst, handles, values = np.inf if better == "lower" else -np.inf, {}, {}
    for index, (name, history) in enumerate(histories.items()):
        for axes, each in zip(stack, drawn, strict=True):
            (handles[name],) = axes.plot(history["epoch"], history[each], label=name, **style.line(index))
        row = _best_row(history[compared], better)
        values[name] = worst if row is None else float(history[compared].iloc[row])
        if row is not None:
            stack[-1].plot(history["epoch"].iloc[row], values[name], "o", color=style.PALETTE[index % 8])
    heading(stack[0], "Training, by epoch" + ("" if both else " (dot: the best)"))
    if both:
        heading(stack[-1], "Validation, by epoch (dot: the best)")
    for axes in stack:
        axes.set_ylabel(label)
    _label_epochs(stack[-1], "epoch")
    if is_wide(np.concatenate([history[drawn].to_numpy(float).ravel() for history in histories.values()])):
        stack[-1].set_yscale("log")
    order = sorted(values, key=lambda name: values[name], reverse=better == "higher")
    texts = [f"{name}  {short(values[name])}" if np.isfinite(values[name]) else name for name in order]
    legend_below(figure, [handles[name] for name in order], texts)
    return figure


def _label_epochs(axes: Axes, text: str) -> None:
    axes.set_xlabel(text)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _best_row(values: pd.Series, better: Better) -> int | None:
    row = best({str(row): float(value) for row, value in enumerate(values)}, better)
    return None if row is None else int(row)
