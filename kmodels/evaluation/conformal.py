"""Intervals that hold a new amount with a given probability, by split conformal prediction.

Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 113 (523), 2018. Whatever the model and the
distribution, an interval of a new row, drawn as the validation rows are, holds its amount with at least the coverage
asked for. That is a mean over all rows: some kinds of rows may be covered more often than others.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kmodels import checks
from kmodels.errors import ConfigurationError

__all__ = ["half_width", "interval_metrics"]


def half_width(true: npt.ArrayLike, predicted: npt.ArrayLike, coverage: float = 0.9) -> float:
    """Finds how far intervals reach on both sides of predictions: a quantile of the absolute validation errors.

    Of n errors it is the ceil((n + 1) · coverage)-th smallest.

    Args:
        true: (rows,) true amounts of rows that the model was not trained on.
        predicted: (rows,) predicted amounts.
        coverage: Share of new amounts that intervals hold, above 0 and below 1. Default 0.9.

    Returns:
        The half width, in the unit of the amounts; infinite where there are too few rows for the coverage, such as
        fewer than 9 for 0.9.

    Raises:
        DataError: No rows, different lengths, or a missing or infinite value.
        ConfigurationError: A coverage out of range.

    Example:
        >>> half_width(range(1, 20), np.zeros(19), coverage=0.9)
        18.0
    """
    if not 0 < coverage < 1:
        raise ConfigurationError(f"the coverage must be above 0 and below 1. Received: coverage={coverage}")
    errors = np.sort(np.abs(np.subtract(*_pair(true, predicted))))
    # Rounding must not make 19 of (18 + 1) · 0.9 + 0.9.
    rank = math.ceil((len(errors) + 1) * coverage - 1e-9)
    return float(errors[rank - 1]) if rank <= len(errors) else math.inf


def interval_metrics(
    true: npt.ArrayLike, predicted: npt.ArrayLike, half_width: float, *, least: float = -math.inf
) -> dict[str, float]:
    """Measures intervals on rows that chose nothing.

    Args:
        true: (rows,) true amounts.
        predicted: (rows,) predicted amounts.
        half_width: As the function of this name gives it.
        least: The least amount there is; intervals end there. Default -inf.

    Returns:
        `coverage`, the share of the amounts that their intervals hold, and `mean_width`, in the unit of the amounts.

    Raises:
        DataError: No rows, different lengths, or a missing or infinite value.

    Example:
        >>> interval_metrics([1.0, 5.0], [2.0, 2.0], 1.5)
        {'coverage': 0.5, 'mean_width': 3.0}
    """
    truth, prediction = _pair(true, predicted)
    low, high = np.maximum(prediction - half_width, least), np.maximum(prediction + half_width, least)
    held = (low <= truth) & (truth <= high)
    return {"coverage": float(held.mean()), "mean_width": float((high - low).mean())}


def _pair(true: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    truth, prediction = checks.numbers(true, "true"), checks.numbers(predicted, "predicted")
    checks.same_length(true=truth, predicted=prediction)
    return truth, prediction
