"""Errors of predicted numbers, in the unit of the numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from kmodels import checks

__all__ = ["regression_metrics"]

FloatArray = npt.NDArray[np.float64]


def rmse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Root of the mean squared error of predictions (rows,) or (rows, 1), in the unit of the values."""
    return float(root_mean_squared_error(*_pair(y_true, y_pred)))


def regression_metrics(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> dict[str, float]:
    """Computes the errors of a regression under the names used in reports.

    Args:
        y_true: True values, shape (rows,) or (rows, 1).
        y_pred: Predicted values, shape (rows,) or (rows, 1).

    Returns:
        `rmse` and `mae` (mean absolute error) in the unit of the values, and `r2`: the share of the variance of the
        true values that is explained, at most 1, 0 for a prediction as good as their mean, negative for a worse one.
        If all true values are equal, `r2` is 1 for a perfect prediction and 0 for any other; NaN for a single row.

    Raises:
        DataError: No rows, different lengths, other shapes, or a missing or infinite value.

    Example:
        >>> regression_metrics([1.0, 3.0], [2.0, 2.0])
        {'rmse': 1.0, 'mae': 1.0, 'r2': 0.0}
    """
    truth, prediction = _pair(y_true, y_pred)
    return {
        "rmse": float(root_mean_squared_error(truth, prediction)),
        "mae": float(mean_absolute_error(truth, prediction)),
        "r2": float(r2_score(truth, prediction)) if len(truth) > 1 else np.nan,
    }


def _pair(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    # Keras predicts (rows, 1). Against (rows,) plain NumPy would broadcast to (rows, rows) without a word.
    pair = []
    for values, name in ((y_true, "y_true"), (y_pred, "y_pred")):
        array = np.asarray(values)
        column = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        pair.append(checks.numbers(column, name))
    truth, prediction = pair
    checks.same_length(y_true=truth, y_pred=prediction)
    return truth, prediction
