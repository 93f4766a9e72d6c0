"""Baselines against dense ridge regressions, and what they do with unknown ids and settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kmodels.errors import DataError
from kmodels.evaluation import baselines
from kmodels.evaluation.regression import rmse

N_USERS, N_ITEMS = 41, 31


def fit(name, users, items, ratings, n_users, n_items, **settings):
    train = baselines.training_tables(users, items, ratings, n_users, n_items)
    return getattr(baselines, f"fit_{name}")(train, **settings)


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
    mean = fit("global_mean", users, items, ratings, N_USERS, N_ITEMS)
    np.testing.assert_allclose(mean.predict(users, items), ratings.mean())
    np.testing.assert_allclose(mean.scores([0, 3]), np.full((2, N_ITEMS), ratings.mean()))


@pytest.mark.parametrize("regularisation", [0.5, 5.0])
def test_biases_solve_the_dense_ridge_regression(regularisation):
    users, items, ratings = planted()
    fitted = fit("biases", users, items, ratings, N_USERS, N_ITEMS, regularisations=[regularisation])
    design = np.zeros((len(users), N_USERS + N_ITEMS))
    design[np.arange(len(users)), users] = 1
    design[np.arange(len(users)), N_USERS + items] = 1
    normal = design.T @ design + regularisation * np.eye(N_USERS + N_ITEMS)
    expected = np.linalg.solve(normal, design.T @ (ratings - ratings.mean()))
    np.testing.assert_allclose(fitted.user_bias, expected[:N_USERS], atol=1e-5)
    np.testing.assert_allclose(fitted.item_bias, expected[N_USERS:], atol=1e-5)
    assert fitted.settings == {"regularisation": regularisation}


def test_matrix_factorization_ends_where_every_row_is_its_ridge_regression():
    users, items, ratings = planted()
    fitted = fit(
        "matrix_factorization",
        users,
        items,
        ratings,
        N_USERS,
        N_ITEMS,
        regularisations=[2.0],
        dimensions=[3],
        sweeps=400,
    )
    user_side = (fitted.user_factors, fitted.user_bias)
    item_side = (fitted.item_factors, fitted.item_bias)
    sides = ((users, items, user_side, item_side), (items, users, item_side, user_side))
    for own_ids, other_ids, (own_factors, own_bias), (other_factors, other_bias) in sides:
        for row in (1, 7, 20):
            mine = own_ids == row
            others = other_ids[mine]
            design = np.column_stack([other_factors[others], np.ones(len(others))])
            target = ratings[mine] - ratings.mean() - other_bias[others]
            penalty = np.diag([2.0 * (1 + mine.sum() / 200)] * 3 + [0.5])
            expected = np.linalg.solve(design.T @ design + penalty, design.T @ target)
            np.testing.assert_allclose([*own_factors[row], own_bias[row]], expected, atol=1e-5)


def test_blocks_of_rows_are_put_together():
    # More users than fit in one block; users of equal history must get equal rows wherever they are.
    users = np.repeat(np.arange(1, 5001), 3)
    items = np.tile([1, 2, 3], 5000)
    ratings = np.tile([5.0, 3.0, 1.0, 1.0, 3.0, 5.0], 2500)
    fitted = fit(
        "matrix_factorization", users, items, ratings, 5001, 4, regularisations=[1.0], dimensions=[2], sweeps=3
    )
    table = np.column_stack([fitted.user_factors, fitted.user_bias])
    np.testing.assert_allclose(table[1::2], np.broadcast_to(table[1], (2500, 3)))
    np.testing.assert_allclose(table[2::2], np.broadcast_to(table[2], (2500, 3)))
    assert np.abs(table[1] - table[2]).max() > 0.1


def test_each_baseline_beats_the_simpler_one_on_planted_factors():
    train, validation, test = parts(planted(rows=1000), 700, 850)
    fits = (
        fit("global_mean", *train, N_USERS, N_ITEMS),
        fit("biases", *train, N_USERS, N_ITEMS, validation=validation),
        fit(
            "matrix_factorization",
            *train,
            N_USERS,
            N_ITEMS,
            validation=validation,
            regularisations=[0.5, 2.0],
            dimensions=[2, 4],
        ),
    )
    mean, biases, factors = (rmse(test[2], fitted.predict(*test[:2])) for fitted in fits)
    assert biases < mean - 0.05
    assert factors < 0.7 * biases


def test_settings_are_those_of_the_least_validation_error():
    train, validation = parts(planted(noise=0.5), 500)
    sizes, grid = (N_USERS, N_ITEMS), (0.01, 3.0, 300.0)

    def error(fitted):
        return rmse(validation[2], fitted.predict(*validation[:2]))

    alone = [fit("biases", *train, *sizes, regularisations=[value]) for value in grid]
    chosen = fit("biases", *train, *sizes, validation=validation, regularisations=grid)
    assert chosen.settings == {"regularisation": 3.0}
    assert error(chosen) == min(map(error, alone))

    chosen = fit(
        "matrix_factorization",
        *train,
        *sizes,
        validation=validation,
        regularisations=grid,
        dimensions=[2, 6],
        sweeps=12,
    )
    for value in grid:
        for sweeps in range(1, 4):
            fitted = fit("matrix_factorization", *train, *sizes, regularisations=[value], dimensions=[2], sweeps=sweeps)
            assert error(chosen) <= error(fitted)
    again = fit(
        "matrix_factorization",
        *train,
        *sizes,
        regularisations=[chosen.settings["regularisation"]],
        dimensions=[int(chosen.settings["dimension"])],
        sweeps=int(chosen.settings["sweeps"]),
    )
    assert np.array_equal(again.predict(*validation[:2]), chosen.predict(*validation[:2]))


def test_a_fit_that_turns_for_the_worse_keeps_its_best_sweep():
    train, validation = parts(planted(noise=1.5), 500)
    settings = {"regularisations": [0.05], "dimensions": [6]}

    def tried(**more):
        return fit("matrix_factorization", *train, N_USERS, N_ITEMS, **settings, **more)

    def error(fitted):
        return rmse(validation[2], fitted.predict(*validation[:2]))

    chosen = tried(validation=validation, sweeps=40)
    kept = int(chosen.settings["sweeps"])
    errors = [error(tried(sweeps=sweeps)) for sweeps in range(1, kept + 4)]
    assert kept < 37
    assert error(chosen) == min(errors) == errors[kept - 1]
    assert errors[-1] > min(errors) + 1e-4


def every_baseline(columns):
    return [
        fit("global_mean", *columns, N_USERS, N_ITEMS),
        fit("biases", *columns, N_USERS, N_ITEMS, regularisations=[2.0]),
        fit("matrix_factorization", *columns, N_USERS, N_ITEMS, regularisations=[2.0], dimensions=[2], sweeps=5),
    ]


def test_unknown_ids_have_no_bias_and_no_factors():
    users, items, ratings = planted()
    users[:20], items[20:40] = 0, 0  # training rows may hold unknown ids as well
    for fitted in every_baseline((users, items, ratings)):
        for row in (0, N_USERS - 1):
            assert fitted.user_bias[row] == 0
            assert not fitted.user_factors[row].any()
        for row in (0, N_ITEMS - 1):
            assert fitted.item_bias[row] == 0
            assert not fitted.item_factors[row].any()
        assert fitted.predict([0], [0])[0] == pytest.approx(ratings.mean())


def test_scores_are_predictions_before_clipping():
    columns = planted()
    for fitted in every_baseline(columns):
        scores = fitted.scores([3, 0, 5])
        assert scores.shape == (3, N_ITEMS)
        clipped = np.clip(scores, columns[2].min(), columns[2].max())
        for row, user in enumerate((3, 0, 5)):
            predicted = fitted.predict(np.full(N_ITEMS, user), np.arange(N_ITEMS))
            np.testing.assert_allclose(clipped[row], predicted)


def test_predictions_stay_in_the_range_of_the_training_ratings():
    fitted = fit("biases", [1, 1, 2, 2], [1, 2, 1, 2], [5, 4, 4, 1], 3, 3, regularisations=[0.01])
    assert fitted.scores([1]).max() > 5
    assert fitted.predict([1], [1])[0] == 5


def test_results_are_frozen():
    fitted = fit("global_mean", [1], [1], [3.0], 2, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.mean = 0.0


def test_ids_and_ratings_are_checked():
    with pytest.raises(DataError, match="row 2, column 'users': an id is out of range"):
        fit("global_mean", [1, 3], [1, 1], [3.0, 4.0], 3, 2)
    with pytest.raises(DataError, match=r"column 'items'.*received -1"):
        fit("biases", [1, 2], [1, -1], [3.0, 4.0], 3, 2)
    with pytest.raises(DataError, match="row 2, column 'ratings'"):
        fit("matrix_factorization", [1, 2], [1, 1], [3.0, np.nan], 3, 2)
    with pytest.raises(DataError, match="no rows"):
        fit("global_mean", [], [], [], 3, 2)
    fitted = fit("global_mean", [1], [1], [3.0], 2, 2)
    with pytest.raises(DataError, match=r"column 'users'.*received -1"):
        fitted.predict([-1], [1])
    with pytest.raises(DataError, match=r"column 'users'.*received 2"):
        fitted.scores([2])


def test_the_baselines_of_a_split_are_those_of_its_training_and_validation_rows():
    rng = np.random.default_rng(0)
    users, items = (ids + 1 for ids in np.divmod(rng.permutation(60 * 50)[:2000], 50))
    ratings = 3 + rng.normal(0, 0.5, 61)[users] + rng.normal(0, 0.5, 51)[items] + rng.normal(0, 0.3, 2000)
    split = tuple(np.sort(part) for part in np.split(rng.permutation(2000), [1400, 1700]))
    train, held_out = ((users[rows], items[rows], ratings[rows]) for rows in split[:2])
    other = ratings.copy()
    other[split[2]] += 100  # test rows must not matter
    found = baselines.fit_rating_baselines(users, items, other, split, n_users=61, n_items=51)
    alone = {
        "global_mean": fit("global_mean", *train, 61, 51),
        "biases": fit("biases", *train, 61, 51, validation=held_out),
        "matrix_factorization": fit("matrix_factorization", *train, 61, 51, validation=held_out),
    }
    assert list(found) == list(alone)
    for name, each in alone.items():
        np.testing.assert_array_equal(found[name].predict(users, items), each.predict(users, items), err_msg=name)
