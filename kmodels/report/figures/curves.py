"""Curves: quantities by epoch, and a classifier's curves over all thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from sklearn import metrics

from kmodels.errors import DataError
from kmodels.report.metrics import Better, best, describe
from kmodels.report.style import (
    BLUE,
    DASHED,
    GREY,
    ORANGE,
    PALETTE,
    SOFT,
    STYLES,
    Floats,
    heading,
    legend_below,
    note,
    panels,
    short,
)

_POINTS = 2000  # a curve of more points looks the same and takes longer to draw
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
    tables = {"": histories} if isinstance(histories, pd.DataFrame) else dict(histories)
    if not tables:
        raise DataError("there is no history to draw", expected="at least one")
    for name, history in tables.items():
        where = f"the history of {name}" if name else "the history"
        for needed in ("epoch", column):
            if needed not in history:
                raise DataError(f"{where} lacks a column", column=needed, received=list(history.columns))
        if history.empty:
            raise DataError(f"{where} has no epochs", expected="one row per epoch")
    label = describe(column).label if label is None else label
    if isinstance(histories, pd.DataFrame):
        return _one_history(histories, column, label, also)
    return _many_histories(tables, column, label)


def by_class(
    true: ArrayLike, probability: ArrayLike, labels: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split a classifier into yes-or-no problems for `roc_curves` and `precision_recall`.

    Args:
        true: (rows,) true classes, integers from 0.
        probability: (rows, classes), of two classes or more; any finite scores that order the rows will do.
        labels: Name of each class, in order.

    Returns:
        Class 1 of two classes, else each class against the rest: name -> (true or false, score). Classes without rows,
        or with all rows, are left out.

    Example:
        >>> list(by_class([0, 1], [[0.9, 0.1], [0.2, 0.8]], ["no", "yes"]))
        ['yes']
    """
    truth, share = np.asarray(true), np.asarray(probability, dtype=np.float64)
    if share.ndim != 2 or share.shape != (len(truth), len(labels)) or len(labels) < 2:
        expected = f"({len(truth)}, {len(labels)}), two classes or more"
        raise DataError("wrong shape", column="probability", expected=expected, received=share.shape)
    if not np.isfinite(share).all():
        row = int(np.flatnonzero(~np.isfinite(share).all(axis=1))[0])
        raise DataError("not finite", column="probability", row=row + 1, received=share[row].tolist())
    classes = [1] if len(labels) == 2 else range(len(labels))
    problems = {labels[each]: (truth == each, share[:, each]) for each in classes}
    problems = {name: pair for name, pair in problems.items() if 0 < pair[0].sum() < len(truth)}
    if not problems:
        raise DataError("a curve needs rows of the class and of another", column="true", received=np.unique(truth))
    return problems


