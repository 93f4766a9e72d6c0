import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, ndcg_score, r2_score, root_mean_squared_error

from kmodels.errors import DataError
from kmodels.evaluation import ranking, recommender

N_USERS, N_ITEMS = 21, 41


def planted(seed=0):
    rng = np.random.default_rng(seed)
    pairs = np.array([(user, item) for user in range(1, N_USERS) for item in range(1, N_ITEMS)])
    pairs = pairs[rng.permutation(len(pairs))[:500]]
    users, items = pairs[:, 0].astype("int32"), pairs[:, 1].astype("int32")
    true = 3 + rng.normal(0, 0.5, N_USERS)[users] + rng.normal(0, 0.8, N_ITEMS)[items]
    ratings = np.clip(np.round(true + rng.normal(0, 0.3, 500)), 1, 5).astype("float32")
    order = rng.permutation(500)
    return users, items, ratings, (order[:350], order[350:420], order[420:])


@pytest.fixture(scope="module")
def data():
    return planted()


def evaluate(data, predicted=None, scores=None, **options):
    users, items, ratings, split = data
    rng = np.random.default_rng(1)
    predicted = predicted or {
        name: ratings[rows] + rng.normal(0, 0.2, len(rows))
        for name, rows in zip(("validation", "test"), split[1:], strict=True)
    }
    scores = scores or (lambda ids: rng.normal(size=(len(ids), N_ITEMS)))
    return (
        *recommender.evaluate(
            users, items, ratings, split, predicted, scores, n_users=N_USERS, n_items=N_ITEMS, **options
        ),
        predicted,
    )


def test_errors_are_scikit_learns(data):
    results, _, predicted = evaluate(data)
    for name, rows in (("validation", data[3][1]), ("test", data[3][2])):
        true, got = data[2][rows], results[name]
        assert got["rmse"] == pytest.approx(root_mean_squared_error(true, predicted[name]))
        assert got["mae"] == pytest.approx(mean_absolute_error(true, predicted[name]))
        assert got["r2"] == pytest.approx(r2_score(true, predicted[name]))
        assert got["rmse_normalised"] == pytest.approx(got["rmse"] / 5)


def test_every_baseline_is_there_and_names_are_those_of_the_contract(data):
    results, per_user, _ = evaluate(data)
    errors = {"rmse", "mae", "r2", "rmse_normalised"}
    ranks = {f"{name}_at_10" for name in ("precision", "recall", "hit_rate", "ndcg", "map", "mrr")}
    catalogue = {f"catalogue_{name}" for name in ranks}
    assert set(results) == {"test", "validation", "baselines", "warnings"}
    assert errors | ranks | catalogue <= set(results["test"])
    assert errors | ranks <= set(results["validation"])
    assert not catalogue & set(results["validation"])
    baselines = results["baselines"]
    assert set(baselines) == {"global_mean", "biases", "matrix_factorization", "popularity"}
    for name in ("biases", "matrix_factorization"):
        assert errors | catalogue <= set(baselines[name])
    assert errors <= set(baselines["global_mean"])
    assert not catalogue & set(baselines["global_mean"])  # it ranks nothing
    assert catalogue <= set(baselines["popularity"])
    assert not errors & set(baselines["popularity"])  # it rates nothing
    assert set(per_user) == {"model", "global_mean", "biases", "matrix_factorization"}


def test_the_mean_baseline_is_the_training_mean(data):
    _users, _items, ratings, (train, _, test) = data
    results, _, _ = evaluate(data)
    expected = np.sqrt(np.mean((ratings[test] - ratings[train].mean()) ** 2))
    assert results["baselines"]["global_mean"]["rmse"] == pytest.approx(expected, rel=1e-5)
    assert results["baselines"]["biases"]["rmse"] < expected


def slow_catalogue_ndcg(data, table, part="test", least=4):
    """Each user's liked items of a part among all that it has not rated before, one item after the other."""
    users, items, ratings, (train, validation, test) = data
    if part == "validation":
        validation, test = [], validation
    known = set(items[train].tolist())
    values = []
    for user in sorted(set(users[test].tolist())):
        mine = {int(items[r]) for r in test if users[r] == user and ratings[r] >= least and int(items[r]) in known}
        if not mine:
            continue
        rated = {int(items[r]) for r in (*train, *validation) if users[r] == user}
        candidates = [item for item in range(1, N_ITEMS) if item not in rated]
        relevance = np.array([[float(item in mine) for item in candidates]])
        values.append(ndcg_score(relevance, table[user][candidates][None], k=10))
    return np.mean(values)


