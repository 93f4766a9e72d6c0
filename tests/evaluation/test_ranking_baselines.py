"""Baselines of rankings against scikit-learn, dense solutions, and loops over users and items."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import ndcg_score
from sklearn.metrics.pairwise import cosine_similarity

from kmodels.errors import DataError
from kmodels.evaluation import ranking_baselines as baselines
from kmodels.evaluation.ranking_baselines import RankingBaseline, fit_ranking_baselines

N_USERS, N_ITEMS = 61, 41
SIZES = {"n_users": N_USERS, "n_items": N_ITEMS}
NAMES = ["popularity", "recent_popularity", "item_knn", "ease", "implicit_als"]


def planted(seed=0):
    """Three kinds of users, each of which watches and likes its own third of the items; some ids are unknown."""
    rng = np.random.default_rng(seed)
    affinity = np.arange(N_USERS)[:, None] % 3 == np.arange(N_ITEMS) % 3
    chance = (0.1 + 0.4 * affinity) * np.linspace(0.5, 1.5, N_ITEMS)
    chance[0] = chance[:, 0] = 0.05
    users, items = (ids.astype("int32") for ids in np.nonzero(rng.random(chance.shape) < chance))
    ratings = np.clip(np.round(2.7 + 1.6 * affinity[users, items] + rng.normal(0, 0.6, len(users))), 1, 5)
    times = rng.integers(0, 40 * 7 * 24 * 3600, len(users))
    order = rng.permutation(len(users))
    split = tuple(np.split(order, [int(0.7 * len(order)), int(0.85 * len(order))]))
    return users, items, ratings.astype("float32"), split, times


@pytest.fixture(scope="module")
def data():
    return planted()


@pytest.fixture(scope="module")
def fitted(data):
    return fit_ranking_baselines(*data[:4], **SIZES, timestamps=data[4])[0]


def histories(users=30, items=17, seed=0):
    """Weights of 1/4 to 1; user 0 and item 0 have none, and items 1 and 2 are alike."""
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 5, (users, items)) / 4 * (rng.random((users, items)) < 0.4)
    table[0] = table[:, 0] = 0
    table[:, 2] = table[:, 1]
    return table


def as_sparse(table):
    return sparse.csr_array(table.astype(np.float32))


def dense_weights(data, weight, parts=1):
    """The rows of known ids of the first parts as a table of weights, one after the other."""
    users, items, ratings, split, _ = data
    table = np.zeros((N_USERS, N_ITEMS))
    for row in np.concatenate(split[:parts]):
        level = 0.2 + 0.2 * (ratings[row] - 1)
        value = {"rated": 1.0, "rating": level, "rating_squared": level**2, "liked": float(ratings[row] >= 4)}[weight]
        if users[row] and items[row]:
            table[users[row], items[row]] = value
    return table


def slow_ndcg(data, table, part=1):
    """NDCG@10 of the liked items of a part among those of no part before, by scikit-learn, user by user."""
    users, items, ratings, split, _ = data
    before, values = np.concatenate(split[:part]), []
    for user in range(1, N_USERS):
        mine = [row for row in split[part] if users[row] == user and items[row] and ratings[row] >= 4]
        if mine:
            candidates = np.setdiff1d(np.arange(1, N_ITEMS), items[before][users[before] == user])
            values.append(ndcg_score([np.isin(candidates, items[mine])], [table[user, candidates]], k=10))
    return np.mean(values)


def test_popularity_counts_training_rows(data, fitted):
    users, items, _, (train, *_), times = data
    latest = max(times[row] for row in train if users[row] and items[row])
    weeks = fitted["recent_popularity"].settings["weeks"]
    counts, recent = np.zeros(N_ITEMS), np.zeros(N_ITEMS)
    for row in train:
        if users[row] and items[row]:
            counts[items[row]] += 1
            recent[items[row]] += times[row] >= latest - weeks * 7 * 24 * 3600
    for name, expected in (("popularity", counts), ("recent_popularity", recent)):
        np.testing.assert_array_equal(fitted[name].scores([3, 0, 5]), [expected] * 3)
    assert not fitted["popularity"].settings


def test_recent_popularity_takes_the_window_that_suits_validation_best(data, fitted):
    users, items, _, (train, *_), times = data
    known = train[(users[train] > 0) & (items[train] > 0)]
    found = {}
    for weeks in (1, 2, 4, 8, 13, 26, 52):
        recent = known[times[known] >= times[known].max() - weeks * 7 * 24 * 3600]
        found[weeks] = slow_ndcg(data, np.tile(np.bincount(items[recent], minlength=N_ITEMS), (N_USERS, 1)))
    assert found[fitted["recent_popularity"].settings["weeks"]] == max(found.values()) > min(found.values())


def test_co_occurrence_is_the_product_of_columns(monkeypatch):
    monkeypatch.setattr(baselines, "_BLOCK", 3 * 17)
    table = histories()
    np.testing.assert_allclose(baselines.co_occurrence(as_sparse(table)), table.T @ table, atol=1e-5)


def test_similar_items_are_those_of_scikit_learns_cosine(monkeypatch):
    monkeypatch.setattr(baselines, "_BLOCK", 3 * 17)
    table = histories()
    cosine = cosine_similarity(table.T)
    np.fill_diagonal(cosine, 0)
    found = baselines.nearest_items(baselines.co_occurrence(as_sparse(table)), 100, 0).toarray()
    np.testing.assert_allclose(found, cosine, atol=1e-6)
    found = baselines.nearest_items(baselines.co_occurrence(as_sparse(table)), 4, 0).toarray()
    for item in range(1, 17):
        least = np.sort(cosine[:, item])[-4]
        np.testing.assert_allclose(
            found[:, item], np.where(cosine[:, item] >= least - 1e-6, cosine[:, item], 0), atol=1e-6
        )


def test_shrinkage_adds_to_the_product_of_the_norms():
    table = histories()
    found = baselines.nearest_items(baselines.co_occurrence(as_sparse(table)), 100, 2.5).toarray()
    for i, j in ((1, 2), (3, 9), (16, 4)):
        norms = np.linalg.norm(table[:, i]) * np.linalg.norm(table[:, j])
        assert found[i, j] == pytest.approx(table[:, i] @ table[:, j] / (norms + 2.5), abs=1e-6)


def test_item_knn_sums_over_the_users_items(data, fitted):
    knn = fitted["item_knn"]
    table, known = (dense_weights(data, knn.settings["weight"], parts) for parts in (1, 2))
    products = table.T @ table
    norms = np.sqrt(np.diag(products))
    similar = products / np.maximum(np.outer(norms, norms) + knn.settings["shrinkage"], 1e-9)
    np.fill_diagonal(similar, 0)
    expected = np.zeros((N_USERS, N_ITEMS))
    for item in range(N_ITEMS):
        near = np.argsort(-similar[:, item])[: knn.settings["neighbours"]]
        for user in range(N_USERS):
            expected[user, item] = sum(known[user, other] * similar[other, item] for other in near)
    np.testing.assert_allclose(knn.scores(np.arange(N_USERS)), expected, atol=1e-5)


def test_ease_is_its_published_closed_form(data, fitted):
    l2 = fitted["ease"].settings["l2"]
    x, known = (dense_weights(data, fitted["ease"].settings["weight"], parts) for parts in (1, 2))
    p = np.linalg.inv(x.T @ x + l2 * np.eye(N_ITEMS))
    b = p / -np.diag(p)
    np.fill_diagonal(b, 0)
    np.testing.assert_allclose(fitted["ease"].scores(np.arange(N_USERS)), known @ b, atol=1e-5)


@pytest.mark.parametrize("block", [2**24, 7 * 16])
def test_factors_solve_the_normal_equations_of_each_row(block, monkeypatch):
    monkeypatch.setattr(baselines, "_BLOCK", block)
    table, others = histories(), np.random.default_rng(1).normal(size=(17, 4))
    found = baselines.solve_factors(as_sparse(table), others.astype(np.float32), 0.7, 3.0)
    assert found.dtype == np.float32
    for row in range(len(table)):
        confidence, preference = 1 + 3 * table[row], (table[row] > 0).astype(float)
        normal = others.T @ (confidence[:, None] * others) + 0.7 * np.eye(4)
        expected = np.linalg.solve(normal, others.T @ (confidence * preference))
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def loss(table, users, items, regularisation, alpha):
    """The loss of Hu, Koren & Volinsky over all pairs."""
    squared = (1 + alpha * table) * ((table > 0) - users @ items.T) ** 2
    return squared.sum() + regularisation * ((users**2).sum() + (items**2).sum())


def test_each_sweep_lowers_the_loss_and_the_last_ones_leave_no_gradient():
    table = histories()
    sweeps = list(islice(baselines.alternate(as_sparse(table), 3, 1.5, 2.0), 200))
    losses = [loss(table, users.astype(float), items.astype(float), 1.5, 2.0) for users, items in sweeps]
    assert (np.diff(losses) < 1e-3).all()
    assert losses[0] > losses[-1] + 1
    users, items = (side.astype(float) for side in sweeps[-1])
    weighted = (1 + 2 * table) * ((table > 0) - users @ items.T)
    np.testing.assert_allclose(weighted @ items, 1.5 * users, atol=2e-3)
    np.testing.assert_allclose(weighted.T @ users, 1.5 * items, atol=2e-3)


def test_implicit_als_keeps_the_sweep_it_names_and_folds_in_what_is_known(data, fitted):
    settings = dict(fitted["implicit_als"].settings)
    weight, sweeps = settings.pop("weight"), settings.pop("sweeps")
    table, known = (dense_weights(data, weight, parts) for parts in (1, 2))
    _, items = next(islice(baselines.alternate(as_sparse(table), **settings), sweeps - 1, None))
    for user in (5, 7):
        confidence, preference = 1 + settings["alpha"] * known[user], (known[user] > 0).astype(float)
        normal = items.T @ (confidence[:, None] * items) + settings["regularisation"] * np.eye(items.shape[1])
        expected = items @ np.linalg.solve(normal, items.T @ (confidence * preference))
        np.testing.assert_allclose(fitted["implicit_als"].scores([user])[0], expected, atol=1e-4)


def test_implicit_als_stops_three_sweeps_after_its_best():
    qualities = iter([0.1, 0.3, 0.2, 0.2, 0.4, 0.3, 0.4, 0.2, 0.9])
    settings = {"weight": "rated", "dimension": 2, "regularisation": 1.0, "alpha": 1.0}
    kept = baselines.fit_implicit_als({"rated": as_sparse(histories())}, lambda fitted: next(qualities), **settings)
    assert kept.settings == settings | {"sweeps": 5}
    assert next(qualities) == 0.9


def test_a_search_changes_one_setting_after_the_other():
    tried = []

    def fit(**settings):
        tried.append(settings)
        return RankingBaseline(1, np.zeros_like, settings)

    def quality(fitted):
        return -abs(fitted.settings["a"] - 30) - abs(fitted.settings["b"] - fitted.settings["a"])

    best = baselines.tune(fit, {"a": (1, 2, 3), "b": (20, 25)}, quality)
    assert best.settings == {"a": 3, "b": 20}
    assert tried == [{"a": a, "b": 20} for a in (2, 1, 3)] + [{"a": 3, "b": 25}]
    assert baselines.tune(fit, {}, lambda fitted: 1.0).settings == {}


def test_settings_are_those_of_the_highest_ndcg_on_validation(data, fitted):
    settings = fitted["ease"].settings

    def validated(weight, l2):
        x = dense_weights(data, weight)
        b = np.linalg.inv(x.T @ x + l2 * np.eye(N_ITEMS))
        b = b / -np.diag(b)
        np.fill_diagonal(b, 0)
        return slow_ndcg(data, x @ b)

    weights = {weight: validated(weight, 200) for weight in ("rated", "rating", "rating_squared", "liked")}
    assert max(weights, key=weights.get) == settings["weight"]
    strengths = {l2: validated(settings["weight"], l2) for l2 in (25, 50, 100, 200, 400, 800, 1600)}
    assert strengths[settings["l2"]] == pytest.approx(max(strengths.values()), abs=1e-9)
    assert min(strengths.values()) < max(strengths.values())


def test_those_that_know_tastes_beat_popularity_where_there_are_tastes(data, fitted):
    ndcg = {name: slow_ndcg(data, np.asarray(each.scores(np.arange(N_USERS))), part=2) for name, each in fitted.items()}
    assert list(ndcg) == NAMES
    for name in NAMES[2:]:
        assert ndcg[name] > ndcg["popularity"] + 0.05, ndcg


def test_test_rows_do_not_matter(data, fitted):
    users, items, ratings, split, times = data
    other = ratings.copy()
    other[split[2]] = 6 - other[split[2]]
    again, _ = fit_ranking_baselines(users, items, other, split[:2], **SIZES, timestamps=times)
    for name, each in again.items():
        assert each.settings == fitted[name].settings
        np.testing.assert_array_equal(each.scores([1, 2]), fitted[name].scores([1, 2]))


def test_the_unit_of_the_ratings_does_not_matter(data, fitted):
    users, items, ratings, split, times = data
    other, _ = fit_ranking_baselines(users, items, 3 * ratings - 9, split, **SIZES, scale=(-6, 6), timestamps=times)
    assert {name: each.settings for name, each in other.items()} == {
        name: each.settings for name, each in fitted.items()
    }


def test_unknown_ids_have_no_history(fitted):
    for name in NAMES[2:]:
        scores = fitted[name].scores([0, 4])
        assert not scores[0].any()
        assert not scores[:, 0].any()
        assert scores[1].any()


def test_ids_out_of_range_are_refused(data, fitted):
    for each in fitted.values():
        with pytest.raises(DataError, match=r"column 'users'.*received -1"):
            each.scores([-1])
    users, items, ratings, split, times = data
    with pytest.raises(DataError, match="column 'items': an id is out of range"):
        fit_ranking_baselines(users, items, ratings, split, n_users=N_USERS, n_items=10)
    with pytest.raises(DataError, match="column 'ratings': a value is missing"):
        fit_ranking_baselines(users, items, np.full(len(users), np.nan), split, **SIZES)
    with pytest.raises(DataError, match="column 'timestamps': a value is missing"):
        fit_ranking_baselines(users, items, ratings, split, **SIZES, timestamps=np.where(times > 10**6, times, np.nan))


def test_what_cannot_be_had_is_left_out_with_its_reason(data, monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_BYTES", 5 * N_ITEMS**2)  # enough for nearest neighbours, not for EASE
    fitted, left_out = fit_ranking_baselines(*data[:4], **SIZES)
    assert list(fitted) == ["popularity", "item_knn", "implicit_als"]
    assert left_out["recent_popularity"] == "the ratings have no timestamps"
    assert "tables of all pairs of 41 items take" in left_out["ease"]
    assert set(left_out) == {"recent_popularity", "ease"}


def test_of_many_users_some_choose_by_all_their_validation_rows(data, monkeypatch):
    users, _, _, (_, validation, _), _ = data
    asked = []

    def rank(score, users, items, ratings, *, rows, **options):
        asked.append(rows)
        return pd.DataFrame()

    monkeypatch.setattr(baselines, "_MOST_USERS", 5)
    monkeypatch.setattr(baselines.ranking, "rank_held_out", rank)
    fit_ranking_baselines(*data[:4], **SIZES)
    some = set(users[asked[0]])
    assert len(some) == 5
    for rows in asked:
        assert set(rows) == {row for row in validation if users[row] in some}


def test_without_a_liked_validation_row_they_are_fitted_with_the_settings_a_search_starts_from(data):
    users, items, ratings, (train, validation, _), _ = data
    low = np.where(np.isin(np.arange(len(users)), validation), 2, ratings)
    for rows in (validation, validation[:0]):
        fitted, _ = fit_ranking_baselines(users, items, low, (train, rows), **SIZES)
        assert fitted["ease"].settings == {"weight": "rating", "l2": 200}
        assert fitted["implicit_als"].settings["sweeps"] == 1
