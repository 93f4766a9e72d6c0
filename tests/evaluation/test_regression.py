"""Regression metrics against their definitions, and the columns they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from kmodels.errors import DataError
from kmodels.evaluation import regression


def test_metrics_follow_their_definitions():
    rng = np.random.default_rng(0)
    truth, prediction = rng.normal(3, 1, 200), rng.normal(3, 1, 200)
    metrics = regression.regression_metrics(truth, prediction)
    error = truth - prediction
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
    assert metrics["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-12)
    assert metrics["r2"] == pytest.approx(1 - np.sum(error**2) / np.sum((truth - truth.mean()) ** 2), rel=1e-12)
    assert list(metrics) == ["rmse", "mae", "r2"]
    assert all(type(value) is float for value in metrics.values())


def test_predictions_of_keras_do_not_broadcast():
    truth, prediction = np.array([1.0, 2.0, 4.0]), np.array([[1.0], [2.0], [4.0]], np.float32)
    assert regression.regression_metrics(truth, prediction) == {"rmse": 0.0, "mae": 0.0, "r2": 1.0}


def test_sums_are_in_float64():
    truth = np.full(10**6, 4.0, np.float32)
    assert regression.rmse(truth, truth + np.float32(0.125)) == pytest.approx(0.125, rel=1e-9)


def test_r2_of_equal_truths():
    assert regression.regression_metrics([3.0, 3.0], [3.0, 3.0])["r2"] == 1.0
    assert regression.regression_metrics([3.0, 3.0], [3.0, 4.0])["r2"] == 0.0


@pytest.mark.parametrize("metric", [regression.rmse, regression.regression_metrics])
@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([], [], "no rows"),
        ([1.0, 2.0], [1.0], "differ in length"),
        ([1.0, np.nan], [1.0, 2.0], "row 2, column 'y_true'"),
        ([1.0, 2.0], [np.inf, 2.0], "row 1, column 'y_pred'"),
        ([1.0, 2.0], [[1.0, 2.0], [1.0, 2.0]], "column 'y_pred': not a column"),
        ([1.0, 2.0], ["a", "b"], "not a column of numbers"),
    ],
)
def test_bad_columns_are_refused(metric, truth, prediction, message):
    with pytest.raises(DataError, match=message):
        metric(truth, prediction)


def test_r2_of_one_row_is_refused():
    with pytest.raises(DataError, match="two rows or more"):
        regression.regression_metrics([1.0], [1.0])
