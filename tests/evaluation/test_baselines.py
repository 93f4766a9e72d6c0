"""Baselines against dense ridge regressions, and what they do with unknown ids and settings."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from kmodels.errors import DataError
from kmodels.evaluation import baselines
from kmodels.evaluation.regression import rmse

N_USERS, N_ITEMS = 41, 31


def tables(users, items, ratings, n_users=N_USERS, n_items=N_ITEMS):
    return baselines.training_tables(users, items, ratings, n_users, n_items)


def after_sweeps(train, dimension, regularisation, sweeps):
    return next(islice(baselines.alternate(train, dimension, regularisation), sweeps - 1, None))


def error_of(rows):
    return lambda fitted: rmse(rows[2], fitted.predict(*rows[:2]))


def every_baseline(users, items, ratings, n_users=N_USERS, n_items=N_ITEMS):
    """Fitted to all rows, by which settings are chosen too."""
    rows = np.arange(len(users))
    return baselines.fit_rating_baselines(
        *map(np.asarray, (users, items, ratings)), (rows, rows), n_users=n_users, n_items=n_items
    )


def planted(seed=0, rows=700, noise=0.3):
    """Distinct pairs of a rank-2 model with biases; the last user and the last item are without rows."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice((N_USERS - 2) * (N_ITEMS - 2), rows, replace=False)
    users, items = pairs // (N_ITEMS - 2) + 1, pairs % (N_ITEMS - 2) + 1
    p, q = rng.normal(0, 0.8, (N_USERS, 2)), rng.normal(0, 0.8, (N_ITEMS, 2))
    clean = 3.5 + rng.normal(0, 0.4, N_USERS)[users] + rng.normal(0, 0.6, N_ITEMS)[items]
    ratings = clean + (p[users] * q[items]).sum(axis=1) + rng.normal(0, noise, rows)
    return users, items, ratings


def parts(columns, *cuts):
    return [tuple(column[low:high] for column in columns) for low, high in zip((0, *cuts), (*cuts, None))]  # noqa: B905


def test_global_mean():
    users, items, ratings = planted()
    mean = every_baseline(users, items, ratings)["global_mean"]
    np.testing.assert_allclose(mean.predict(users, items), ratings.mean())
    np.testing.assert_allclose(mean.scores([0, 3]), np.full((2, N_ITEMS), ratings.mean()))


@pytest.mark.parametrize("regularisation", [0.5, 5.0])
def test_biases_solve_the_dense_ridge_regression(regularisation):
    users, items, ratings = planted()
    fitted = baselines.fit_biases(tables(users, items, ratings), regularisation)
    design = np.zeros((len(users), N_USERS + N_ITEMS))
    design[np.arange(len(users)), users] = 1
    design[np.arange(len(users)), N_USERS + items] = 1
    normal = design.T @ design + regularisation * np.eye(N_USERS + N_ITEMS)
    expected = np.linalg.solve(normal, design.T @ (ratings - ratings.mean()))
    np.testing.assert_allclose(fitted.users[:, -1], expected[:N_USERS], atol=1e-5)
    np.testing.assert_allclose(fitted.items[:, -1], expected[N_USERS:], atol=1e-5)
    assert fitted.settings == {"regularisation": regularisation}


def test_matrix_factorization_ends_where_every_row_is_its_ridge_regression():
    users, items, ratings = planted()
    fitted = after_sweeps(tables(users, items, ratings), 3, 2.0, 400)
    sides = ((users, items, fitted.users, fitted.items), (items, users, fitted.items, fitted.users))
    for own_ids, other_ids, own_table, other_table in sides:
        for row in (1, 7, 20):
            mine = own_ids == row
            others = other_ids[mine]
            design = np.column_stack([other_table[others, :-1], np.ones(len(others))])
            target = ratings[mine] - ratings.mean() - other_table[others, -1]
            penalty = np.diag([2.0 * (1 + mine.sum() / 200)] * 3 + [0.5])
            expected = np.linalg.solve(design.T @ design + penalty, design.T @ target)
            np.testing.assert_allclose(own_table[row], expected, atol=1e-5)


def test_blocks_of_rows_are_put_together():
    # More users than fit in one block; users of equal history must get equal rows wherever they are.
    users = np.repeat(np.arange(1, 5001), 3)
    items = np.tile([1, 2, 3], 5000)
    ratings = np.tile([5.0, 3.0, 1.0, 1.0, 3.0, 5.0], 2500)
    table = after_sweeps(tables(users, items, ratings, 5001, 4), 2, 1.0, 3).users
    np.testing.assert_allclose(table[1::2], np.broadcast_to(table[1], (2500, 3)))
    np.testing.assert_allclose(table[2::2], np.broadcast_to(table[2], (2500, 3)))
    assert np.abs(table[1] - table[2]).max() > 0.1


def test_each_baseline_beats_the_simpler_one_on_planted_factors():
    columns = planted(rows=1000)
    split = np.split(np.arange(1000), [700, 850])
    fitted = baselines.fit_rating_baselines(*columns, split, n_users=N_USERS, n_items=N_ITEMS)
    test = parts(columns, 700, 850)[2]
    mean, biases, factors = map(error_of(test), fitted.values())
    assert biases < mean - 0.05
    assert factors < 0.7 * biases


