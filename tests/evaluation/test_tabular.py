"""Baselines of tables and images against scikit-learn, and what they refuse."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error

from kmodels.errors import DataError
from kmodels.evaluation import classification, image_baselines, regression, tabular, tabular_baselines


@pytest.fixture(autouse=True)
def _quick_and_without_warnings(monkeypatch):
    monkeypatch.setitem(tabular._BOOSTING, "max_iter", 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def products(rows=1500, seed=0):
    """Amounts by city, product (300 of them) and age, with gaps; noise of 1."""
    rng = np.random.default_rng(seed)
    product, city, age = rng.integers(0, 300, rows), rng.integers(0, 3, rows), rng.normal(40, 12, rows)
    effect = np.random.default_rng(99).normal(0, 3, 300)
    y = 10 + effect[product] + np.array([0.0, 2.0, -2.0])[city] + 0.1 * (age - 40) + rng.normal(0, 1, rows)
    x = pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.1, np.nan, age),
            "city": pd.Series(np.array(["A", "B", "C"])[city]).where(rng.random(rows) < 0.9),
            "product_id": pd.Categorical(product, categories=range(300)),
            "member": rng.random(rows) < 0.5,
        }
    )
    return x, y


def test_regressors_find_the_planted_effects():
    (x, y), (test, truth) = products(), products(seed=1)
    found = tabular.fit_regressors(x, y, group="product_id")
    assert list(found) == ["mean", "ridge", "gradient_boosting", "mean_per_product_id"]
    error = {name: regression.rmse(truth, predict(test)) for name, predict in found.items()}
    assert error["mean"] == pytest.approx(np.sqrt(np.mean((truth - y.mean()) ** 2)))
    assert error["ridge"] < 0.55 * error["mean"]
    assert error["ridge"] < error["gradient_boosting"] < 0.75 * error["mean"]
    assert error["ridge"] < error["mean_per_product_id"] < 0.8 * error["mean"]


def test_ridge_is_scikit_learn_s_on_the_same_columns():
    x, y = products(300)
    x = x.assign(product_id=pd.Categorical(x["product_id"].astype(int) % 4))
    by_hand = pd.DataFrame({"age": (x["age"] - x["age"].mean()) / x["age"].std(ddof=0), "member": x["member"]})
    by_hand["member"] = (by_hand["member"] - by_hand["member"].mean()) / by_hand["member"].std(ddof=0)
    by_hand = by_hand.fillna(0.0)
    dummies = pd.get_dummies(x[["city", "product_id"]])
    by_hand = pd.concat([by_hand, dummies, x[["age", "city"]].isna().add_suffix("_gap")], axis=1).astype(float)
    predicted = tabular.fit_regressors(x, y)["ridge"](x)
    candidates = [Ridge(alpha=alpha).fit(by_hand, y).predict(by_hand) for alpha in (0.01, 0.1, 1, 10, 100)]
    assert min(np.abs(predicted - other).max() for other in candidates) < 1e-3


def test_group_means_are_plain_and_fall_back():
    x = pd.DataFrame({"shop": ["a", "a", "b", None], "n": [1, 2, 3, 4]})
    predict = tabular.fit_regressors(x, [1.0, 2.0, 6.0, 11.0], group="shop")["mean_per_shop"]
    rows = pd.DataFrame({"shop": ["a", "b", "new", None]})
    assert predict(rows).tolist() == [1.5, 6.0, 5.0, 5.0]
    assert predict(rows.astype("category")).tolist() == [1.5, 6.0, 5.0, 5.0]


def rule(rows=1200, seed=0, n_classes=3):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(
        {"amount": rng.normal(size=rows), "kind": pd.Categorical(np.array(list("pqr"))[rng.integers(0, 3, rows)])}
    )
    level = x["amount"] + x["kind"].map({"p": -1.0, "q": 0.0, "r": 1.0}).astype(float) + rng.logistic(0, 0.5, rows)
    return x, np.digitize(level, [0.0] if n_classes == 2 else [-0.7, 0.7]).astype(np.int32)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers_learn_the_rule(n_classes):
    (x, y), (test, truth) = rule(n_classes=n_classes), rule(seed=1, n_classes=n_classes)
    found = tabular.fit_classifiers(x, y, n_classes)
    scores = {name: classification.evaluate(truth, predict(test)) for name, predict in found.items()}
    np.testing.assert_allclose(found["majority"](test[:2]), np.tile(np.bincount(y) / len(y), (2, 1)))
    assert scores["majority"]["roc_auc"] == 0.5
    assert scores["logistic_regression"]["roc_auc"] > 0.85
    assert scores["gradient_boosting"]["roc_auc"] > 0.83
    assert scores["logistic_regression"]["log_loss"] < 0.75 * scores["majority"]["log_loss"]


def test_logistic_regression_is_scikit_learn_s_on_the_same_columns():
    x, y = rule(400)
    design = pd.get_dummies(x).astype(float)
    design["amount"] = (design["amount"] - design["amount"].mean()) / design["amount"].std(ddof=0)
    found = tabular.fit_classifiers(x, y, 3)["logistic_regression"](x)
    tried = [
        LogisticRegression(C=c, max_iter=1000, tol=1e-6).fit(design, y).predict_proba(design)
        for c in (0.01, 0.1, 1, 10, 100)
    ]
    assert min(np.abs(found - other).max() for other in tried) < 5e-3


def test_penalties_are_chosen_on_rows_left_out():
    """From noise, a linear model must learn to say nothing, and from a plain line to follow it."""
    rng = np.random.default_rng(0)
    x, y = pd.DataFrame(rng.normal(size=(90, 30))).rename(columns=str), np.arange(90) % 2
    assert np.abs(tabular.fit_classifiers(x, y, 2)["logistic_regression"](x) - 0.5).max() < 0.25
    assert np.std(tabular.fit_regressors(x, y)["ridge"](x)) < 0.3
    line = x["0"] - 2 * x["7"]
    np.testing.assert_allclose(tabular.fit_regressors(x, line)["ridge"](x), line, atol=0.01)


def test_a_class_without_rows_has_probability_zero_in_its_own_column():
    x, y = rule()
    found = tabular.fit_classifiers(x, np.where(y == 2, 3, y), n_classes=5)
    for name, predict in found.items():
        share = predict(x[:50])
        assert share.shape == (50, 5), name
        assert (share[:, [2, 4]] == 0).all(), name
        np.testing.assert_allclose(share.sum(axis=1), 1)


def test_many_categories_are_encoded_out_of_fold():
    """Labels are noise: means that had seen their own row would make boosting look certain on training rows."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"id": pd.Categorical(rng.integers(0, 300, 900)), "n": rng.normal(size=900)})
    for n_classes in (2, 3):
        y = rng.integers(0, n_classes, len(x))
        share = tabular.fit_classifiers(x, y, n_classes)["gradient_boosting"](x)
        assert classification.evaluate(y, share)["log_loss"] > 0.7 * np.log(n_classes)
    y = rng.normal(size=len(x))
    assert regression.regression_metrics(y, tabular.fit_regressors(x, y)["gradient_boosting"](x))["r2"] < 0.5


