"""Metrics against scikit-learn and their definitions, and the columns they refuse."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from kmodels.errors import DataError
from kmodels.evaluation import classification, regression


def drawn(n_classes, rows=400, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, rows)
    logits = rng.normal(size=(rows, n_classes))
    logits[np.arange(rows), true] += 1
    return true, classification.softmax(logits)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_metrics_are_scikit_learn_s(n_classes):
    true, share = drawn(n_classes)
    found = classification.evaluate(true, share.astype(np.float32))
    predicted = share.argmax(axis=1)
    positive = share[:, 1] if n_classes == 2 else share
    expected = {
        "accuracy": metrics.accuracy_score(true, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
        "macro_f1": metrics.f1_score(true, predicted, average="macro"),
        "roc_auc": metrics.roc_auc_score(true, positive, multi_class="ovr"),
        "log_loss": -np.mean(np.log(share[np.arange(len(true)), true])),
        "brier": np.mean(np.sum((share - np.eye(n_classes)[true]) ** 2, axis=1)) / (2 if n_classes == 2 else 1),
    }
    if n_classes == 2:
        expected["pr_auc"] = metrics.average_precision_score(true, share[:, 1])
        assert expected["brier"] == pytest.approx(metrics.brier_score_loss(true, share[:, 1]))
    assert set(found) == {*expected, "ece"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
        assert type(found[name]) is float


def test_ece_by_hand():
    # Two rows at 0.95 of which one is right, one at 0.55 that is right: 2/3 * 0.45 + 1/3 * 0.45.
    share = [[0.95, 0.05], [0.95, 0.05], [0.45, 0.55]]
    assert classification.evaluate([0, 1, 1], share)["ece"] == pytest.approx(0.45)
    table = classification.calibration([0, 1, 1], share)
    assert table.columns.tolist() == ["confidence", "accuracy", "count"]
    np.testing.assert_allclose(table.to_numpy(), [[0.55, 1.0, 1], [0.95, 0.5, 2]])


def test_calibration_holds_every_row_and_a_full_confidence():
    table = classification.calibration([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    assert table["count"].sum() == 2
    assert table["confidence"].tolist() == [0.5, 1.0]


def test_half_precision_sums_near_enough_to_one():
    true, share = drawn(10)
    half = classification.evaluate(true, share.astype(np.float16))
    assert half["log_loss"] == pytest.approx(classification.evaluate(true, share)["log_loss"], abs=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_that_does_not_occur_makes_areas_nan_and_nothing_else(n_classes):
    share = np.full((4, n_classes), 0.1 / (n_classes - 1))
    share[:, 0] = 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification.evaluate(np.zeros(4, int), share)
    assert [name for name, value in found.items() if np.isnan(value)] == (
        ["roc_auc", "pr_auc"] if n_classes == 2 else ["roc_auc"]
    )
    assert found["accuracy"] == found["balanced_accuracy"] == found["macro_f1"] == 1.0


def test_certainty_that_is_wrong_has_a_finite_loss():
    assert 30 < classification.evaluate([0, 1], [[0.0, 1.0], [0.0, 1.0]])["log_loss"] * 2 < 40


@pytest.mark.parametrize(
    ("true", "share", "message"),
    [
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "row 2, column 'probability': a value is missing"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.6]], "row 2, column 'probability': the probabilities of a row do not sum to 1"),
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "row 1, column 'probability': not a probability; expected 0 to 1 .logits"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "row 2, column 'true': a class is out of range; expected 0 to 1"),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]], "received -1"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], "differ in length"),
        ([], np.zeros((0, 2)), "no rows"),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], "not a column of integers"),
        ([0, 1], [0.5, 0.5], "another shape; expected shape .rows, columns."),
        ([0, 1], [[0.5], [0.5]], "two classes or more"),
        ([0, 1], [["a", "b"], ["c", "d"]], "not numbers"),
    ],
)
def test_bad_input_is_refused(true, share, message):
    with pytest.raises(DataError, match=message):
        classification.evaluate(true, share)


def test_softmax_does_not_overflow_and_refuses_nan():
    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]], np.float32)
    share = classification.softmax(logits)
    np.testing.assert_allclose(share[1], np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum())
    assert share[0].tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="row 1, column 'logits'"):
        classification.softmax([[np.inf, 0.0]])


def test_per_class_is_scikit_learn_s_report():
    true, share = drawn(3)
    predicted = share.argmax(axis=1)
    table = classification.per_class(true, predicted, ["low", "medium", "high"])
    report = metrics.classification_report(true, predicted, target_names=["low", "medium", "high"], output_dict=True)
    for label in table.index:
        assert table.loc[label].to_dict() == pytest.approx(
            {key.replace("-score", ""): value for key, value in report[label].items()}
        )
    assert table["f1"].mean() == pytest.approx(classification.evaluate(true, share)["macro_f1"])


def test_per_class_says_nan_where_a_class_is_absent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = classification.per_class([0, 0, 1], [0, 0, 2], ["a", "b", "c", "d"])
    assert table["support"].tolist() == [2, 1, 0, 0]
    np.testing.assert_array_equal(table["precision"], [1, np.nan, 0, np.nan])
    np.testing.assert_array_equal(table["recall"], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(table["f1"], [1, 0, 0, np.nan])
    share = np.eye(4)[[0, 0, 2]]
    assert classification.evaluate([0, 0, 1], share)["macro_f1"] == pytest.approx(table["f1"].mean())


def test_confusion_has_true_classes_by_row_and_absent_ones_too():
    found = classification.confusion([0, 0, 1, 2], [0, 1, 1, 0], 4)
    assert found.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.dtype == np.int64
    with pytest.raises(DataError, match="column 'predicted'"):
        classification.confusion([0, 1], [0, 3], 3)


def test_collapsed():
    assert classification.collapsed(np.array([2] * 99 + [0])) == 2
    assert classification.collapsed([2] * 197 + [0] * 3) is None
    assert classification.collapsed([2] * 197 + [0] * 3, share=0.9) == 2
    assert classification.collapsed([0]) == 0
    with pytest.raises(DataError, match="no rows"):
        classification.collapsed([])


def test_threshold_is_the_best_of_all():
    rng = np.random.default_rng(1)
    true = (rng.random(80) < 0.2).astype(int)
    positive = np.round(np.clip(rng.normal(0.25 + 0.2 * true, 0.15), 0, 1), 2)  # with ties
    chosen = classification.threshold(true, np.stack([1 - positive, positive], axis=1))
    # Between two neighbouring hundredths the prediction does not change.
    tried = {cut: metrics.balanced_accuracy_score(true, positive >= cut) for cut in np.arange(0.005, 1.01, 0.01)}
    assert metrics.balanced_accuracy_score(true, positive >= chosen) == pytest.approx(max(tried.values()))
    good = [cut for cut, value in tried.items() if value >= max(tried.values()) - 1e-12]
    assert abs(chosen - 0.5) <= min(abs(cut - 0.5) for cut in good) + 0.1


def test_a_threshold_lies_between_neighbours_that_touch():
    high = np.nextafter(0.75, 1)
    assert classification.threshold([0, 1], [[0.25, 0.75], [1 - high, high]]) == high
    assert classification.threshold([1, 0], [[0.5, 0.5], [0.0, 1.0]]) == pytest.approx(0.25)


def test_threshold_refuses_what_it_cannot_choose():
    with pytest.raises(DataError, match="both classes"):
        classification.threshold([1, 1], [[0.5, 0.5]] * 2)
    with pytest.raises(DataError, match="two classes"):
        classification.threshold([1, 0], [[0.2, 0.3, 0.5]] * 2)


@pytest.fixture
def two_classes():
    """Labels and probabilities of 150 validation and 150 test rows, 70 % of class 1."""
    rng = np.random.default_rng(0)
    true = (rng.random(300) < 0.7).astype(int)
    share = 1 / (1 + np.exp(-(rng.normal(size=300) + 1.5 * true)))
    both = np.column_stack([1 - share, share])
    return {"validation": true[:150], "test": true[150:]}, {"validation": both[:150], "test": both[150:]}


def test_the_threshold_is_chosen_on_the_validation_rows_alone(two_classes):
    true, probability = two_classes
    found = classification.evaluate_with_threshold(true, probability)
    for part in ("validation", "test"):
        assert found[part] == classification.evaluate(true[part], probability[part])
    chosen = found["at_threshold"]
    score = probability["validation"][:, 1]
    every = [metrics.balanced_accuracy_score(true["validation"], score >= cut) for cut in np.unique(score)]
    reached = metrics.balanced_accuracy_score(true["validation"], score >= chosen["threshold"])
    assert reached == pytest.approx(max(every))
    decided = probability["test"][:, 1] >= chosen["threshold"]
    assert chosen["accuracy"] == pytest.approx(metrics.accuracy_score(true["test"], decided))
    assert chosen["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true["test"], decided))
    turned = {**probability, "test": probability["test"][:, ::-1]}
    again = classification.evaluate_with_threshold(true, turned)["at_threshold"]
    assert again["threshold"] == chosen["threshold"]


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
        ([1.0, 2.0], [[1.0, 2.0], [1.0, 2.0]], "column 'y_pred': another shape"),
        ([1.0, 2.0], ["a", "b"], "column 'y_pred': not numbers"),
    ],
)
def test_bad_columns_are_refused(metric, truth, prediction, message):
    with pytest.raises(DataError, match=message):
        metric(truth, prediction)


def test_one_row_has_errors_and_no_r2():
    found = regression.regression_metrics([3.0], [5.0])
    assert (found["rmse"], found["mae"]) == (2.0, 2.0)
    assert np.isnan(found["r2"])


def test_validation_rows_of_one_class_leave_the_threshold_at_one_half():
    share = np.array([[0.9, 0.1], [0.4, 0.6]])
    found = classification.evaluate_with_threshold(
        {"validation": [1, 1], "test": [0, 1]}, {"validation": share, "test": share}
    )
    assert found["at_threshold"] == {"threshold": 0.5, "accuracy": 1.0, "balanced_accuracy": 1.0, "macro_f1": 1.0}
    assert np.isnan(found["validation"]["roc_auc"])
    assert found["test"]["roc_auc"] == 1.0


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.filterwarnings("error")
def test_test_rows_of_one_class_have_every_metric_that_is_defined(n_classes):
    share = np.full((4, n_classes), 1 / n_classes)
    found = classification.evaluate(np.zeros(4, int), share)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {"roc_auc", "pr_auc"} & set(found)
    assert found["log_loss"] == pytest.approx(np.log(n_classes))
    table = classification.per_class(np.zeros(4, int), np.ones(4, int), [str(i) for i in range(n_classes)])
    assert table["support"].tolist() == [4] + [0] * (n_classes - 1)
