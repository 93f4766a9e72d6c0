"""SHAP values against the closed form of a linear model and the definition over all coalitions."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest

from kmodels import explain, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.explain import shapley as module

RNG = np.random.default_rng(0)
BACKGROUND, ROWS = RNG.normal(size=(20, 5)), RNG.normal(size=(3, 5))
SINGLE = {f"c{column}": [column] for column in range(5)}


@pytest.fixture
def _shap():
    pytest.importorskip("shap")


@pytest.mark.usefixtures("_shap")
def test_a_linear_model_has_the_closed_form():
    weights = RNG.normal(size=(5, 2))
    groups = {"pair": [3, 0], "b": [1], "c": [2, 4]}
    found = explain.shap_values(lambda rows: rows["x"] @ weights + 1, {"x": ROWS}, "x", BACKGROUND, groups)
    by_column = (ROWS - BACKGROUND.mean(axis=0))[:, :, None] * weights
    expected = np.stack([by_column[:, columns].sum(axis=1) for columns in groups.values()], axis=1)
    np.testing.assert_allclose(found.values, expected, atol=1e-8)
    np.testing.assert_allclose(found.base, np.tile(BACKGROUND.mean(axis=0) @ weights + 1, (3, 1)), atol=1e-8)


def by_definition(predict, row):
    """Shapley's sum over every coalition (Lundberg and Lee 2017, equation 4)."""

    def value(kept):
        mixed = BACKGROUND.copy()
        mixed[:, list(kept)] = row[list(kept)]
        return predict({"x": mixed}).mean()

    values = np.zeros(5)
    for column in range(5):
        others = [other for other in range(5) if other != column]
        for size in range(5):
            weight = math.factorial(size) * math.factorial(4 - size) / math.factorial(5)
            for kept in itertools.combinations(others, size):
                values[column] += weight * (value((*kept, column)) - value(kept))
    return values


def together(rows):
    x = rows["x"]
    return x[:, 0] * x[:, 1] + np.maximum(x[:, 2], x[:, 3]) + x[:, 0] * x[:, 3] * x[:, 4]


@pytest.mark.usefixtures("_shap")
def test_columns_that_act_together_share_as_defined():
    found = explain.shap_values(together, {"x": ROWS}, "x", BACKGROUND, SINGLE)
    for row in range(3):
        np.testing.assert_allclose(found.values[row, :, 0], by_definition(together, ROWS[row]), atol=1e-8)


@pytest.mark.usefixtures("_shap")
def test_the_sum_is_exact_for_few_coalitions_and_the_seed_decides():
    rows, background = RNG.normal(size=(2, 16)), RNG.normal(size=(10, 16))
    groups = {f"c{column}": [column] for column in range(16)}

    def predict(arrays):
        return np.sin(arrays["x"]).prod(axis=1) + np.cos(arrays["x"]).sum(axis=1) ** 2

    def found(seed):
        np.random.seed(seed + 5)  # the values may not depend on the global state, nor change it
        before = np.random.get_state()[1].copy()
        values = explain.shap_values(predict, {"x": rows}, "x", background, groups, coalitions=64, seed=seed)
        np.testing.assert_array_equal(np.random.get_state()[1], before)
        return values

    one, same, other = found(0), found(0), found(1)
    np.testing.assert_allclose(one.base[:, 0] + one.values[:, :, 0].sum(axis=1), predict({"x": rows}))
    np.testing.assert_array_equal(one.values, same.values)
    assert (one.values != other.values).any()


@pytest.mark.usefixtures("_shap")
def test_a_network_with_another_input_is_explained_at_the_row_s_own_value(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 50)  # several blocks
    x, gate = keras.Input((5,), name="x"), keras.Input((3,), name="gate")
    model = keras.Model([x, gate], keras.layers.Dense(3, activation="tanh", name="mixed")(x) * gate)
    training.initialize(model, seed=0)
    gates = np.array([[1, 0, 2], [0, 0, 0], [5, 1, 1]], "float32")
    inputs = {"x": ROWS.astype("float32"), "gate": gates}
    found = explain.shap_values(model.predict_on_batch, inputs, "x", BACKGROUND, SINGLE)
    assert found.values.shape == (3, 5, 3)
    total = found.base + found.values.sum(axis=1)
    np.testing.assert_allclose(total, model.predict_on_batch(inputs), atol=1e-5)
    assert (found.values[1] == 0).all()
    assert (found.values[0, :, 1] == 0).all()
    assert (np.abs(found.values[2]) > 1e-4).all()


def test_without_shap_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install"):
        explain.shap_values(together, {"x": ROWS}, "x", BACKGROUND, SINGLE)


@pytest.mark.usefixtures("_shap")
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "z"}, ConfigurationError, "'z'"),
        ({"groups": {"a": [0, 1]}}, ConfigurationError, "each column from 0 to 4 once"),
        ({"groups": SINGLE | {"twice": [0]}}, ConfigurationError, "once"),
        ({"groups": SINGLE | {"none": []}}, ConfigurationError, "once"),
        ({"coalitions": 9}, ConfigurationError, "at least twice the number of groups, 10. Received: 9"),
        ({"background": BACKGROUND[:, :4]}, DataError, "do not fit"),
        ({"background": BACKGROUND[:0]}, DataError, "do not fit"),
        ({"inputs": {"x": ROWS[:0]}}, DataError, "1 or more"),
        ({"inputs": {"x": ROWS, "y": ROWS[:1]}}, DataError, "differ in length"),
        ({"inputs": {"x": ROWS * np.nan}}, DataError, "column 'x': a value is missing"),
        ({"inputs": {"x": ROWS.astype(str)}}, DataError, "no number"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    usual = {"inputs": {"x": ROWS}, "name": "x", "background": BACKGROUND, "groups": SINGLE}
    with pytest.raises(error, match=message):
        explain.shap_values(together, **(usual | change))
