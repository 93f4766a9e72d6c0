"""Both kinds of predictions judged, and the baselines of both tasks, against scikit-learn's metrics."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from kmodels.evaluation import spending


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"user_id": rng.integers(0, 20, 600), "product_id": rng.integers(0, 30, 600)})
    table["city"] = rng.choice(["A", "B"], 600)
    amount = 300.0 * table["product_id"].to_numpy() + 1000 * (table["city"] == "A") + rng.normal(0, 100, 600)
    return table.astype("category"), amount.to_numpy(), (amount > 5000).to_numpy().astype("int32")


PARTS = {"train": np.arange(400), "test": np.arange(400, 600), "unseen": np.arange(0)}


@pytest.fixture(scope="module")
def found(data):
    return spending.baselines(*data, PARTS, 2)


def test_boosting_has_the_figures_of_both_tasks(found):
    assert {"rmse", "mae", "r2", "accuracy", "log_loss"} <= set(found["gradient_boosting"]["test"])
    assert "rmse" not in found["logistic_regression"]["test"]
    assert all(set(parts) == {"test"} for parts in found.values())  # the part without rows is left out


def test_the_figures_are_scikit_learns(found, data):
    table, amount, groups = data
    train, test = PARTS["train"], PARTS["test"]
    constant = np.full(len(test), amount[train].mean())
    assert found["mean"]["test"]["rmse"] == pytest.approx(metrics.root_mean_squared_error(amount[test], constant))
    share = groups[train].mean()
    expected = metrics.log_loss(groups[test], np.full(len(test), share))
    assert found["majority"]["test"]["log_loss"] == pytest.approx(expected)
    by_product = pd.Series(amount[train]).groupby(table["product_id"].iloc[train].to_numpy(), observed=True).mean()
    predicted = table["product_id"].iloc[test].map(by_product).astype(float)
    expected = metrics.mean_absolute_error(amount[test], predicted)
    assert found["mean_per_product_id"]["test"]["mae"] == pytest.approx(expected)


def test_baselines_without_ids_see_none(found, data):
    table, amount, groups = data
    shuffled = table.assign(product_id=table["product_id"].sample(frac=1, random_state=1).to_numpy())
    again = spending.baselines(shuffled, amount, groups, PARTS, 2)
    name = "logistic_regression_without_ids"
    assert again[name] == found[name]
    assert again["logistic_regression"] != found["logistic_regression"]
    assert "majority_without_ids" not in found


def test_a_table_of_ids_alone_has_no_baselines_without_them(data):
    table, amount, groups = data
    found = spending.baselines(table.drop(columns="city"), amount, groups, PARTS, 2)
    assert not any(name.endswith("without_ids") for name in found)


def test_a_score_is_told_by_the_shape():
    amount, groups = [1.0, 3.0], [0, 1]
    assert set(spending.score(amount, groups, [1.0, 2.0])) == {"rmse", "mae", "r2"}
    assert spending.score(amount, groups, [[1.0, 0.0], [1.0, 0.0]])["accuracy"] == 0.5
