"""Permutation importance against scikit-learn's and against what shuffling must do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.inspection import permutation_importance as of_scikit_learn
from sklearn.linear_model import LinearRegression

from kmodels.errors import ConfigurationError, DataError
from kmodels.explain import permutation_importance

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 4))
Y = X @ np.array([3.0, 0.0, -1.0, 0.5]) + RNG.normal(0, 0.1, 2000)


def r2(predicted):
    return 1 - np.sum((predicted - Y) ** 2) / np.sum((Y - Y.mean()) ** 2)


def test_single_columns_have_scikit_learn_s_importance():
    model = LinearRegression().fit(X, Y)
    theirs = of_scikit_learn(model, X, Y, scoring="r2", n_repeats=60, random_state=0)
    groups = {f"x{column}": ("table", [column]) for column in range(4)}
    found = permutation_importance(lambda rows: model.predict(rows["table"]), {"table": X}, groups, r2, repeats=60)
    assert found["group"].tolist() == ["x0", "x2", "x3", "x1"]
    for row in found.itertuples():
        column = int(row.group[1:])
        spread = theirs.importances_std[column]
        assert row.mean == pytest.approx(theirs.importances_mean[column], abs=3 * spread + 1e-4)
        assert row.std == pytest.approx(spread, rel=0.4, abs=1e-4)


def test_columns_of_a_group_and_whole_inputs_move_together():
    seen = []

    def predict(rows):
        seen.append(rows)
        return rows["table"][:, 0]

    picture = np.arange(30 * 2 * 2).reshape(30, 2, 2)
    table = np.arange(90.0).reshape(30, 3)
    untouched = table.copy()
    groups = {"picture": ("picture", None), "pair": ("table", [0, 2])}
    permutation_importance(predict, {"table": table, "picture": picture}, groups, lambda predicted: 0.0, repeats=1)
    whole, shuffled_picture, shuffled_pair = seen
    np.testing.assert_array_equal(whole["table"], untouched)
    np.testing.assert_array_equal(table, untouched)
    np.testing.assert_array_equal(shuffled_picture["table"], table)
    order = shuffled_picture["picture"][:, 0, 0] // 4
    assert sorted(order) == list(range(30))
    assert (order != np.arange(30)).any()
    np.testing.assert_array_equal(shuffled_picture["picture"], picture[order])
    np.testing.assert_array_equal(shuffled_pair["picture"], picture)
    moved = (shuffled_pair["table"][:, 0] // 3).astype(int)
    np.testing.assert_array_equal(shuffled_pair["table"][:, 2], table[moved, 2])
    np.testing.assert_array_equal(shuffled_pair["table"][:, 1], table[:, 1])
    assert (moved != np.arange(30)).any()


def test_the_seed_decides_and_a_further_group_changes_nothing():
    def found(groups, seed=0, repeats=2):
        table = permutation_importance(
            lambda rows: rows["x"] @ [3.0, 0.0, -1.0, 0.5], {"x": X}, groups, r2, seed=seed, repeats=repeats
        )
        return table.set_index("group")

    one, two = {"a": ("x", [0])}, {"a": ("x", [0]), "b": ("x", [2])}
    assert found(one).equals(found(one))
    assert found(one).loc["a"].equals(found(two).loc["a"])
    assert found(one)["mean"].item() != found(one, seed=1)["mean"].item()
    assert found(one, repeats=1)["std"].item() == 0


@pytest.mark.parametrize(
    ("inputs", "groups", "repeats", "error", "message"),
    [
        ({"x": X, "y": X[:3]}, {"a": ("x", None)}, 1, DataError, "differ in length"),
        ({"x": X[:1]}, {"a": ("x", None)}, 1, DataError, "2 or more"),
        ({"x": X}, {}, 1, ConfigurationError, "0 groups"),
        ({"x": X}, {"a": ("x", None)}, 0, ConfigurationError, "repeats=0"),
        ({"x": X}, {"a": ("z", None)}, 1, ConfigurationError, "group 'a' names no input. Received: 'z'"),
        ({"x": X}, {"a": ("x", [4])}, 1, ConfigurationError, "from 0 to 3"),
        ({"x": X}, {"a": ("x", [])}, 1, ConfigurationError, "one or more"),
        ({"x": X[:, 0]}, {"a": ("x", [0])}, 1, ConfigurationError, "columns of group 'a'"),
    ],
)
def test_bad_input_is_refused(inputs, groups, repeats, error, message):
    with pytest.raises(error, match=message):
        permutation_importance(lambda rows: rows["x"], inputs, groups, lambda predicted: 1.0, repeats=repeats)


def test_a_score_that_is_nan_is_refused():
    with pytest.raises(DataError, match="score"):
        permutation_importance(lambda rows: 0, {"x": X}, {"a": ("x", None)}, lambda predicted: float("nan"))