def test_the_catalogue_is_ranked_as_a_slow_loop_with_scikit_learn_ranks_it(data):
    table = np.random.default_rng(3).normal(size=(N_USERS, N_ITEMS))
    results, _, _ = evaluate(data, scores=lambda ids: table[ids])
    assert results["test"]["catalogue_ndcg_at_10"] == pytest.approx(slow_catalogue_ndcg(data, table), rel=1e-9)


def test_validation_rows_are_ranked_without_a_look_at_the_test(data):
    users, items, ratings, split = data
    table = np.random.default_rng(5).normal(size=(N_USERS, N_ITEMS))
    found = recommender.rank(users, items, ratings, split, lambda ids: table[ids], n_items=N_ITEMS, part="validation")
    expected = slow_catalogue_ndcg(data, table, "validation")
    assert found["catalogue_ndcg_at_10"].mean() == pytest.approx(expected, rel=1e-9)


def test_only_users_with_a_liked_test_item_are_scored(data):
    users, _items, ratings, (_, _, test) = data
    asked = []

    def scores(some):
        asked.extend(some)
        return np.zeros((len(some), N_ITEMS))

    evaluate(data, scores=scores)
    assert set(asked) == set(users[test[ratings[test] >= 4]].tolist())


def test_knowing_the_test_ratings_is_perfect(data):
    users, items, ratings, split = data
    predicted = {"validation": ratings[split[1]], "test": ratings[split[2]]}
    known = np.full((N_USERS, N_ITEMS), -1.0)
    known[users[split[2]], items[split[2]]] = ratings[split[2]]
    results, _, _ = evaluate(data, predicted, lambda ids: known[ids])
    assert results["test"]["rmse"] == 0
    assert results["test"]["ndcg_at_10"] == pytest.approx(1)
    assert results["test"]["catalogue_ndcg_at_10"] == pytest.approx(1)


def test_a_prediction_that_is_no_number_is_refused(data):
    _users, _items, ratings, split = data
    predicted = {"validation": ratings[split[1]], "test": np.full(len(split[2]), np.nan)}
    with pytest.raises(DataError):
        evaluate(data, predicted)


def test_predictions_of_other_rows_are_refused(data):
    predicted = {"validation": data[2][data[3][1]], "test": np.ones(3)}
    with pytest.raises(DataError):
        evaluate(data, predicted)


def test_the_unit_of_the_ratings_only_scales_their_errors(data):
    users, items, ratings, split = data
    rng = np.random.default_rng(4)
    predicted = {
        name: ratings[rows] + rng.normal(0, 0.2, len(rows))
        for name, rows in zip(("validation", "test"), split[1:], strict=True)
    }
    scores = rng.normal(size=(N_USERS, N_ITEMS))
    sizes = {"n_users": N_USERS, "n_items": N_ITEMS}
    fives, _ = recommender.evaluate(users, items, ratings, split, predicted, lambda ids: scores[ids], **sizes)
    doubled = {name: 2 * values for name, values in predicted.items()}
    tens, _ = recommender.evaluate(
        users, items, 2 * ratings, split, doubled, lambda ids: scores[ids], scale=(2.0, 10.0), **sizes
    )
    for name, value in fives["test"].items():
        assert tens["test"][name] == pytest.approx(value * (2 if name in ("rmse", "mae") else 1)), name
    for name, value in fives["baselines"]["popularity"].items():
        assert tens["baselines"]["popularity"][name] == pytest.approx(value), name


def test_further_metrics_are_made_of_the_same_rows():
    def worst(users, ratings, predicted, per_user):
        assert len(per_user) == 2
        return {"worst": float(np.abs(np.subtract(ratings, predicted)).max())}

    assert recommender.rate([1, 1, 2], [5.0, 3.0, 4.0], [4.5, 3.0, 4.2], more=worst)[0]["worst"] == 0.5


