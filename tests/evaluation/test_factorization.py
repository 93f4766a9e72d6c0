"""Errors of held-out ratings, and baselines fitted to the training rows alone."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.preprocessing import OneHotEncoder

from kmodels.evaluation import factorization


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    user, item = (ids.astype("int32") + 1 for ids in np.divmod(rng.permutation(60 * 50)[:2000], 50))
    rating = 3 + rng.normal(0, 0.5, 61)[user] + rng.normal(0, 0.5, 51)[item] + rng.normal(0, 0.3, 2000)
    split = tuple(np.sort(part) for part in np.split(rng.permutation(2000), [1400, 1700]))
    return user, item, rating.astype("float32"), split


def test_predictions_are_cut_to_the_limits_and_no_further(world):
    *_, rating, split = world
    found = factorization.score(rating, split, lambda rows: rating[rows] + 9, limits=(1, 5))
    for part, rows in (("validation", split[1]), ("test", split[2])):
        assert found[part]["mae"] == pytest.approx(mean_absolute_error(rating[rows], np.full(len(rows), 5.0)), rel=1e-6)
    free = factorization.score(rating, split, lambda rows: rating[rows] + 9)
    assert free["test"]["mae"] == pytest.approx(9, rel=1e-6)


def test_linear_regression_is_one_on_indicators(world):
    user, item, rating, split = world
    found = factorization.rivals(*world, n_users=61, n_items=51)
    assert list(found) == ["global_mean", "linear_regression", "alternating_least_squares"]
    train, _, test = split
    pairs = OneHotEncoder(handle_unknown="ignore").fit_transform(np.column_stack([user, item]))
    plain = Ridge(alpha=1.0).fit(pairs[train], rating[train])
    expected = root_mean_squared_error(rating[test], plain.predict(pairs[test]))
    assert found["linear_regression"]["rmse"] == pytest.approx(expected, rel=0.02)
    mean = np.full(len(test), rating[train].mean())
    assert found["global_mean"]["rmse"] == pytest.approx(root_mean_squared_error(rating[test], mean), rel=1e-5)


def test_test_rows_do_not_reach_what_is_fitted(world):
    user, item, rating, split = world
    other = rating.copy()
    other[split[2]] += 100
    found, moved = (factorization.rivals(user, item, each, split, n_users=61, n_items=51) for each in (rating, other))
    for name in found:
        assert moved[name]["mae"] == pytest.approx(100, abs=2.5)
        assert found[name]["mae"] < 2