def test_new_and_missing_values_are_predicted_and_other_columns_ignored():
    x, y = products(600)
    rows = pd.DataFrame(
        {
            "extra": ["?"] * 3,
            "member": [True, False, True],
            "product_id": ["never seen", None, 5],
            "city": ["Z", None, "A"],
            "age": [np.nan, 30, 40],
        }
    )
    for name, predict in tabular.fit_regressors(x, y, group="product_id").items():
        assert np.isfinite(predict(rows)).all(), name
    for name, predict in tabular.fit_classifiers(x, (y > 10).astype(int), 2).items():
        assert np.isfinite(predict(rows)).all(), name


def test_order_of_columns_text_and_category_do_not_matter():
    x, y = products(400)
    predict = tabular.fit_regressors(x, y)
    other = x[x.columns[::-1]].assign(city=x["city"].astype("category"))
    for name, of in predict.items():
        np.testing.assert_array_equal(of(x), of(other), err_msg=name)


def test_pandas_own_dtypes_are_numbers_with_gaps():
    x, y = products(200)
    nullable = x.assign(age=x["age"].round().astype("Int64"), member=x["member"].astype("boolean"))
    plain = x.assign(age=x["age"].round())
    same = tabular.fit_regressors(plain, y)
    for name, of in tabular.fit_regressors(nullable, y).items():
        np.testing.assert_array_equal(of(nullable), same[name](plain), err_msg=name)


