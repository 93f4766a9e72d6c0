import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, r2_score

from kmodels.errors import DataError
from kmodels.estimators import TabularClassifier, TabularRegressor
from kmodels.preprocessing import Number
from kmodels.serving import TablePredictor

SMALL = {
    **{"hidden": (16,), "members": 2, "bins": 8, "dim": 4, "frequencies": 0, "networks": 1},
    **{"epochs": 20, "learning_rate": 2e-2},
}
ROWS = 600


@pytest.fixture
def table():
    """Two numbers of which one has gaps, a category, and a rule of them that noise turns round for a tenth."""
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(2, ROWS))
    city = rng.choice(["Bonn", "Kiel", "Rome"], ROWS)
    amount = np.sin(3 * x) + 2 * (city == "Kiel") + 0.1 * rng.normal(size=ROWS)
    z[rng.random(ROWS) < 0.2] = np.nan
    return pd.DataFrame({"x": x, "z": z, "city": city}), amount


def test_a_classifier_learns_the_rule(table):
    frame, amount = table
    truth = np.where(amount > 1, "much", "little")
    rng = np.random.default_rng(2)
    noisy = np.where(rng.random(ROWS) < 0.1, np.where(truth == "much", "little", "much"), truth)
    fitted = TabularClassifier(**SMALL).fit(frame[:400], noisy[:400])
    assert accuracy_score(truth[400:], fitted.predict(frame[400:])) > 0.93
    # What the rule and the rate of the noise would lose on these rows.
    turned = (truth != noisy)[400:].mean()
    least = -((1 - turned) * np.log(0.9) + turned * np.log(0.1))
    assert (
        least - 0.05 < log_loss(noisy[400:], fitted.predict_proba(frame[400:]), labels=fitted.classes_) < least + 0.12
    )


def test_a_regressor_learns_waves_and_categories(table):
    frame, amount = table
    fitted = TabularRegressor(**SMALL).fit(frame[:400], amount[:400])
    assert r2_score(amount[400:], fitted.predict(frame[400:])) > 0.9


class OneSeed(np.random.RandomState):
    """A random state of which an estimator draws this seed."""

    def __init__(self, drawn):
        super().__init__(0)
        self.drawn = drawn

    def randint(self, *args, **kwargs):
        return self.drawn


@pytest.mark.one_backend("torch")
def test_several_networks_are_those_of_one_seed_after_the_other_averaged(table):
    frame, amount = table
    options = SMALL | {"epochs": 3}
    both = TabularRegressor(**options | {"networks": 2}, random_state=OneSeed(7)).fit(frame, amount)
    alone = [TabularRegressor(**options, random_state=OneSeed(seed)).fit(frame, amount) for seed in (7, 8)]
    found = [each.predict(frame) for each in alone]
    assert np.abs(found[0] - found[1]).max() > 0.01
    np.testing.assert_allclose(both.predict(frame), np.mean(found, axis=0), atol=1e-4)
    labels = np.digitize(amount, [0, 1])
    options["members"] = 1  # whose logits are no logarithms of probabilities
    both = TabularClassifier(**options | {"networks": 2}, random_state=OneSeed(7)).fit(frame, labels)
    alone = [TabularClassifier(**options, random_state=OneSeed(seed)).fit(frame, labels) for seed in (7, 8)]
    shares = np.mean([each.predict_proba(frame) for each in alone], axis=0)
    np.testing.assert_allclose(both.predict_proba(frame), shares, atol=1e-4)
    assert both.history_["network"].tolist() == [1] * 3 + [2] * 3