def test_settings_are_those_of_the_least_validation_error():
    columns = planted(noise=0.5)
    split = np.split(np.arange(700), [500])
    train, validation = parts(columns, 500)
    error, train = error_of(validation), tables(*train)
    found = baselines.fit_rating_baselines(*columns, split, n_users=N_USERS, n_items=N_ITEMS)
    alone = [error(baselines.fit_biases(train, value)) for value in (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)]
    assert error(found["biases"]) == pytest.approx(min(alone), abs=1e-6)
    assert found["biases"].settings["regularisation"] == (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)[np.argmin(alone)]

    # The best of these is in the middle, above and below it; at the highest the factors vanish.
    for grid in ((0.03, 0.3, 3.0), (0.03, 0.1, 0.3, 1.0), (0.3, 100.0, 300.0)):
        chosen = baselines.fit_matrix_factorization(train, error, regularisations=grid, dimensions=[2])
        cold = [min(error(after_sweeps(train, 2, value, sweeps)) for sweeps in range(1, 15)) for value in grid]
        assert chosen.settings["regularisation"] == grid[np.argmin(cold)] == 0.3
        assert error(chosen) < min(cold) + 0.005


def test_a_fit_goes_on_from_another_with_factors_for_a_larger_dimension():
    train = tables(*planted())
    first = after_sweeps(train, 2, 1.0, 5)
    second = next(baselines.alternate(train, 2, 1.0, first))
    np.testing.assert_allclose(second.items, after_sweeps(train, 2, 1.0, 6).items, atol=1e-6)
    assert second.settings["sweeps"] == 6
    assert next(baselines.alternate(train, 5, 1.0, first)).users.shape == (N_USERS, 6)
    cold, warm = (baselines.fit_biases(train, 2.0, start) for start in (None, baselines.fit_biases(train, 8.0)))
    np.testing.assert_allclose(warm.users, cold.users, atol=1e-5)


def test_a_fit_that_turns_for_the_worse_keeps_its_best_sweep():
    train, validation = parts(planted(noise=1.5), 500)
    error, train = error_of(validation), tables(*train)
    chosen = baselines.fit_matrix_factorization(train, error, regularisations=[0.05], dimensions=[6])
    kept = chosen.settings["sweeps"]
    errors = [error(after_sweeps(train, 6, 0.05, sweeps)) for sweeps in range(1, kept + 4)]
    assert kept < 27
    assert error(chosen) == min(errors) == errors[kept - 1]
    assert errors[-1] > min(errors) + 1e-4


def test_unknown_ids_have_no_bias_and_no_factors():
    users, items, ratings = planted()
    users[:20], items[20:40] = 0, 0  # training rows may hold unknown ids as well
    for fitted in every_baseline(users, items, ratings).values():
        assert not fitted.users[[0, N_USERS - 1]].any()
        assert not fitted.items[[0, N_ITEMS - 1]].any()
        assert fitted.predict([0], [0])[0] == pytest.approx(ratings.mean())


def test_scores_are_predictions_before_clipping():
    columns = planted()
    for fitted in every_baseline(*columns).values():
        scores = fitted.scores([3, 0, 5])
        assert scores.shape == (3, N_ITEMS)
        clipped = np.clip(scores, columns[2].min(), columns[2].max())
        for row, user in enumerate((3, 0, 5)):
            predicted = fitted.predict(np.full(N_ITEMS, user), np.arange(N_ITEMS))
            np.testing.assert_allclose(clipped[row], predicted, rtol=1e-6)  # scores are float32


def test_predictions_stay_in_the_range_of_the_training_ratings():
    fitted = baselines.fit_biases(tables([1, 1, 2, 2], [1, 2, 1, 2], [5, 4, 4, 1], 3, 3), 0.01)
    assert fitted.scores([1]).max() > 5
    assert fitted.predict([1], [1])[0] == 5


def test_ids_and_ratings_are_checked():
    with pytest.raises(DataError, match="row 2, column 'users': an id is out of range"):
        tables([1, 3], [1, 1], [3.0, 4.0], 3, 2)
    with pytest.raises(DataError, match=r"column 'items'.*received -1"):
        tables([1, 2], [1, -1], [3.0, 4.0], 3, 2)
    with pytest.raises(DataError, match="row 2, column 'ratings'"):
        tables([1, 2], [1, 1], [3.0, np.nan], 3, 2)
    with pytest.raises(DataError, match="no rows"):
        tables([], [], [], 3, 2)
    fitted = baselines.fit_biases(tables([1], [1], [3.0], 2, 2), 1.0)
    with pytest.raises(DataError, match=r"column 'users'.*received -1"):
        fitted.predict([-1], [1])
    with pytest.raises(DataError, match=r"column 'users'.*received 2"):
        fitted.scores([2])


def test_the_baselines_of_a_split_are_those_of_its_training_and_validation_rows():
    rng = np.random.default_rng(0)
    users, items = (ids + 1 for ids in np.divmod(rng.permutation(60 * 50)[:2000], 50))
    ratings = 3 + rng.normal(0, 0.5, 61)[users] + rng.normal(0, 0.5, 51)[items] + rng.normal(0, 0.3, 2000)
    split = tuple(np.sort(part) for part in np.split(rng.permutation(2000), [1400, 1700]))
    sizes, other = {"n_users": 61, "n_items": 51}, ratings.copy()
    other[split[2]] += 100  # test rows must not matter
    found = baselines.fit_rating_baselines(users, items, ratings, split[:2], **sizes)
    for name, each in baselines.fit_rating_baselines(users, items, other, split, **sizes).items():
        np.testing.assert_array_equal(found[name].predict(users, items), each.predict(users, items), err_msg=name)
