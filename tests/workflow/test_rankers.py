"""Rankers of a run: how settings are chosen, what is known when, and that an order that is there is learnt."""

import numpy as np
import pandas as pd
import pytest

from kmodels import cli
from kmodels.errors import ConfigurationError
from kmodels.evaluation.item_weights import solve_ease
from kmodels.pipelines import Ratings
from kmodels.preprocessing import splits
from kmodels.serving import Recommender
from kmodels.workflow import Run, rankers


@pytest.fixture(scope="module")
def ratings():
    """Sixty users of two groups, each of which rates its own half of forty items alone."""
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(60) for item in rng.permutation(20)[:14] + 20 * (user % 2)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id"])
    table = table.assign(rating=rng.integers(3, 6, len(table)).astype(float), timestamp=np.arange(len(table)))
    split = splits.random_per_user(table["user_id"], table["item_id"], seed=0)
    return Ratings.fit(table, split, items=pd.DataFrame({"item_id": range(40), "half": ["a"] * 20 + ["b"] * 20}))


@pytest.fixture
def run(tmp_path):
    return Run(cli.parser("rank", "Ranks.").parse_args(["--out", str(tmp_path), "--epochs", "30"]), "rank.py")


def test_each_setting_is_chosen_given_those_before():
    asked = []

    def quality(settings):
        asked.append(dict(settings))
        return -2 * abs(settings["a"] - 3) - abs(settings["b"] - settings["a"])

    assert rankers.choose({"a": (1, 3, 5), "b": (0, 2, 3)}, quality) == {"a": 3, "b": 3}
    assert len(asked) == 5
    assert rankers.choose({"a": (1, 3)}, lambda settings: float("nan")) == {"a": 1}  # nothing to choose by


def test_the_ranker_scores_the_histories_known_by_then(ratings, run):
    _, settings, scores = rankers.METHODS["edlae"](run, ratings)
    features = ratings.item_features() * settings["feature_weight"] if settings["feature_weight"] else None
    weighed = {name: settings[name] for name in ("power", "half_life")}
    histories = ratings.interactions(power=settings["power"])
    weights = solve_ease(histories, settings["l2"], settings["dropout"], features)
    train, validation, _ = ratings.split
    for known, rows in (("validation", train), ("test", np.concatenate([train, validation]))):
        np.testing.assert_array_equal(rankers.known_rows(ratings)[known], rows)
        expected = ratings.interactions(rows, **weighed).toarray() @ weights
        np.testing.assert_allclose(scores(rows)(np.arange(ratings.n_users)), expected, atol=1e-5)


def test_the_next_item_is_predicted_where_one_follows_another(run):
    """Everybody goes through the items in the order of their numbers, from somewhere on."""
    rng = np.random.default_rng(1)
    starts = rng.integers(0, 30, 200)
    user, place = np.divmod(np.arange(200 * 8), 8)
    table = pd.DataFrame({"user_id": user, "item_id": (starts[user] + place) % 30, "timestamp": place})
    table = table.assign(rating=rng.integers(1, 6, len(table)).astype(float)).sample(frac=1, random_state=0)
    split = splits.leave_last_out(table["user_id"], table["item_id"], table["timestamp"])
    ratings = Ratings.fit(table, split, liked_only=False)
    found = rankers.rank(run, rankers.default(ratings, "leave-last-out"), ratings)
    assert found.fitted.name == "slit"
    assert found.record.test["catalogue_mrr_at_10"] > 0.99
    assert found.baselines["ease"]["catalogue_mrr_at_10"] < 0.8  # the one before the first is as near
    recommender = Recommender(ratings, ranker=found.fitted.model, known=table, settings=found.settings)
    served = recommender.recommend(list(range(200)), k=1)["item_id"]
    assert (served == (starts + 8) % 30).mean() > 0.99


def test_where_the_order_tells_nothing_it_is_not_looked_at(ratings, run):
    found = rankers.METHODS["edlae-or-slit"](run, ratings)
    alone = [rankers.METHODS[method](run, ratings) for method in ("edlae", "slit")]
    quality = [
        rankers.measure(ratings, each[2](ratings.split.train), "validation")["catalogue_ndcg_at_10"] for each in alone
    ]
    assert quality[0] > quality[1]
    assert (found[0].model.name, found[1]) == ("edlae", alone[0][1])


@pytest.mark.one_backend("torch")
@pytest.mark.parametrize("method", rankers.METHODS)
def test_the_order_of_the_groups_is_learnt(ratings, run, method, monkeypatch):
    monkeypatch.setattr(rankers, "EPOCHS", 60)
    found = rankers.rank(run, method, ratings)
    popularity = np.bincount(ratings.item_id[ratings.split.train], minlength=ratings.n_items)
    by_popularity = rankers.measure(ratings, lambda ids: np.tile(popularity, (len(ids), 1)), "test")
    # Of 40 items a user's own half is 20, of which 12 are known: the other 8 are right, and about two are liked.
    assert found.record.test["catalogue_recall_at_10"] == pytest.approx(1, abs=0.05)
    assert by_popularity["catalogue_recall_at_10"] < 0.6
    assert found.record.to_dict()["baselines"] == found.baselines
    assert f"{found.record.test['catalogue_ndcg_at_10']:.4f}" in found.lines[1]


def test_weights_between_all_items_are_not_asked_of_a_large_catalogue(ratings, monkeypatch):
    assert rankers.default(ratings) == rankers.default(ratings, "time") == "edlae"
    monkeypatch.setattr(rankers, "MOST_ITEMS", 40)  # of 41 rows
    assert rankers.default(ratings) == rankers.default(ratings, "leave-last-out") == "two-tower"
    with pytest.raises(ConfigurationError, match="41 items; --ranker two-tower takes any number"):
        rankers.rank(None, "slit", ratings)
    monkeypatch.setattr(rankers, "MOST_ROWS", 100)
    assert rankers.default(ratings, needed=True) == "two-tower"
    with pytest.warns(UserWarning, match="no ranker is trained by default"):
        assert rankers.default(ratings) == "none"


def test_users_to_whom_little_is_recommended_are_shown_all_the_same():
    class Few:
        def recommend(self, user, n):
            return pd.DataFrame({"item_id": ["c", "d"][: user - 1]})

    rows = [(1, "a", 3.0), (2, "a", 5.0), (2, "b", 4.0), (3, "b", 2.5), (3, "a", 1.0), (3, "c", 4.0)]
    ratings = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"])
    titles = pd.DataFrame({"item_id": list("abcd"), "title": ["A", "B", "C", "D"]})
    shown = {user: table.to_dict("list") for user, table in rankers.examples(Few(), ratings, titles)}
    assert shown == {
        1: {"rating": ["3"], "rated highest": ["A"], "recommended": [""]},
        2: {"rating": ["5", "4"], "rated highest": ["A", "B"], "recommended": ["C", ""]},
        3: {"rating": ["4", "2.5", "1"], "rated highest": ["C", "B", "A"], "recommended": ["C", "D", ""]},
    }