def test_the_same_seed_gives_the_same_baselines():
    x, y = rule(300)
    one, two = tabular.fit_classifiers(x, y, 3, seed=3), tabular.fit_classifiers(x, y, 3, seed=3)
    for name in one:
        np.testing.assert_array_equal(one[name](x), two[name](x))


@pytest.mark.parametrize("rows", [2, 4, 25])
def test_very_few_rows_are_fitted(rows):
    x, y = products(rows)
    for predict in tabular.fit_regressors(x, y).values():
        assert np.isfinite(predict(x)).all()
    for predict in tabular.fit_classifiers(x, np.arange(rows) % 2, 2).values():
        assert np.isfinite(predict(x)).all()


def test_constant_and_empty_columns_do_no_harm():
    x, y = rule(200)
    x = x.assign(constant=1.0, nothing=np.nan, no_kind=pd.Series([None] * 200, dtype="object"))
    with_them, without = tabular.fit_classifiers(x, y, 3), tabular.fit_classifiers(x[["amount", "kind"]], y, 3)
    for name, predict in with_them.items():
        np.testing.assert_allclose(predict(x), without[name](x), atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ({"a": [1.0, 2.0]}, [0, 1, 1], "differ in length"),
        ({"a": []}, np.zeros(0, int), "no rows"),
        ({}, [0, 1], "no columns"),
        ({"a": [None, None]}, [0, 1], "no column holds a value"),
        ({"a": [1.0, np.inf]}, [0, 1], "row 2, column 'a': an infinite value"),
        ({"a": pd.to_datetime(["2020-01-01", "2020-01-02"])}, [0, 1], "column 'a': neither numbers nor categories"),
        ({"a": [[1], [2]]}, [0, 1], "column 'a': neither numbers nor categories"),
        ({"a": [1.0, 2.0]}, [1, 1], "only one class occurs in the training rows"),
        ({"a": [1.0, 2.0]}, [0, -1], "a class is out of range"),
        ({"a": [1.0, 2.0]}, [0.5, 1.0], "integers"),
    ],
)
def test_bad_tables_are_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        tabular.fit_classifiers(pd.DataFrame(x), y, 2)


def test_bad_targets_groups_and_later_rows_are_refused():
    x, y = products(50)
    with pytest.raises(DataError, match="row 1, column 'y'"):
        tabular.fit_regressors(x, [np.nan, *y[1:]])
    with pytest.raises(DataError, match="no such column"):
        tabular.fit_regressors(x, y, group="shop")
    with pytest.raises(DataError, match="out of range"):
        tabular.fit_classifiers(x, np.arange(50) % 3, n_classes=2)
    with pytest.raises(DataError, match="stands twice"):
        tabular.fit_regressors(pd.concat([x, x], axis=1), y)
    for predict in [*tabular.fit_regressors(x, y).values()][1:]:
        with pytest.raises(DataError, match="column 'age': a column of the training rows is missing"):
            predict(x.drop(columns="age"))
        with pytest.raises(DataError, match="column 'age': not numbers"):
            predict(x.assign(age="old"))


def test_parts_are_predicted_by_baselines_of_the_training_rows():
    x, y = products(400)
    parts = {"train": np.arange(250), "test": np.arange(250, 400), "unseen": np.arange(0)}
    found = tabular_baselines(x, y, parts, group="product_id")
    fitted = tabular.fit_regressors(x[:250], y[:250], group="product_id")
    assert {name: list(predicted) for name, predicted in found.items()} == {name: ["test"] for name in fitted}
    for name, predict in fitted.items():
        np.testing.assert_array_equal(found[name]["test"], predict(x[250:]), err_msg=name)
    shares = tabular_baselines(x, (y > 10).astype(int), parts, n_classes=3)
    assert {predicted["test"].shape for predicted in shares.values()} == {(150, 3)}
    with pytest.raises(DataError, match="differ in length"):
        tabular_baselines(x, y[1:], parts)


