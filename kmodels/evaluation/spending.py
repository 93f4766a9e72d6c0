"""Purchases judged: predicted amounts and spend groups, beside the baselines of both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.evaluation import classification, regression, tabular

Metrics = dict[str, float]


def score(amount: npt.ArrayLike, groups: npt.ArrayLike, predicted: npt.ArrayLike) -> Metrics:
    """Scores one model's predictions, of whichever kind.

    Args:
        amount: (rows,) true amounts in currency.
        groups: (rows,) true spend groups, integers from 0.
        predicted: (rows,) amounts in currency, or (rows, groups) probabilities.

    Returns:
        For amounts `rmse`, `mae`, `r2`; for probabilities the metrics of `classification.evaluate`.

    Raises:
        DataError: If there are no rows, lengths differ or a value is missing.

    Example:
        >>> score([1.0, 3.0], [0, 1], [2.0, 4.0])["rmse"]
        1.0
        >>> score([1.0, 3.0], [0, 1], [[0.8, 0.2], [0.6, 0.4]])["accuracy"]
        0.5
    """
    if np.ndim(predicted) == 2:
        return classification.evaluate(groups, predicted)
    return regression.regression_metrics(amount, predicted)


def baselines(
    columns: pd.DataFrame,
    spent: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int32],
    parts: Mapping[str, npt.NDArray[np.int64]],
    n_groups: int,
    *,
    seed: int = 0,
) -> dict[str, dict[str, Metrics]]:
    """Fits the baselines of both tasks on the training rows and scores them on the other parts.

    Args:
        columns: Categorical columns, `user_id` and `product_id` among them, without the amount.
        spent: (rows,) amounts in currency.
        groups: (rows,) spend groups.
        parts: Name of a part -> its rows; "train" is fitted on, the others are scored, empty ones left out.
        n_groups: Number of spend groups.
        seed: Seed of folds and boosting. Default 0.

    Returns:
        Baseline -> part -> metrics: `majority`, `logistic_regression`, `mean`, `ridge`, `mean_per_product_id`, and
        `gradient_boosting`, which has the metrics of both tasks, of one model each. Where there are columns beside the
        ids, also `logistic_regression_without_ids` and `gradient_boosting_without_ids`, for the groups alone.

    Raises:
        DataError: If training has one group only.

    Example:
        >>> table = pd.DataFrame({"user_id": [1, 2, 3] * 8, "product_id": [1, 2] * 12}).astype("category")
        >>> amount, rows = np.arange(24.0), np.arange(24)
        >>> found = baselines(table, amount, (amount > 11).astype("int32"), {"train": rows, "test": rows}, 2)
        >>> sorted(found["gradient_boosting"]["test"])[:3]
        ['accuracy', 'balanced_accuracy', 'brier']
    """
    rows = parts["train"]
    fitted = [
        tabular.fit_classifiers(columns.iloc[rows], groups[rows], seed=seed, n_classes=n_groups),
        tabular.fit_regressors(columns.iloc[rows], spent[rows], seed=seed, group="product_id"),
    ]
    others = columns.drop(columns=["user_id", "product_id"])
    if len(others.columns):
        without = tabular.fit_classifiers(others.iloc[rows], groups[rows], seed=seed, n_classes=n_groups)
        fitted.append({f"{name}_without_ids": predict for name, predict in without.items() if name != "majority"})
    found: dict[str, dict[str, Metrics]] = {}
    for functions in fitted:
        for name, predict in functions.items():
            for part, chosen in parts.items():
                if part != "train" and len(chosen):
                    metrics = score(spent[chosen], groups[chosen], predict(columns.iloc[chosen]))
                    found.setdefault(name, {}).setdefault(part, {}).update(metrics)
    return found
