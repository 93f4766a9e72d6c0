"""Metrics of predicted classes and their probabilities; classes are numbered from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics

from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import _columns

__all__ = [
    "calibration",
    "collapsed",
    "confusion",
    "evaluate",
    "evaluate_with_threshold",
    "per_class",
    "softmax",
    "threshold",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SUM_TOLERANCE = 1e-3  # a softmax in half precision is off by this much
_THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


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
    table = _table(logits, "logits")
    grown = np.exp(table - table.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def evaluate(true: npt.ArrayLike, probability: npt.ArrayLike, *, threshold: float | None = None) -> dict[str, float]:
    """All metrics of a classifier, from the true classes and the predicted probabilities.

    Args:
        true: (rows,) true classes, integers from 0 to classes - 1.
        probability: (rows, classes), two classes or more; each row sums to 1 (logits go through `softmax` first).
        threshold: For two classes: class 1 is predicted where its probability is at least this. None, the default,
            predicts the most probable class.

    Returns:
        Name -> value. `accuracy`: share of rows predicted right. `balanced_accuracy`: mean over the classes that
        occur in `true` of the share predicted right. `macro_f1`: mean F1 of the classes that occur in `true` or are
        predicted. `roc_auc`: of class 1 for two classes, else one-vs-rest, mean over the classes; NaN if a class does
        not occur in `true`, where it has no meaning. `pr_auc`: average precision of class 1, for two classes only;
        NaN likewise. `log_loss`: mean of -ln(probability of the true class), where 0 counts as 2.2e-16. `brier`: mean
        squared error of the probability of class 1 for two classes (0 to 1), else summed over the classes (0 to 2).
        `ece`: mean distance between confidence and accuracy in ten bins of equal width, weighted by rows (0 to 1).

    Raises:
        DataError: If there are no rows, lengths differ, a label is out of range, a probability is missing or not
            from 0 to 1, or a row does not sum to 1.
        ConfigurationError: If a threshold is given for more than two classes.

    Example:
        >>> evaluate([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])["balanced_accuracy"]
        0.75
        >>> evaluate([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])["roc_auc"]
        1.0
    """
    labels, shares = _pair(true, probability)
    n_classes = shares.shape[1]
    if threshold is None:
        predicted = shares.argmax(axis=1)
    elif n_classes == 2:
        predicted = (shares[:, 1] >= threshold).astype(np.int64)
    else:
        raise ConfigurationError(f"a threshold is for two classes. Received: {n_classes} classes")
    occurring = np.unique(labels)
    complete = len(occurring) == n_classes
    values = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        # scikit-learn's balanced accuracy, which warns of predicted classes that do not occur.
        "balanced_accuracy": metrics.recall_score(labels, predicted, labels=occurring, average="macro"),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "roc_auc": _roc_auc(labels, shares) if complete else np.nan,
    }
    if n_classes == 2:
        values["pr_auc"] = metrics.average_precision_score(labels, shares[:, 1]) if complete else np.nan
    error = shares.copy()
    error[np.arange(len(labels)), labels] -= 1
    values["log_loss"] = metrics.log_loss(labels, shares, labels=np.arange(n_classes))
    values["brier"] = np.mean((error**2).sum(axis=1)) / (2 if n_classes == 2 else 1)
    bins = _calibration(labels, shares, 10)
    values["ece"] = np.average((bins["confidence"] - bins["accuracy"]).abs(), weights=bins["count"])
    return {name: float(value) for name, value in values.items()}


def evaluate_with_threshold(
    true: Mapping[str, npt.ArrayLike], probability: Mapping[str, npt.ArrayLike]
) -> dict[str, dict[str, float]]:
    """Evaluates a classifier of two classes, with and without a threshold chosen on the validation rows.

    Args:
        true: "validation" and "test" -> (rows of that part,) true classes, 0 or 1.
        probability: "validation" and "test" -> (rows of that part, 2), each row summing to 1.

    Returns:
        `validation` and `test`: the metrics of `evaluate`, for which the more probable class is predicted.
        `at_threshold`: accuracy, balanced_accuracy and macro_f1 of the test rows where class 1 is predicted from the
        `threshold` on which makes the balanced accuracy of the validation rows highest, and this threshold.

    Raises:
        DataError: As `evaluate`; and if a class does not occur in the validation rows.

    Example:
        >>> shares = [[0.9, 0.1], [0.6, 0.4]]
        >>> found = evaluate_with_threshold(
        ...     {"validation": [0, 1], "test": [0, 1]}, {"validation": shares, "test": shares}
        ... )
        >>> found["test"]["accuracy"], found["at_threshold"]["accuracy"], found["at_threshold"]["threshold"]
        (0.5, 1.0, 0.25)
    """
    cut = threshold(true["validation"], probability["validation"])
    decided = evaluate(true["test"], probability["test"], threshold=cut)
    return {
        **{part: evaluate(true[part], probability[part]) for part in ("validation", "test")},
        "at_threshold": {"threshold": cut, **{name: decided[name] for name in _THRESHOLD_METRICS}},
    }


def per_class(true: npt.ArrayLike, predicted: npt.ArrayLike, labels: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class.

    Args:
        true: (rows,) true classes, integers from 0 to `len(labels)` - 1.
        predicted: (rows,) predicted classes, likewise.
        labels: Name of each class, in order.

    Returns:
        A row for each class, the index named "label": precision (share of the rows predicted as the class that are of
        it), recall (share of its rows that are found), f1 (their harmonic mean), support (its rows in `true`). NaN
        where it is not defined: precision if the class is never predicted, recall without a row of it, F1 if
        neither. The mean of the F1 that are known is `macro_f1` of `evaluate`.

    Raises:
        DataError: If there are no rows, lengths differ, or a class is out of range.

    Example:
        >>> per_class([0, 1, 1], [0, 0, 1], ["no", "yes"]).round(2).to_dict("index")["yes"]
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.67, 'support': 2}
    """
    first, second = _classes(len(labels), true=true, predicted=predicted)
    columns = metrics.precision_recall_fscore_support(
        first, second, labels=np.arange(len(labels)), zero_division=np.nan
    )
    table = dict(zip(("precision", "recall", "f1", "support"), columns, strict=True))
    return pd.DataFrame(table, index=pd.Index(list(labels), name="label"))