def test_lenient_figures_worked_by_hand():
    # Twelve items; the best two are ranked last, out of the first ten.
    users, ratings = [1] * 12 + [2] * 2, np.array([3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 5, 5, 5, 4])
    scores = [*range(12, 0, -1), 2, 1]
    found = recommender.lenient_ranking(users, ratings, scores, ranking.rated_ranking(users, ratings, scores))
    discount = 1 / np.log2(np.arange(2, 12))
    of_first = (ratings[:10] * discount).sum() / (np.sort(ratings[:10])[::-1] * discount).sum()
    assert found["ndcg_at_10_retrieved_ideal"] == pytest.approx((of_first + 1) / 2)
    assert found["precision_at_10_of_ten_slots"] == pytest.approx((0.3 + 0.2) / 2)


@pytest.mark.filterwarnings("error")
def test_test_rows_without_a_relevant_item_leave_the_catalogue_without_figures(data):
    users, items, ratings, split = data
    low = ratings.copy()
    low[split[2]] = 2 + np.arange(len(split[2])) % 2
    results, _, _ = evaluate((users, items, low, split))
    of_catalogue = {name: value for name, value in results["test"].items() if name.startswith("catalogue_")}
    assert len(of_catalogue) == 6
    assert np.isnan(list(of_catalogue.values())).all()
    assert np.isfinite(results["test"]["rmse"])
    assert set(results["baselines"]["popularity"]) == set(of_catalogue)


def test_a_single_test_row_is_evaluated(data):
    users, items, ratings, (train, validation, test) = data
    results, _, _ = evaluate((users, items, ratings, (train, validation, test[:1])))
    assert np.isfinite(results["test"]["rmse"])
    assert np.isnan(results["test"]["r2"])


def test_unknown_users_are_rated_and_not_ranked_for():
    users, items = np.array([1, 1, 2, 2, 1, 2, 0, 0], "int32"), np.array([1, 2, 1, 3, 3, 2, 1, 1], "int32")
    ratings = np.array([5, 1, 4, 2, 3, 5, 5, 5], "float32")
    split = np.arange(4), np.array([4]), np.array([5, 6, 7])
    asked = []

    def scores(some):
        asked.extend(some.tolist())
        return np.zeros((len(some), 4))

    predicted = {"validation": [3.0], "test": [4.0, 4, 4]}
    found, _ = recommender.evaluate(users, items, ratings, split, predicted, scores, n_users=3, n_items=4)
    assert asked == [2]
    assert found["test"]["mae"] == 1


def test_unknown_users_that_are_told_apart_are_ranked_apart():
    users, items = np.array([1, 1, 2, 2, 1, 0, 0, 0, 0], "int32"), np.array([1, 2, 1, 2, 2, 1, 2, 1, 2], "int32")
    ratings = np.array([5, 1, 4, 2, 3, 5, 1, 1, 5], "float32")
    split = np.arange(4), np.array([4]), np.array([5, 6, 7, 8])
    predicted = {"validation": [3.0], "test": [3.0, 2.0, 4.0, 5.0]}
    raters = np.array([1, 1, 2, 2, 1, 3, 3, 4, 4])
    arguments = (users, items, ratings, split, predicted, lambda ids: np.zeros((len(ids), 3)))
    found, per_user = recommender.evaluate(*arguments, n_users=3, n_items=3, raters=raters)
    assert per_user["model"]["n_items"].to_dict() == {3: 2, 4: 2}
    assert per_user["biases"]["n_items"].to_dict() == {3: 2, 4: 2}
    assert found["test"]["ndcg_at_10"] == 1  # within either user the order is right, over both it is not
    assert recommender.evaluate(*arguments, n_users=3, n_items=3)[0]["test"]["ndcg_at_10"] < 1


BASELINES = {"popularity", "recent_popularity", "item_knn", "ease", "implicit_als"}


