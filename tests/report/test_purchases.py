"""The parts of the page about purchases: who stands in which table, and what is left out."""

import numpy as np
import pandas as pd
import pytest

from kmodels.report import purchases


@pytest.fixture
def record():
    return {
        "variants": {
            "classifier": {"test": {"accuracy": 0.8, "macro_f1": 0.7, "log_loss": 0.5}},
            "regressor": {"test": {"rmse": 1400.0, "mae": 1100.0, "r2": 0.9}},
        },
        "baselines": {
            "mean": {"rmse": 4700.0, "mae": 3700.0, "r2": 0.0},
            "gradient_boosting": {"accuracy": 0.76, "macro_f1": 0.7, "log_loss": 0.6, "rmse": 1500.0},
        },
        "unseen_ids": {"regressor": {"rmse": 2000.0, "mae": 1500.0, "r2": 0.8}},
        "data": {"unit": "INR", "split": {"unseen": 70}},
    }


def test_each_task_has_its_own_models(record):
    tables = purchases.summary(record)
    assert list(tables["Amounts"].index) == ["regressor", "mean", "gradient_boosting"]
    assert list(tables["Spend groups"].index) == ["classifier", "gradient_boosting"]
    assert tables["Amounts"].loc["regressor", "RMSE, unseen"] == 2000
    assert np.isnan(tables["Amounts"].loc["mean", "RMSE, unseen"])
    assert "accuracy, unseen" not in tables["Spend groups"]  # nobody has such a figure


def test_what_nobody_can_pass_stands_beside(record):
    record["data"]["floors"] = {"oracle": 1298.6, "bayes_accuracy": 0.823, "bayes_accuracy_without_ids": 0.77}
    tables = purchases.summary(record)
    assert tables["Amounts"].loc["generating model", "RMSE"] == 1298.6
    assert tables["Spend groups"]["accuracy"].iloc[-2:].tolist() == [0.823, 0.77]
    assert "generating model without ids" in purchases.text(record)


def test_a_classifier_that_says_one_thing_is_warned_of(record):
    one, two = [[0.9, 0.1, 0.0, 0.0]] * 200, [[0.9, 0.1, 0.0, 0.0], [0.1, 0.9, 0.0, 0.0]] * 100
    record["variants"]["classifier"]["warnings"] = purchases.warnings("classifier", one)
    assert "warning: classifier predicts '< 5,000' for 100.0 % of the rows" in purchases.text(record)
    assert purchases.warnings("classifier", two) == []
    assert purchases.warnings("regressor", [1400.0, 1500.0]) == []


def test_the_section_of_unseen_ids_says_how_many(record):
    section = purchases.unseen_ids(record)
    assert "70 test rows" in section.body
    assert "Amounts (INR)" in section.body
    assert purchases.unseen_ids({**record, "unseen_ids": {}}).body == ""


def test_similar_users_have_a_column_each_and_a_map(tmp_path):
    (tmp_path / "plots").mkdir()
    found = {"value": ["x", "x", "7", "7"], "rank": [1, 2, 1, 2], "neighbour": ["a", "b", "c", "d"], "similarity": 0.5}
    vectors = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], "float32")
    users, spent = np.array([1, 1, 2, 3, 0]), [1.0, 3.0, 5.0, 6.0, 100.0]
    body = purchases.similar_users(tmp_path, pd.DataFrame(found), vectors, users, spent).body
    assert body.index("a (0.50)") < body.index("b (0.50)")
    assert body.count("(0.50)") == 4
    assert "data:image/png;base64," in body
