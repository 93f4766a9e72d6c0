"""The pictures and tables of a classifier: which classes it confuses, whether its probabilities hold, where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.errors import DataError
from kmodels.evaluation import classification
from kmodels.report import rates
from kmodels.report.bar_charts import metric_bars
from kmodels.report.canvas import BLUE, GREY, INK, ORANGE, TEXT, Floats, heading, note, panels, save
from kmodels.report.fragments import Picture, Section, paragraphs
from kmodels.report.glossary import describe
from kmodels.report.plots import loss_curves
from kmodels.report.record import variant_record
from kmodels.report.tables import frame

_WRITTEN = 12  # more classes than this are shown by colour alone
_SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#B9D8EC", "#1F77B0"])
_ACROSS = 5  # pictures in a row of the hardest


def confusion_matrix(matrix: ArrayLike, labels: Sequence[str]) -> Figure:
    """Draw how often each class is predicted as each, shaded by the share of the true class.

    Args:
        matrix: (classes, classes) counts, true class by row, predicted class by column.
        labels: Name of each class, in order.

    Returns:
        The figure; the counts are written in where there are at most twelve classes.

    Raises:
        DataError: The matrix is not square, has another size than labels, or holds no row.

    Example:
        >>> figure = confusion_matrix([[23, 21], [4, 62]], ["low", "high"])
        >>> [text.get_text().split()[0] for text in figure.axes[0].texts]
        ['23', '21', '4', '62']
    """
    counts = np.asarray(matrix)
    size = len(labels)
    if counts.shape != (size, size) or counts.sum() <= 0:
        raise DataError("not a confusion matrix of these classes", expected=f"{size} × {size}", received=counts.shape)
    rows = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(rows, 1)
    figure, (axes,) = panels(4.9)
    axes.grid(False)
    # The root brings out the small shares, which are the mistakes.
    axes.imshow(np.sqrt(share), cmap=_SHADES, vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(size, size) if size <= _WRITTEN else ():
        count = int(counts[row, column])
        text = f"{count:,}\n{100 * share[row, column]:.0f} %" if size <= 5 else f"{count:,}" if count else "·"
        colour = "white" if share[row, column] > 0.6 else INK if count else GREY
        small = TEXT - 1 if size <= 5 else TEXT - 3
        axes.text(column, row, text, ha="center", va="center", fontsize=small, color=colour)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels)) * size > 26 else {}
    every = int(np.ceil(size / 40))
    axes.set_xticks(range(0, size, every), labels[::every], **turned)  # type: ignore[arg-type]
    axes.set_yticks(range(0, size, every), labels[::every])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"predicted, of {int(counts.sum()):,} rows")
    axes.set_ylabel("true")
    right = 100 * np.trace(counts) / counts.sum()
    heading(axes, f"Confusion: {right:.1f} % right")
    return figure


def calibration_curve(calibration: pd.DataFrame) -> Figure:
    """Draw how often the classifier is right against how sure it says it is.

    Args:
        calibration: A row per band, as `evaluation.classification.calibration` returns it: confidence and accuracy,
            0 to 1, and count.

    Returns:
        The figure, of two panels: the curve, and how many rows each band holds.

    Raises:
        DataError: A column is missing or there is no band.

    Example:
        >>> bands = pd.DataFrame({"confidence": [0.6, 0.9], "accuracy": [0.5, 0.9], "count": [10, 30]})
        >>> figure = calibration_curve(bands)
        >>> figure.axes[0].texts[-1].get_text()
        'calibration error 0.025'
    """
    for column in ("confidence", "accuracy", "count"):
        if column not in calibration:
            raise DataError("the calibration lacks a column", column=column, received=list(calibration.columns))
    if calibration.empty:
        raise DataError("the calibration has no band", expected="one row per band of confidence")
    confidence, accuracy, count = (
        calibration[name].to_numpy(dtype=float) for name in ("confidence", "accuracy", "count")
    )
    figure, (axes, below) = panels(5.2, [3.0, 1.2], share_x=True)
    low = max(0.0, float(confidence.min()) - 0.06)
    axes.plot([low, 1], [low, 1], color=ORANGE, linewidth=1.6, linestyle=(0, (5, 3)))
    axes.plot(confidence, accuracy, color=BLUE, linewidth=2.2, marker="o", markersize=7)
    # The 95 % interval of a share says which bands are too small to complain about.
    axes.vlines(confidence, *_interval(accuracy, count), color=BLUE, alpha=0.45, linewidth=3)
    below.bar(confidence, 100 * count / count.sum(), width=0.6 * (1 - low) / max(len(count), 4), color=BLUE)
    axes.set_ylim(-0.03, 1.14)
    axes.set_ylabel("share right")
    below.set_ylabel("rows (%)")
    below.set_xlabel("confidence: probability of the predicted class")
    below.set_xlim(low, 1.02)
    heading(axes, "Is it as often right as it is sure?")
    note(axes, "dashed: perfectly calibrated\nbelow it: too sure", (0.02, 0.97), color=ORANGE)
    note(axes, "bar: 95 % interval", (0.98, 0.12), ha="right", va="bottom", color=BLUE)
    error = float((count * np.abs(confidence - accuracy)).sum() / count.sum())
    note(axes, f"calibration error {error:.3f}", (0.98, 0.03), ha="right", va="bottom")
    return figure


def hardest(
    pictures: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    n: int = 20,
) -> Figure:
    """Draw the pictures to whose true class the model gives the least probability, hardest first.

    Args:
        pictures: (rows, height, width) grey or (rows, height, width, 1 or 3), uint8 or any numbers; each is drawn
            over its own range unless it is uint8.
        true: (rows,) true classes, integers from 0.
        predicted: (rows,) predicted classes.
        probability: (rows, classes).
        labels: Name of each class, in order.
        n: How many; default 20, five in a row.

    Returns:
        The figure; under each picture its true class, and the predicted one with its probability.

    Raises:
        DataError: The arrays differ in length or there is no picture.

    Example:
        >>> pictures = np.zeros((2, 4, 4), "uint8")
        >>> figure = hardest(pictures, [0, 1], [0, 0], [[0.9, 0.1], [0.8, 0.2]], ["coat", "shirt"], n=1)
        >>> figure.axes[0].get_xlabel().splitlines()
        ['shirt', 'coat 80 %']
    """
    images, truth, said = np.asarray(pictures), np.asarray(true), np.asarray(predicted)
    share = np.asarray(probability)
    if not len(images) or not len(images) == len(truth) == len(said) == len(share):
        received = tuple(map(len, (images, truth, said, share)))
        raise DataError("pictures, classes and probabilities differ in length", expected="one each", received=received)
    order = np.argsort(share[np.arange(len(truth)), truth], kind="stable")[:n]
    down = -(-len(order) // _ACROSS)
    figure, _ = panels(0.5 + 1.4 * down)
    figure.clear()
    grid = figure.subplots(down, _ACROSS, squeeze=False).ravel()
    for axes, row in zip(grid, order, strict=False):
        image = images[row]
        limits = {"vmin": 0, "vmax": 255} if image.dtype == np.uint8 else {}
        axes.imshow(image.squeeze(), cmap="gray", interpolation="nearest", **limits)
        wrong = said[row] != truth[row]
        text = f"{_cut(labels[truth[row]])}\n{_cut(labels[said[row]])} {100 * share[row, said[row]]:.0f} %"
        axes.set_xlabel(text, fontsize=TEXT - 3, color=ORANGE if wrong else INK, labelpad=3)
    for axes in grid:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for axes in grid[len(order) :]:
        axes.set_visible(False)
    figure.suptitle("The hardest: true class, then what was said", x=0.02, ha="left", fontsize=TEXT + 1, weight="bold")
    return figure


def per_class_table(per_class: pd.DataFrame) -> str:
    """Make the table of the classes, one row each.

    Args:
        per_class: As `evaluation.classification.per_class` returns it: index label; precision, recall, f1, support.

    Returns:
        Markup for a section of the report.

    Example:
        >>> table = pd.DataFrame({"precision": [0.8], "support": [25]}, index=["coat"])
        >>> "Precision" in per_class_table(table)
        True
    """
    names = {"precision": "Precision", "recall": "Recall", "f1": "F1", "support": "Rows"}
    shown = per_class.rename(columns=names)
    words = "Precision: share right of what was said to be the class. Recall: share of the class that was found."
    return frame(shown, name="class") + paragraphs(words)


def learned_nothing(name: str, predicted: ArrayLike, labels: Sequence[str], *, share: float = 0.99) -> str | None:
    """Say so when a classifier predicts one class for nearly every row.

    Args:
        name: The model.
        predicted: (rows,) predicted classes, integers from 0.
        labels: Name of each class, in order.
        share: From which share of the rows on. Default 0.99.

    Returns:
        A sentence for the console and for the record's `warnings`, or None.

    Raises:
        DataError: There are no rows, or a class is no integer from 0 on.
        ConfigurationError: The share is not above 0.5 and at most 1.

    Example:
        >>> learned_nothing("dropout", [1] * 200, ["loss", "profit"])
        "dropout predicts 'profit' for 100.0 % of the rows: it has learned nothing."
    """
    only = classification.collapsed(predicted, share)
    if only is None:
        return None
    found = 100 * float(np.mean(np.asarray(predicted) == only))
    return f"{name} predicts {labels[only]!r} for {found:.1f} % of the rows: it has learned nothing."


def draw(
    folder: str | Path,
    record: Mapping[str, Any],
    true: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    history: pd.DataFrame | None = None,
    pictures: ArrayLike | None = None,
    threshold: float | None = None,
    metric: str = "accuracy",
    floors: Mapping[str, float] | None = None,
) -> tuple[list[Picture], Section]:
    """Draw the pictures of one classifier into the run folder's `plots/`, and make the table of its classes.

    Drawn: bars (where the record is of one model: of variants `variants.draw` draws them), loss (with a history),
    confusion, calibration, roc, precision_recall, hardest (with pictures).

    Args:
        folder: The run folder.
        record: A record of `metrics.json`; of variants, the best one is drawn.
        true: (rows,) true classes of the test rows, integers from 0.
        probability: (rows, classes) the model's probabilities for them.
        labels: Name of each class, in order.
        history: One row per epoch: epoch, loss and val_loss, accuracy and val_accuracy.
        pictures: The test rows' pictures, as `hardest` takes them.
        threshold: For two classes: class 1 is predicted where its probability is at least this; None (default)
            predicts the most probable class.
        metric: What the bars show. Default "accuracy".
        floors: Limits by name that nobody can pass, such as {"Bayes": 0.91}; drawn beside the bars.

    Returns:
        The pictures, in the report's order, and the section of the classes.

    Raises:
        DataError: Arrays differ in length, a class is out of range, or a probability is not one.
    """
    best, share = variant_record(record), np.asarray(probability, dtype=float)
    name = best["model"]["name"]
    said = share.argmax(axis=1) if threshold is None else (share[:, 1] >= threshold).astype(int)
    drawn: dict[str, tuple[Figure, str, str]] = {}
    if "variants" not in record:
        described = describe(metric, "")
        values = {name: best["test"].get(metric)} | {
            rival: each[metric] for rival, each in best["baselines"].items() if metric in each
        }
        drawn["bars"] = (
            metric_bars(values, described.label, floors=floors, marked=[name], better=described.better or "higher"),
            "The model beside its baselines",
            "Test rows. Every setting was chosen on validation rows.",
        )
    if history is not None:
        shown = [column for column in history if column != "seconds"]
        drawn["loss"] = (loss_curves(history[shown]), "Training and validation by epoch", f"{name}.")
    drawn |= {
        "confusion": (
            confusion_matrix(classification.confusion(true, said, len(labels)), labels),
            "Which classes are confused",
            f"{name}, test rows; each row of the picture is one true class and adds up to 100 %.",
        ),
        "calibration": (
            calibration_curve(classification.calibration(true, share)),
            "Calibration",
            "Where the line runs below the dashed one, the model is surer than it should be.",
        ),
        "roc": (rates.roc_curves(true, share, labels), "ROC curves", "Above the diagonal: better than guessing."),
        "precision_recall": (
            rates.precision_recall(true, share, labels),
            "Precision and recall",
            "How many of those named are right, as more and more of the class is found.",
        ),
    }
    if pictures is not None:
        drawn["hardest"] = (
            hardest(pictures, true, said, share, labels),
            "The hardest pictures",
            "Those to whose true class the model gives the least probability; in orange where it is wrong.",
        )
    done = [
        Picture(save(figure, Path(folder) / "plots" / f"{kind}.png"), title, caption)
        for kind, (figure, title, caption) in drawn.items()
    ]
    return done, Section("Class by class", per_class_table(classification.per_class(true, said, labels)))


def _interval(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Give Wilson's 95 % interval of shares of so many rows (1927)."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half


def _cut(label: str) -> str:
    return label if len(label) <= 11 else f"{label[:10]}…"
