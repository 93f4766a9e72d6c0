"""Metrics of predicted classes and their probabilities; classes are numbered from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special
from sklearn import metrics

from kmodels import checks
from kmodels.errors import DataError

__all__ = ["evaluate", "per_class", "softmax", "threshold"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SUM_TOLERANCE = 1e-3  # a softmax in half precision is off by this much
_BINS = 10


def softmax(logits: npt.ArrayLike) -> FloatArray:
    """Turns logits into probabilities, in float64 and without overflow.

    Args:
        logits: (rows, classes), two classes or more; finite.

    Returns:
        float64 (rows, classes), each row summing to 1.

    Raises:
        DataError: If the shape is another, or a value is missing or infinite.

    Example:
        >>> softmax([[0.0, 0.0], [1000.0, 0.0]]).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    return special.softmax(_table(logits, "logits"), axis=1)


def evaluate(true: npt.ArrayLike, probability: npt.ArrayLike) -> dict[str, float]:
    """All metrics of a classifier, from the true classes and the predicted probabilities.

    Args:
        true: (rows,) true classes, integers from 0 to classes - 1.
        probability: (rows, classes), two classes or more; each row sums to 1 (logits go through `softmax` first).

    Returns:
        Name -> value. `accuracy`: share of rows predicted right. `balanced_accuracy`: mean over the classes that
        occur in `true` of the share predicted right. `macro_f1`: mean F1 of the classes that occur in `true` or are
        predicted. `roc_auc`: of class 1 for two classes, else one-vs-rest, mean over the classes; NaN if a class does
        not occur in `true`. `pr_auc`: average precision of class 1, for two classes only; NaN likewise. `log_loss`:
        mean of -ln(probability of the true class), where 0 counts as 2.2e-16. `brier`: mean squared error of the
        probability of class 1 for two classes (0 to 1), else summed over the classes (0 to 2). `ece`: mean distance
        between confidence and accuracy in ten bins of equal width, weighted by rows (0 to 1).

    Raises:
        DataError: If there are no rows, lengths differ, a label is out of range, a probability is missing or not
            from 0 to 1, or a row does not sum to 1.

    Example:
        >>> evaluate([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])["balanced_accuracy"]
        0.75
        >>> evaluate([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])["roc_auc"]
        1.0
    """
    labels, shares = _pair(true, probability)
    n_classes = shares.shape[1]
    binary, complete = n_classes == 2, len(np.unique(labels)) == n_classes
    values = _of_decisions(labels, shares.argmax(axis=1))
    score = shares[:, 1] if binary else shares
    values["roc_auc"] = metrics.roc_auc_score(labels, score, multi_class="ovr") if complete else np.nan
    if binary:
        values["pr_auc"] = metrics.average_precision_score(labels, score) if complete else np.nan
    values["log_loss"] = metrics.log_loss(labels, shares, labels=np.arange(n_classes))
    error = shares - np.eye(n_classes)[labels]
    values["brier"] = np.mean((error**2).sum(axis=1)) / (2 if binary else 1)
    bins = _calibration(labels, shares)
    values["ece"] = np.average((bins["confidence"] - bins["accuracy"]).abs(), weights=bins["count"])
    return {name: float(value) for name, value in values.items()}


def evaluate_with_threshold(
    true: Mapping[str, npt.ArrayLike], probability: Mapping[str, npt.ArrayLike]
) -> dict[str, dict[str, float]]:
    """Metrics of "validation" and "test" by `evaluate`, and of the test rows at the validation rows' `threshold`.

    Where the validation rows are of one class, they cannot choose a threshold, and it stays at 0.5.
    """
    both = len(np.unique(np.asarray(true["validation"]))) > 1
    cut = threshold(true["validation"], probability["validation"]) if both else 0.5
    labels, shares = _pair(true["test"], probability["test"])
    return {
        **{part: evaluate(true[part], probability[part]) for part in ("validation", "test")},
        "at_threshold": {"threshold": cut, **_of_decisions(labels, (shares[:, 1] >= cut).astype(np.int64))},
    }


def per_class(true: npt.ArrayLike, predicted: npt.ArrayLike, labels: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class.

    Args:
        true: (rows,) true classes, integers from 0 to `len(labels)` - 1.
        predicted: (rows,) predicted classes, likewise.
        labels: Name of each class, in order.

    Returns:
        A row for each class, the index named "label": precision, recall, f1 and support (its rows in `true`). NaN
        where it is not defined: precision if the class is never predicted, recall without a row of it, F1 if
        neither. The mean of the F1 that are known is `macro_f1` of `evaluate`.

    Raises:
        DataError: If there are no rows, lengths differ, or a class is out of range.

    Example:
        >>> per_class([0, 1, 1], [0, 0, 1], ["no", "yes"]).round(2).to_dict("index")["yes"]
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.67, 'support': 2}
    """
    columns = metrics.precision_recall_fscore_support(
        *_classes(len(labels), true=true, predicted=predicted), labels=np.arange(len(labels)), zero_division=np.nan
    )
    table = dict(zip(("precision", "recall", "f1", "support"), columns, strict=True))
    return pd.DataFrame(table, index=pd.Index(list(labels), name="label"))


def class_counts(true: npt.ArrayLike, labels: Sequence[str]) -> dict[str, int]:
    """Label -> rows of its class, for a run's record."""
    return dict(zip(labels, np.bincount(np.asarray(true), minlength=len(labels)).tolist(), strict=True))


