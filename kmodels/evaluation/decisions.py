"""A classifier of two classes judged on several splits: its metrics, the threshold chosen on validation, the spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kmodels.errors import DataError
from kmodels.evaluation import classification

Metrics = dict[str, float]

#: The metrics that depend on the threshold.
OF_DECISIONS = ("accuracy", "balanced_accuracy", "macro_f1")


def judge(true: npt.ArrayLike, probability: Mapping[str, npt.ArrayLike], rows: Mapping[str, npt.ArrayLike]) -> dict:
    """Scores one model on one split, and chooses its decision threshold.

    Args:
        true: (all rows,) true classes, 0 or 1.
        probability: "validation" and "test" -> (rows of that part, 2), each row summing to 1.
        rows: "validation" and "test" -> positions of the part's rows; other parts are passed over.

    Returns:
        `validation` and `test`: the metrics of `classification.evaluate`, for which the more probable class is
        predicted. `at_threshold`: accuracy, balanced_accuracy and macro_f1 of the test rows where class 1 is predicted
        from that probability on which makes the balanced accuracy of the validation rows highest, and this `threshold`.

    Raises:
        DataError: As `classification.evaluate`; and if a class does not occur in the validation rows.

    Example:
        >>> sure = [[0.9, 0.1], [0.6, 0.4]]
        >>> found = judge([0, 1, 0, 1], {"validation": sure, "test": sure}, {"validation": [0, 1], "test": [2, 3]})
        >>> found["test"]["accuracy"], found["at_threshold"]["accuracy"], found["at_threshold"]["threshold"]
        (0.5, 1.0, 0.25)
    """
    labels = np.asarray(true)
    truth = {part: labels[np.asarray(rows[part])] for part in ("validation", "test")}
    cut = classification.threshold(truth["validation"], probability["validation"])
    decided = classification.evaluate(truth["test"], probability["test"], threshold=cut)
    return {
        **{part: classification.evaluate(truth[part], probability[part]) for part in truth},
        "at_threshold": {"threshold": cut, **{name: decided[name] for name in OF_DECISIONS}},
    }


def judge_all(
    true: npt.ArrayLike,
    probability: Mapping[str, Mapping[str, Mapping[str, npt.ArrayLike]]],
    rows: Mapping[str, Mapping[str, npt.ArrayLike]],
) -> dict[str, dict[str, dict[str, Metrics]]]:
    """Scores several models on several splits.

    Args:
        true: As for `judge`.
        probability: Model -> split -> as for `judge`.
        rows: Split -> as for `judge`.

    Returns:
        Model -> split -> what `judge` gives.

    Raises:
        DataError: As `judge`.

    Example:
        >>> share = {"validation": [[0.9, 0.1], [0.6, 0.4]], "test": [[0.2, 0.8]]}
        >>> rows = {"fold_1": {"validation": [0, 1], "test": [2]}}
        >>> judge_all([0, 1, 1], {"net": {"fold_1": share}}, rows)["net"]["fold_1"]["test"]["accuracy"]
        1.0
    """
    return {
        who: {split: judge(true, each, rows[split]) for split, each in every.items()}
        for who, every in probability.items()
    }


def mean_and_std(folds: Sequence[Mapping[str, float]]) -> tuple[Metrics, Metrics]:
    """Averages metrics over folds.

    Args:
        folds: Name -> value, of each fold; the same names in all.

    Returns:
        The mean of each metric, and its standard deviation (of the sample; NaN for a single fold).

    Raises:
        DataError: There is no fold, or one lacks a metric.

    Example:
        >>> mean_and_std([{"accuracy": 0.7}, {"accuracy": 0.9}])[0]
        {'accuracy': 0.8}
    """
    if not folds or any(set(fold) != set(folds[0]) for fold in folds):
        raise DataError("the folds have no metrics in common", received=[sorted(fold) for fold in folds])
    values = {name: np.array([fold[name] for fold in folds], np.float64) for name in folds[0]}
    mean = {name: float(value.mean()) for name, value in values.items()}
    return mean, {name: float(value.std(ddof=1)) if len(folds) > 1 else np.nan for name, value in values.items()}


def averages(folds: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]) -> dict[str, dict[str, Metrics]]:
    """Averages what `judge` gave over folds.

    Args:
        folds: Model -> what `judge` gave of each fold.

    Returns:
        Model -> `validation`, `test` and `at_threshold`, each the means over the folds.

    Raises:
        DataError: There is no fold, or one lacks a metric.

    Example:
        >>> averages({"net": [{"test": {"accuracy": 0.5}}, {"test": {"accuracy": 1.0}}]})
        {'net': {'test': {'accuracy': 0.75}}}
    """
    return {
        who: {part: mean_and_std([fold[part] for fold in each])[0] for part in each[0]} for who, each in folds.items()
    }