def roc_curves(scores: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw ROC curves: the share of a class that is found against the share of the others taken for it.

    Args:
        scores: Name -> (true or false, score) of the rows, of a class (`by_class`) or of a model.

    Returns:
        The figure; the legend has the area under each curve, largest first. More than 16 share one entry.

    Example:
        >>> figure = roc_curves({"yes": ([False, False, True, True], [0.1, 0.4, 0.3, 0.8])})
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['yes  0.750']
    """
    figure, (axes,) = panels(4.6)
    lines = {}
    for name, (positive, score) in scores.items():
        wrong, found, _ = metrics.roc_curve(positive, score)
        wrong, found = _thinned(wrong, found)
        display = metrics.RocCurveDisplay(fpr=wrong, tpr=found).plot(ax=axes)
        lines[name] = (display.line_, float(metrics.roc_auc_score(positive, score)))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.4, linestyle=DASHED)
    _finish_curves(figure, axes, lines)
    axes.set_xlabel("share of the others taken for it")
    axes.set_ylabel("share of the class found")
    heading(axes, "ROC (area under the curve below)")
    note(axes, "dashed: guessing", (0.98, 0.03), ha="right", va="bottom")
    return figure


def precision_recall(scores: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw precision against recall.

    Args:
        scores: As `roc_curves` takes it.

    Returns:
        The figure; the legend has the average precision, largest first. Of a single curve, a dashed line is drawn at
        the share of true rows, which guessing reaches.
    """
    figure, (axes,) = panels(4.6)
    lines = {}
    for name, (positive, score) in scores.items():
        right, found, _ = metrics.precision_recall_curve(positive, score, drop_intermediate=True)
        right, found = _thinned(right, found)
        display = metrics.PrecisionRecallDisplay(right, found).plot(ax=axes)
        lines[name] = (display.line_, float(metrics.average_precision_score(positive, score)))
    _finish_curves(figure, axes, lines)
    if len(scores) == 1:
        base = float(np.asarray(next(iter(scores.values()))[0]).mean())
        axes.axhline(base, color=ORANGE, linewidth=1.4, linestyle=DASHED)
        note(axes, f"dashed: guessing, {base:.3f}", (0.02, 0.03), color=ORANGE, va="bottom")
    axes.set_xlabel("recall: share of the class found")
    axes.set_ylabel("precision: share right")
    heading(axes, "Precision and recall (average below)")
    return figure


def calibration_curve(calibration: pd.DataFrame) -> Figure:
    """Draw how often a classifier is right against its confidence.

    Args:
        calibration: A row per band, as `evaluation.classification.calibration` returns it: confidence and accuracy,
            0 to 1, and count.

    Returns:
        The figure, of two panels: the curve with Wilson's 95 % intervals (1927), and how many rows each band holds.
    """
    for column in ("confidence", "accuracy", "count"):
        if column not in calibration:
            raise DataError("the calibration lacks a column", column=column, received=list(calibration.columns))
    if calibration.empty:
        raise DataError("the calibration has no band", expected="one row per band of confidence")
    confidence, accuracy, count = (calibration[name].to_numpy(float) for name in ("confidence", "accuracy", "count"))
    figure, (axes, below) = panels(5.2, [3.0, 1.2], share_x=True)
    low = max(0.0, float(confidence.min()) - 0.06)
    axes.plot([low, 1], [low, 1], color=ORANGE, linewidth=1.6, linestyle=DASHED)
    axes.plot(confidence, accuracy, color=BLUE, linewidth=2.2, marker="o", markersize=7)
    axes.vlines(confidence, *_wilson_interval(accuracy, count), color=BLUE, alpha=0.45, linewidth=3)
    below.bar(confidence, 100 * count / count.sum(), width=0.6 * (1 - low) / max(len(count), 4), color=BLUE)
    axes.set_ylim(-0.03, 1.14)
    axes.set_ylabel("share right")
    below.set_ylabel("rows (%)")
    below.set_xlabel("confidence: probability of the predicted class")
    below.set_xlim(low, 1.02)
    heading(axes, "Accuracy by confidence")
    note(axes, "dashed: perfectly calibrated\nbelow it: overconfident", (0.02, 0.97), color=ORANGE)
    note(axes, "bar: 95 % interval", (0.98, 0.12), ha="right", va="bottom", color=BLUE)
    error = float((count * np.abs(confidence - accuracy)).sum() / count.sum())
    note(axes, f"calibration error {error:.3f}", (0.98, 0.03), ha="right", va="bottom")
    return figure


def _one_history(history: pd.DataFrame, column: str, label: str, also: Sequence[str]) -> Figure:
    labels = {column: label} | {name: describe(name).label for name in also if name in history}
    if "learning_rate" in history:
        labels["learning_rate"] = "learning rate"
    ratios = [3.0 if name == column else 1.4 if name == "learning_rate" else 2.0 for name in labels]
    figure, stack = panels(1.0 + 0.95 * sum(ratios), ratios, share_x=True)
    compared = history.get(f"val_{column}", history[column])
    row = _best_row(compared, describe(column).better or "lower")
    for axes, (name, text) in zip(stack, labels.items(), strict=True):
        _train_and_validation(axes, history, name)
        axes.set_ylabel(text)
        if row is not None:
            axes.axvline(history["epoch"].iloc[row], color=SOFT, linewidth=1, linestyle=DASHED, zorder=1)
    heading(stack[0], "Training and validation by epoch" if f"val_{column}" in history else "Training by epoch")
    stack[-1].set_xlabel("epoch" if row is None else f"epoch (dashed: the best, {history['epoch'].iloc[row]:.0f})")
    stack[-1].set_xlim(history["epoch"].min() - 0.5, history["epoch"].max() + 0.5)
    stack[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _train_and_validation(axes: Axes, history: pd.DataFrame, name: str) -> None:
    epoch = history["epoch"].to_numpy(dtype=float)
    marker = "o" if len(epoch) <= 40 else None
    lines = [(name, "train", BLUE), (f"val_{name}", "validation", ORANGE)]
    if f"val_{name}" not in history:
        lines = [(name, "", SOFT if name == "learning_rate" else BLUE)]
    drawn = [history[column].to_numpy(dtype=float) for column, *_ in lines]
    known = np.concatenate(drawn)[np.isfinite(np.concatenate(drawn))]
    # The names stand where a curve that ends high, or low, leaves room.
    rising = len(known) > 0 and np.isfinite(drawn[-1][-1]) and drawn[-1][-1] > (known.min() + known.max()) / 2
    for index, ((_, text, colour), values) in enumerate(zip(lines, drawn, strict=True)):
        axes.plot(epoch, values, color=colour, linewidth=2, marker=marker, markersize=3.5)
        if text and rising:
            note(axes, text, (0.99, 0.03), color=colour, ha="right", va="bottom", lines_down=index - 1)
        elif text:
            note(axes, text, (0.99, 0.97), color=colour, ha="right", lines_down=index)
    if len(known) and known.min() > 0 and known.max() > 20 * known.min():
        axes.set_yscale("log")


def _many_histories(histories: Mapping[str, pd.DataFrame], column: str, label: str) -> Figure:
    both = all(f"val_{column}" in history for history in histories.values())
    compared = f"val_{column}" if both else column
    better = describe(column).better or "lower"
    columns = 2 if max(map(len, histories)) <= 15 else 1  # of the legend
    lines = -(-len(histories) // columns)
    figure, stack = panels((5.2 if both else 3.2) + 0.23 * lines, [1.0, 1.0] if both else [1.0], share_x=True)
    rows = {name: _best_row(history[compared], better) for name, history in histories.items()}
    handles: dict[str, Line2D] = {}
    for axes, drawn in zip(stack, [column, compared], strict=False):
        for index, (name, history) in enumerate(histories.items()):
            colour, style = PALETTE[index % len(PALETTE)], STYLES[index // len(PALETTE) % 3]
            (handles[name],) = axes.plot(
                history["epoch"], history[drawn], color=colour, linestyle=style, label=name, linewidth=1.9
            )
            row = rows[name]
            if drawn == compared and row is not None:
                axes.plot(history["epoch"].iloc[row], history[drawn].iloc[row], "o", color=colour)
        axes.set_ylabel(label)
    heading(stack[0], "Training, by epoch" + ("" if both else " (dot: the best)"))
    if both:
        heading(stack[-1], "Validation, by epoch (dot: the best)")
    stack[-1].set_xlabel("epoch")
    stack[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    every = [np.asarray(history[each], float) for history in histories.values() for each in {column, compared}]
    _one_scale(stack, np.concatenate(every))
    worst = np.inf if better == "lower" else -np.inf
    value = {name: worst if row is None else float(histories[name][compared].iloc[row]) for name, row in rows.items()}
    order = sorted(histories, key=lambda name: value[name], reverse=better == "higher")
    texts = [f"{name}  {short(value[name])}" if np.isfinite(value[name]) else name for name in order]
    legend_below(figure, [handles[name] for name in order], texts, columns)
    return figure


def _best_row(values: pd.Series, better: Better) -> int | None:
    row = best({str(row): float(value) for row, value in enumerate(values)}, better)
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


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(_POINTS, len(x))).astype(int))
    return x[kept], y[kept]


def _finish_curves(figure: Figure, axes: Axes, lines: Mapping[str, tuple[Line2D, float]]) -> None:
    """Give scikit-learn's curves the common style, and list the areas below, largest first."""
    many = len(lines) > _NAMED
    for index, (line, _) in enumerate(lines.values()):
        colour, style = (GREY, "solid") if many else (PALETTE[index % len(PALETTE)], STYLES[index // len(PALETTE)])
        line.set(color=colour, linestyle=style, linewidth=1.9)
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.set(aspect="auto", xlim=(-0.015, 1.015), ylim=(-0.015, 1.05))
    order = sorted(lines, key=lambda name: -lines[name][1])
    handles = [lines[name][0] for name in order]
    texts = [f"{name}  {lines[name][1]:.3f}" for name in order]
    if many:
        worst, areas = order[-1], [lines[name][1] for name in order]
        handles = handles[:1]
        texts = [f"{len(order)} classes, best {areas[0]:.3f} ({order[0]}), worst {areas[-1]:.3f} ({worst})"]
    columns = 2 if max(map(len, texts)) <= 24 and len(texts) > 1 else 1
    legend_below(figure, handles, texts, columns)


def _wilson_interval(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - reach, centre + reach