@pytest.fixture(scope="module")
def stripes():
    """Images of 6 × 6 with one brighter row (class 0), column (1) or neither (2), in noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    images = rng.integers(0, 120, (600, 6, 6, 1))
    for image, label, at in zip(images, labels, rng.integers(6, size=600), strict=True):
        if label < 2:
            image[(at, slice(None)) if label == 0 else (slice(None), at)] += 100
    return images.astype(np.uint8), labels


def test_each_baseline_gives_probabilities_of_every_class(stripes):
    images, labels = stripes
    found = image_baselines(images[:400], labels[:400], images[400:], 3)
    assert list(found) == ["majority", "logistic_regression", "random_forest"]
    for share in found.values():
        assert share.shape == (200, 3)
        np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found["majority"][0], np.bincount(labels[:400]) / 400)
    # Which row is bright is no linear question, so that the forest is ahead.
    accuracy = {name: classification.evaluate(labels[400:], share)["accuracy"] for name, share in found.items()}
    assert accuracy["random_forest"] > accuracy["majority"] + 0.2


def test_a_class_without_images_has_probability_zero(stripes):
    images, labels = stripes
    for share in image_baselines(images[:400], np.where(labels == 2, 4, labels)[:400], images[400:], 5).values():
        assert (share[:, [2, 3]] == 0).all()
        np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-6)


def test_with_all_components_it_is_scikit_learns_logistic_regression(stripes):
    images, labels = stripes
    ours = image_baselines(images, labels, images, 3)["logistic_regression"]
    x = images.reshape(600, -1) / 255
    theirs = (
        LogisticRegression(max_iter=300, tol=1e-3).fit(x - x.mean(axis=0), labels).predict_proba(x - x.mean(axis=0))
    )
    np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, int), "the columns differ in length"),
        (np.array([1, 1, 1, 1]), "only one class occurs in the training rows"),
        (np.array([0, 1, 2, 3]), "a class is out of range"),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        image_baselines(np.zeros((4, 2, 2, 1), np.uint8), labels, np.zeros((1, 2, 2, 1), np.uint8), 3)


@pytest.mark.one_backend("torch")
@pytest.mark.parametrize("n_classes", [None, 2])
def test_boosting_is_tuned_on_the_validation_rows(monkeypatch, n_classes):
    """By scikit-learn alone: of the same settings those of the least loss there, fitted to the training rows."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"a": rng.normal(size=900), "b": rng.normal(size=900)})
    y = np.sin(3 * x["a"].to_numpy()) + 0.5 * rng.normal(size=900)
    y = y if n_classes is None else (y > 0).astype(int)
    grid = [{"learning_rate": 0.1, "max_leaf_nodes": leaves, "max_iter": 40} for leaves in (2, 4, 31)]
    monkeypatch.setattr(tabular, "_GRID", grid)
    parts = {"train": np.arange(500), "validation": np.arange(500, 700), "test": np.arange(700, 900)}
    kind = HistGradientBoostingRegressor if n_classes is None else HistGradientBoostingClassifier
    options = {"early_stopping": True, "n_iter_no_change": 10, "validation_fraction": 0.1, "random_state": 0}
    fitted = [kind(**options, **each).fit(x[:500].to_numpy(), y[:500]) for each in grid]
    known = x[500:700].to_numpy()
    if n_classes is None:
        losses = [mean_squared_error(y[500:700], model.predict(known)) for model in fitted]
    else:
        losses = [log_loss(y[500:700], model.predict_proba(known)) for model in fitted]
    best = fitted[int(np.argmin(losses))]
    assert losses[2] > min(losses)  # the last one tried is not the best
    found = tabular_baselines(x, y, parts, n_classes=n_classes, tune=True)["gradient_boosting"]["test"]
    test = x[700:].to_numpy()
    np.testing.assert_allclose(found, best.predict(test) if n_classes is None else best.predict_proba(test))


def test_boosting_is_tuned_where_validation_has_a_class_that_training_lacks(monkeypatch):
    monkeypatch.setattr(tabular, "_GRID", tabular._GRID[:2])
    x, y = pd.DataFrame({"a": np.arange(90.0)}), np.arange(90) // 30
    parts = {"train": np.arange(60), "validation": np.arange(50, 90), "test": np.arange(60, 70)}
    assert tabular_baselines(x, y, parts, n_classes=3, tune=True)["gradient_boosting"]["test"].shape == (10, 3)