def test_a_ranker_is_evaluated_with_its_baselines(data):
    users, items, ratings, split = data
    table, sizes = np.random.default_rng(6).normal(size=(N_USERS, N_ITEMS)), {"n_users": N_USERS, "n_items": N_ITEMS}
    times = np.random.default_rng(7).integers(0, 10**8, len(users))
    other = np.random.default_rng(9).normal(size=(N_USERS, N_ITEMS))
    scores = {"validation": lambda ids: other[ids], "test": lambda ids: table[ids]}
    results, per_user = recommender.evaluate_ranking(users, items, ratings, split, scores, timestamps=times, **sizes)
    assert results["test"]["catalogue_ndcg_at_10"] == pytest.approx(slow_catalogue_ndcg(data, table), rel=1e-9)
    validated = slow_catalogue_ndcg(data, other, "validation")
    assert results["validation"]["catalogue_ndcg_at_10"] == pytest.approx(validated, rel=1e-9)
    counts = np.bincount(items[split[0]], minlength=N_ITEMS)
    counted = slow_catalogue_ndcg(data, np.tile(counts, (N_USERS, 1)))
    assert results["baselines"]["popularity"]["catalogue_ndcg_at_10"] == pytest.approx(counted, rel=1e-9)
    assert set(results["baselines"]) == set(results["baseline_settings"]) == BASELINES
    assert set(per_user) == BASELINES | {"model"}
    assert not results["left_out"]
    for name, found in (results["baselines"] | {"model": results["test"]}).items():
        assert found == ranking.mean_ranking(per_user[name])
    assert set(results["baseline_settings"]["recent_popularity"]) == {"weeks"}


@pytest.mark.parametrize("part", ["validation", "test"])
def test_every_held_out_row_may_be_relevant(data, part):
    users, items, ratings, split = data
    table = np.random.default_rng(10).normal(size=(N_USERS, N_ITEMS))
    sizes = {"n_users": N_USERS, "n_items": N_ITEMS, "liked_only": False}
    scores, counts = (lambda ids: table[ids]), np.tile(np.bincount(items[split[0]], minlength=N_ITEMS), (N_USERS, 1))
    found, _ = recommender.evaluate_ranking(
        users, items, ratings, split, dict.fromkeys(("validation", "test"), scores), **sizes
    )
    expected = slow_catalogue_ndcg(data, table, part, least=0)
    assert found[part]["catalogue_ndcg_at_10"] == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(slow_catalogue_ndcg(data, table, part), rel=1e-3)
    of_ratings = evaluate(data, scores=scores, liked_only=False)[0]
    popularity = slow_catalogue_ndcg(data, counts, least=0)
    for each in (found, of_ratings):
        assert each["baselines"]["popularity"]["catalogue_ndcg_at_10"] == pytest.approx(popularity, rel=1e-9)
    assert found["test"].items() <= of_ratings["test"].items()


def test_both_evaluations_rank_alike(data):
    users, items, ratings, split = data
    table, sizes = np.random.default_rng(8).normal(size=(N_USERS, N_ITEMS)), {"n_users": N_USERS, "n_items": N_ITEMS}
    of_ratings, _, _ = evaluate(data, scores=lambda ids: table[ids])
    found, _ = recommender.evaluate_ranking(
        users, items, ratings, split, dict.fromkeys(("validation", "test"), lambda ids: table[ids]), **sizes
    )
    assert found["test"].items() <= of_ratings["test"].items()
    assert found["baselines"]["popularity"] == of_ratings["baselines"]["popularity"]
    assert set(found["left_out"]) == {"recent_popularity"}


def test_of_many_users_some_are_ranked_and_a_warning_says_so(monkeypatch):
    """The metrics are those of the drawn users, and their standard error is the only difference."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(np.arange(400 * 30), 30)
    ratings = rng.integers(1, 6, len(users)).astype("float32")
    split = np.split(rng.permutation(len(users)), [8400, 10200])
    columns = users.astype("int32") + 1, items.astype("int32") + 1, ratings, [np.sort(rows) for rows in split]
    predicted = {"validation": np.full(1800, 3.0), "test": np.full(1800, 3.0)}
    table = rng.normal(size=(401, 31)).astype("float32")
    sizes = {"n_users": 401, "n_items": 31}
    everyone = recommender.rank(*columns, lambda ids: table[ids], n_items=31)
    whole, _ = recommender.evaluate(*columns, predicted, lambda ids: table[ids], **sizes)
    assert whole["warnings"] == []
    monkeypatch.setattr(recommender, "MOST_PAIRS", 31 * 100)
    some = recommender.rank(*columns, lambda ids: table[ids], n_items=31)
    assert len(everyone) > 300
    assert len(some) == 100
    pd.testing.assert_frame_equal(some, everyone.loc[some.index])
    assert not np.array_equal(some.index, everyone.index[:100])
    found, _ = recommender.evaluate(*columns, predicted, lambda ids: table[ids], **sizes)
    assert "100 users" in found["warnings"][0]
    means = some["catalogue_ndcg_at_10"].mean(), found["test"]["catalogue_ndcg_at_10"]
    assert means[0] == pytest.approx(means[1])