def confusion(true: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> IntArray:
    """Rows by true class (row) and predicted class (column): int64 (n_classes, n_classes)."""
    columns = _classes(n_classes, true=true, predicted=predicted)
    return np.asarray(metrics.confusion_matrix(*columns, labels=np.arange(n_classes)), dtype=np.int64)


def calibration(true: npt.ArrayLike, probability: npt.ArrayLike) -> pd.DataFrame:
    """Confidence, accuracy and count of each of ten bins of equal width that holds any row, ascending."""
    return _calibration(*_pair(true, probability))


def threshold(true: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Finds from which probability on class 1 should be predicted, for two classes; give it validation rows.

    It makes the balanced accuracy highest; among equally good ones the one nearest to 0.5 is taken, halfway between
    the two neighbouring probabilities.

    Args:
        true: (rows,) true classes, 0 or 1.
        probability: (rows, 2), each row summing to 1.

    Returns:
        The threshold, for `probability[:, 1] >= threshold`.

    Raises:
        DataError: As `evaluate`; and if there are more than two classes, or only one of them occurs in `true`.

    Example:
        >>> round(threshold([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
        0.3
    """
    labels, shares = _pair(true, probability)
    if shares.shape[1] != 2:
        raise DataError("a threshold is for two classes", column="probability", received=f"shape {shares.shape}")
    if len(np.unique(labels)) < 2:
        raise DataError("a threshold needs rows of both classes", column="true", received=f"only class {labels[0]}")
    false_share, true_share, values = metrics.roc_curve(labels, shares[:, 1], drop_intermediate=False)
    # From the highest probability down, after one that is above all of them.
    upper = np.r_[np.nextafter(max(1.0, values[1]), 2), values[1:]]
    lower = np.r_[values[1:], 0.0]
    middle = (lower + upper) / 2
    cuts = np.where(middle > lower, middle, upper)  # neighbours may have no number between them
    gain = true_share - false_share
    best = cuts[gain >= gain.max() - 1e-12][::-1]
    return float(best[np.argmin(np.abs(best - 0.5))])


def collapsed(predicted: npt.ArrayLike, share: float = 0.99) -> int | None:
    """The one class that at least `share` of the rows are predicted as (a constant prediction), or None."""
    (classes,) = _classes(None, predicted=predicted)
    found, counts = np.unique(classes, return_counts=True)
    # Rounding must not turn 99 of 100 into less than 0.99.
    return int(found[counts.argmax()]) if counts.max() >= (share - 1e-9) * len(classes) else None


def _of_decisions(labels: IntArray, predicted: npt.NDArray[np.integer]) -> dict[str, float]:
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        # scikit-learn's balanced accuracy, which warns of predicted classes that do not occur.
        "balanced_accuracy": float(metrics.recall_score(labels, predicted, labels=np.unique(labels), average="macro")),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro")),
    }


def _calibration(labels: IntArray, shares: FloatArray) -> pd.DataFrame:
    confidence = shares.max(axis=1)
    which = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    rows = pd.DataFrame({"confidence": confidence, "accuracy": (shares.argmax(axis=1) == labels).astype(np.float64)})
    grouped = rows.groupby(which, sort=True)
    return grouped.mean().assign(count=grouped.size().astype(np.int64)).reset_index(drop=True)


def _pair(true: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """True classes and probabilities, checked; the probabilities divided by their sums."""
    shares = _table(probability, "probability")
    (labels,) = _classes(shares.shape[1], true=true)
    checks.same_length(true=labels, probability=shares)
    outside = ((shares < -1e-6) | (shares > 1 + 1e-6)).any(axis=1)
    if outside.any():
        row, expected = int(np.argmax(outside)), "0 to 1 (logits go through softmax first)"
        received = shares[row].tolist()
        raise DataError("not a probability", row=row + 1, column="probability", expected=expected, received=received)
    sums = shares.sum(axis=1)
    off = np.abs(sums - 1) > _SUM_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise DataError(
            "the probabilities of a row do not sum to 1", row=row + 1, column="probability", received=float(sums[row])
        )
    shares = np.clip(shares, 0, 1)
    return labels, shares / shares.sum(axis=1, keepdims=True)


def _table(values: npt.ArrayLike, name: str) -> FloatArray:
    table = checks.numbers(values, name, dimensions=2)
    if table.shape[1] < 2:
        raise DataError("not a column for each class", column=name, expected="two classes or more", received=1)
    return table


def _classes(n_classes: int | None, **columns: npt.ArrayLike) -> list[IntArray]:
    checked = {name: checks.ids(values, name, n_classes, "a class") for name, values in columns.items()}
    checks.same_length(**checked)
    return list(checked.values())
