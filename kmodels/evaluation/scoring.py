"""The metrics of predictions of either kind, part by part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kmodels.evaluation import classification, regression


def score_parts(
    true: npt.ArrayLike, predicted: Mapping[str, npt.ArrayLike], parts: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, dict[str, float]]:
    """Computes the metrics of one model's predictions on each part of the rows.

    Args:
        true: (all rows,) classes, integers from 0, or amounts.
        predicted: Part -> (rows of the part, classes) probabilities, or (rows of the part,) amounts.
        parts: Part -> positions of its rows.

    Returns:
        Part -> of probabilities the metrics of `classification.evaluate`, of amounts `rmse`, `mae` and `r2`.

    Raises:
        DataError: If a part has no rows, lengths differ or a value is missing.

    Example:
        >>> parts = {"train": np.array([0]), "test": np.array([1, 2])}
        >>> score_parts([5.0, 1.0, 3.0], {"test": [2.0, 4.0]}, parts)["test"]["rmse"]
        1.0
    """
    values, found = np.asarray(true), {}
    for part, predictions in predicted.items():
        metrics = classification.evaluate if np.ndim(predictions) == 2 else regression.regression_metrics
        found[part] = metrics(values[parts[part]], predictions)
    return found