def test_saved_and_loaded_it_predicts_the_same(table, tmp_path):
    frame, amount = table
    labels = np.digitize(amount, [0, 1])
    several = SMALL | {"networks": 2}
    fitted = TabularClassifier(**several, columns={"x": Number()}).fit(frame, labels).save(tmp_path)
    loaded = TabularClassifier.load(tmp_path)
    # TensorFlow draws the loaded model's graph anew, and rounds in another order.
    np.testing.assert_allclose(loaded.predict_proba(frame), fitted.predict_proba(frame), atol=1e-6)
    np.testing.assert_array_equal(loaded.predict(frame), fitted.predict(frame))
    assert loaded.get_params() == fitted.get_params() | {"drop": [], "hidden": [16]}
    np.testing.assert_array_equal(loaded.feature_names_in_, ["x", "z", "city"])
    np.testing.assert_array_equal(TablePredictor.load(tmp_path).predict(frame), fitted.predict(frame))
    with pytest.raises(DataError, match="TabularRegressor"):
        TabularRegressor.load(tmp_path)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"estimator": "TabularClassifier", "parameters": {"columns": {}, "x": 1}}']
)
@pytest.mark.one_backend("torch")
def test_what_is_no_saved_estimator_is_refused(table, tmp_path, content):
    frame, amount = table
    TabularClassifier(**SMALL | {"epochs": 1}).fit(frame, amount > 1).save(tmp_path)
    (tmp_path / "estimator.json").write_text(content)
    with pytest.raises(DataError, match=r"estimator\.json"):
        TabularClassifier.load(tmp_path)


@pytest.mark.one_backend("torch")
def test_class_weights_move_the_probabilities():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(800, 1))
    rare = rng.random(800) < 1 / (1 + np.exp(2 - x[:, 0]))
    weight = np.where(rare, 0.5 / rare.mean(), 0.5 / (1 - rare.mean()))
    plain = TabularClassifier(**SMALL).fit(x, rare).predict_proba(x)[:, 1]
    balanced = TabularClassifier(**SMALL, class_weight="balanced").fit(x, rare).predict_proba(x)[:, 1]
    weighted = TabularClassifier(**SMALL).fit(x, rare, sample_weight=weight).predict_proba(x)[:, 1]
    assert plain.mean() == pytest.approx(rare.mean(), abs=0.05)
    assert balanced.mean() == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(balanced, weighted, atol=1e-4)


@pytest.mark.one_backend("torch")
def test_a_seed_says_it_all(table):
    frame, amount = table
    one, same, other = (
        TabularRegressor(**SMALL, random_state=seed).fit(frame, amount).predict(frame) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_predictions_depend_on_no_other_row(table):
    frame, amount = table
    classifier = TabularClassifier(**SMALL).fit(frame, amount > 1)
    order = np.random.default_rng(1).permutation(len(frame))
    found = classifier.predict_proba(frame)
    np.testing.assert_allclose(classifier.predict_proba(frame.iloc[order]), found[order], atol=1e-6)
    np.testing.assert_allclose(classifier.predict_proba(frame.iloc[7:10]), found[7:10], atol=1e-6)


@pytest.mark.one_backend("torch")
def test_unknown_categories_gaps_and_other_dtypes_are_predicted(table):
    frame, amount = table
    fitted = TabularRegressor(**SMALL).fit(frame, amount)
    new = pd.DataFrame({"city": ["Oslo", None], "x": ["0.5", "1"], "z": [1, 2], "more": [0, 0]})
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(new)
    with pytest.warns(UserWarning, match="Oslo"):
        assert np.isfinite(fitted.predict(new[["x", "z", "city"]])).all()


@pytest.mark.one_backend("torch")
def test_a_class_of_one_row_and_more_columns_than_rows(table):
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(30, 60)))
    labels = np.array(["a"] * 15 + ["b"] * 14 + ["c"])
    fitted = TabularClassifier(**SMALL).fit(wide, labels)
    assert fitted.predict_proba(wide).shape == (30, 3)


@pytest.mark.parametrize(
    ("estimator", "target", "message"),
    [
        (TabularClassifier, ["one"] * ROWS, "only one class"),
        (TabularRegressor, ["a", "b"] * (ROWS // 2), "not a number"),
        (TabularRegressor, [1.0, np.nan] * (ROWS // 2), "missing|NaN"),
        (TabularRegressor, [1.0, np.inf] * (ROWS // 2), "out of range|inf"),
        (TabularRegressor, [1.0] * ROWS, "constant"),
        (TabularClassifier, [1.0, np.nan] * (ROWS // 2), "NaN"),
        (TabularClassifier, np.linspace(0, 1, ROWS), "continuous"),
        (TabularClassifier, ["a", "b", "a"], "n_samples"),
    ],
)
def test_a_wrong_target_is_one_clear_error(table, estimator, target, message):
    with pytest.raises(ValueError, match=message):
        estimator(**SMALL).fit(table[0][: len(target)], target)