def confusion(true: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> IntArray:
    """Counts how often each class is predicted as each.

    Args:
        true: (rows,) true classes, integers from 0 to `n_classes` - 1.
        predicted: (rows,) predicted classes, likewise.
        n_classes: Number of classes.

    Returns:
        int64 (n_classes, n_classes): true class by row, predicted class by column.

    Raises:
        DataError: If there are no rows, lengths differ, or a class is out of range.

    Example:
        >>> confusion([0, 1, 1], [0, 0, 1], 2).tolist()
        [[1, 0], [1, 1]]
    """
    first, second = _classes(n_classes, true=true, predicted=predicted)
    return np.asarray(metrics.confusion_matrix(first, second, labels=np.arange(n_classes)), dtype=np.int64)


def calibration(true: npt.ArrayLike, probability: npt.ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Compares the predicted probabilities with the observed accuracy.

    Args:
        true: (rows,) true classes, integers from 0 to classes - 1.
        probability: (rows, classes), each row summing to 1.
        bins: Number of bins of equal width between 0 and 1. Default 10.

    Returns:
        A row for each bin that holds any: confidence (mean probability of the predicted class), accuracy (share
        predicted right), count (rows). Ascending by confidence.

    Raises:
        DataError: As `evaluate`.
        ConfigurationError: If there is no bin.

    Example:
        >>> calibration([0, 1], [[0.9, 0.1], [0.92, 0.08]]).to_dict("records")
        [{'confidence': 0.91, 'accuracy': 0.5, 'count': 2}]
    """
    if bins < 1:
        raise ConfigurationError(f"calibration needs at least one bin. Received: bins={bins}")
    return _calibration(*_pair(true, probability), bins)


def collapsed(predicted: npt.ArrayLike, share: float = 0.99) -> int | None:
    """Finds whether a classifier predicts the same class for nearly every row (a constant prediction).

    Args:
        predicted: (rows,) predicted classes, integers from 0.
        share: The share of rows from which on it counts as the same. Default 0.99.

    Returns:
        The one class that at least `share` of the rows are predicted as, or None.

    Raises:
        DataError: If there are no rows, or a class is no integer from 0 on.
        ConfigurationError: If the share is not above 0.5 and at most 1.

    Example:
        >>> collapsed([1] * 99 + [0])
        1
        >>> collapsed([1] * 98 + [0] * 2) is None
        True
    """
    if not 0.5 < share <= 1:
        raise ConfigurationError(f"share must be above 0.5 and at most 1. Received: share={share}")
    (classes,) = _classes(None, predicted=predicted)
    counts = np.bincount(classes)
    most = int(counts.argmax())
    # Rounding must not turn 99 of 100 into less than 0.99.
    return most if counts[most] >= share * len(classes) - 1e-9 * len(classes) else None


def threshold(true: npt.ArrayLike, probability: npt.ArrayLike, *, metric: str = "balanced_accuracy") -> float:
    """Finds from which probability on class 1 should be predicted, for two classes; give it validation rows.

    Every way to divide the rows is tried. Among equally good ones the one nearest to 0.5 is taken, halfway between
    the two neighbouring probabilities.

    Args:
        true: (rows,) true classes, 0 or 1.
        probability: (rows, 2), each row summing to 1.
        metric: What is made as high as possible: "accuracy", "balanced_accuracy" or "macro_f1".
            Default "balanced_accuracy".

    Returns:
        The threshold, for `probability[:, 1] >= threshold` and for `evaluate`.

    Raises:
        DataError: As `evaluate`; and if there are more than two classes, or only one of them occurs in `true`.
        ConfigurationError: If the metric is not one of the three.

    Example:
        >>> round(threshold([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 6)
        0.3
    """
    if metric not in _THRESHOLD_METRICS:
        raise ConfigurationError(f"a threshold is chosen by {', '.join(_THRESHOLD_METRICS)}. Received: {metric!r}")
    labels, shares = _pair(true, probability)
    if shares.shape[1] != 2:
        raise DataError("a threshold is for two classes", column="probability", received=f"shape {shares.shape}")
    if len(np.unique(labels)) < 2:
        raise DataError("a threshold needs rows of both classes", column="true", received=f"only class {labels[0]}")
    values, group = np.unique(shares[:, 1], return_inverse=True)
    # Cut k predicts class 1 from the k-th distinct probability on; the last one predicts it nowhere.
    below = np.concatenate([np.zeros((2, 1)), np.cumsum([_count(group, labels == k) for k in (0, 1)], axis=1)], axis=1)
    total = below[:, -1:]
    (true_0, false_0), (false_1, true_1) = below, total - below
    gain = {
        "accuracy": (true_0 + true_1) / total.sum(),
        "balanced_accuracy": (true_0 / total[0] + true_1 / total[1]) / 2,
        "macro_f1": true_0 / (2 * true_0 + false_0 + false_1) + true_1 / (2 * true_1 + false_0 + false_1),
    }[metric]
    lower, upper = np.r_[0.0, values], np.r_[values, np.nextafter(max(1.0, values[-1]), 2)]
    middle = (lower + upper) / 2
    cuts = np.where(middle > lower, middle, upper)  # neighbours may have no number between them
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def _roc_auc(labels: IntArray, shares: FloatArray) -> float:
    if shares.shape[1] == 2:
        return float(metrics.roc_auc_score(labels, shares[:, 1]))
    return float(np.mean([metrics.roc_auc_score(labels == k, shares[:, k]) for k in range(shares.shape[1])]))


def _calibration(labels: IntArray, shares: FloatArray, bins: int) -> pd.DataFrame:
    confidence = shares.max(axis=1)
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = pd.DataFrame({"confidence": confidence, "accuracy": (shares.argmax(axis=1) == labels).astype(np.float64)})
    grouped = rows.groupby(which, sort=True)
    table = grouped.mean()
    table["count"] = grouped.size().astype(np.int64)
    return table.reset_index(drop=True)


def _count(group: npt.NDArray[np.intp], chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    return np.bincount(group[chosen], minlength=int(group.max()) + 1)


def _pair(true: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    shares = _table(probability, "probability")
    (labels,) = _classes(shares.shape[1], true=true)
    _columns.same_length(true=labels, probability=shares)
    outside = (shares < -1e-6) | (shares > 1 + 1e-6)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise DataError(
            "not a probability",
            row=int(row) + 1,
            column="probability",
            expected="0 to 1 (logits go through softmax first)",
            received=float(shares[row, column]),
        )
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
    """The values as finite float64, shape (rows, classes)."""
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"not a table of numbers ({error})", column=name) from error
    if table.ndim != 2 or table.shape[1] < 2:
        raise DataError(
            "not a column for each class",
            column=name,
            expected="shape (rows, classes) with two classes or more",
            received=f"shape {table.shape}",
        )
    bad = ~np.isfinite(table).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError("a value is missing or infinite", row=row + 1, column=name, received=table[row].tolist())
    return table


def _classes(n_classes: int | None, **columns: npt.ArrayLike) -> list[IntArray]:
    """The columns as int64, shape (rows,), each class from 0 to n_classes - 1; equally long."""
    checked = {}
    for name, values in columns.items():
        column = np.asarray(values)
        if column.ndim != 1 or (column.size and column.dtype.kind not in "iub"):
            raise DataError(
                "classes are not a column of integers",
                column=name,
                expected="shape (rows,) of an integer dtype",
                received=f"shape {column.shape} of {column.dtype}",
            )
        column = column.astype(np.int64)
        bad = (column < 0) | (column >= (np.inf if n_classes is None else n_classes))
        if bad.any():
            row = int(np.argmax(bad))
            expected = "0 or more" if n_classes is None else f"0 to {n_classes - 1}"
            raise DataError(
                "a class is out of range", row=row + 1, column=name, expected=expected, received=int(column[row])
            )
        checked[name] = column
    _columns.same_length(**checked)
    return list(checked.values())
