"""scikit-learn's own checks of an estimator, and its tools around one."""

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from kmodels.estimators import TabularClassifier, TabularRegressor

SMALL = {
    **{"hidden": (16,), "members": 2, "bins": 8, "dim": 4, "frequencies": 0, "dropout": 0.0, "networks": 1},
    **{"epochs": 12, "learning_rate": 3e-2},
}
NOT_APPLICABLE = {
    "check_sample_weight_equivalence_on_dense_data": "rows are drawn into batches, where two of one row are not one "
    "row of twice the weight",
}
if keras.backend.backend() == "jax":  # test_tabular.py has it within 1e-6
    NOT_APPLICABLE["check_methods_sample_order_invariance"] = "XLA rounds float32 by where a row stands in a batch"
if keras.backend.backend() == "tensorflow":
    NOT_APPLICABLE["check_estimators_pickle"] = "its graph is drawn anew, and rounds float32 in another order"
around_one = pytest.mark.one_backend("torch")  # they clone, fit and predict, which the checks do on each
ESTIMATORS = [TabularClassifier(**SMALL), TabularRegressor(**SMALL)]
# The checks in which a network must have learnt; the others fit it too, some of them ten times.
LEARNT = {"check_classifiers_train", "check_class_weight_classifiers", "check_regressors_train"}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: NOT_APPLICABLE)
def test_scikit_learn_checks(estimator, check):
    if check.func.__name__ not in LEARNT:
        estimator = clone(estimator).set_params(epochs=2)
    check(estimator)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200), "city": rng.choice(["A", "B"], 200)})
    return frame, np.where(frame["x"] + (frame["city"] == "A") > 0.5, "yes", "no")


@around_one
def test_it_works_in_a_pipeline_and_in_cross_validation(table):
    frame, y = table
    scaled = make_column_transformer((StandardScaler(), ["x", "z"]), remainder="passthrough")
    pipeline = make_pipeline(scaled.set_output(transform="pandas"), TabularClassifier(**SMALL))
    scores = cross_val_score(pipeline, frame, y, cv=3)
    assert scores.mean() > 0.85, scores


@around_one
def test_a_grid_search_chooses_its_parameters(table):
    frame, _ = table
    amounts = 3 * frame["x"] + (frame["city"] == "A")
    search = GridSearchCV(TabularRegressor(**SMALL), {"learning_rate": [1e-6, 2e-2]}, cv=2).fit(frame, amounts)
    assert search.best_params_ == {"learning_rate": 2e-2}
    assert search.best_score_ > 0.8


@around_one
def test_a_calibrated_classifier_has_it_inside(table):
    frame, y = table
    calibrated = CalibratedClassifierCV(TabularClassifier(**SMALL), cv=2).fit(frame, y)
    assert calibrated.score(frame, y) > 0.85
