"""A recommender gives what the ranker's scores say, for users with and without training rows, from its files too."""

import importlib.util
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from kmodels import models, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Ratings
from kmodels.preprocessing import splits
from kmodels.serving import Recommender, rankers
from kmodels.serving.rankers import best
from tests.mutation import mutations
from tests.reference.histories import as_inputs, everything

RNG = np.random.default_rng(0)
USERS, ITEMS = 40, 15
USER, ITEM = np.nonzero(RNG.random((USERS, ITEMS)) < 0.4)
TABLE = pd.DataFrame({"user_id": 100 + USER, "item_id": [f"b{item:02}" for item in ITEM]})
TABLE["rating"] = RNG.integers(1, 11, len(TABLE)) / 2
TABLE["timestamp"] = RNG.permutation(len(TABLE))
BOOKS = pd.DataFrame({"item_id": [f"b{item:02}" for item in range(ITEMS)], "year": np.arange(1990, 1990 + ITEMS)})
BOOKS["title"] = [None, "Same", "Same", *(f"Title, {item}" for item in range(3, ITEMS))]
KINDS = ("ease", "autoencoder", "sasrec", "neumf", "two_tower")


def fit_ratings():
    """All rows of users 100 to 134; the others are known at the time of a request alone."""
    rows = np.flatnonzero(TABLE["user_id"] < 135)
    return Ratings.fit(TABLE, splits.Split(rows, rows[:0], rows[:0]), scale=(0.5, 5))


def make(kind="ease", **options):
    ratings = fit_ratings()
    settings = {"power": 2.0, "half_life": 3.0, "l2": 5.0}
    if kind == "ease":
        ranker = training.fit_ease(models.ease(ratings.n_items), ratings.interactions(power=2), l2=5.0)
    elif kind == "autoencoder":
        ranker = training.initialize(models.item_autoencoder(ratings.n_items, hidden=(6,)))
    elif kind == "sasrec":
        ranker = training.initialize(models.sasrec(ratings.n_items, 5, dim=4))
    elif kind == "two_tower":
        history = [ratings.histories()["user"]]
        ranker = training.initialize(models.two_tower(ratings.n_users, ratings.n_items, user_features=history, dim=4))
    else:
        preset = models.presets.NEUMF["history"] | {"dim": 3, "hidden": (4,)}
        ranker = training.initialize(models.neumf(ratings.n_users, ratings.n_items, **ratings.features(), **preset))
        options = {"model": ranker, **options}
    return Recommender(ratings, **{"ranker": ranker, "known": TABLE, "items": BOOKS, "settings": settings, **options})


@pytest.fixture(scope="module", params=KINDS)
def each(request):
    return make(request.param)


@pytest.fixture(scope="module")
def linear():
    return make()


@pytest.fixture(scope="module")
def rating():
    return make("neumf")


def by_hand(recommender, own):
    """EASE's scores of all items, one after the other, for the ratings of somebody in the order of time."""
    history = np.zeros(ITEMS + 1)
    for age, (item, value) in enumerate(reversed(list(own.items()))):
        history[1 + int(item[1:])] = (0.2 + 0.8 * (value - 0.5) / 4.5) ** 2 * 0.5 ** (age / 3)
    return history @ recommender.ranker.get_weights()[0]


def ratings_of(user):
    own = TABLE[TABLE["user_id"] == user].sort_values("timestamp")
    return dict(zip(own["item_id"], own["rating"], strict=True))


def test_recommended_is_what_scores_highest_of_what_was_not_seen(linear):
    asked = [107, 100, 139]  # the last one has no training row
    found = linear.recommend(asked, k=4)
    assert found["user_id"].tolist() == np.repeat(asked, 4).tolist()
    assert found["rank"].tolist() == [1, 2, 3, 4] * 3
    for user, rows in found.groupby("user_id"):
        own = ratings_of(user)
        scores = by_hand(linear, own)
        unseen = [f"b{i - 1:02}" for i in np.argsort(-scores) if i > 0 and f"b{i - 1:02}" not in own]
        assert rows["item_id"].tolist() == unseen[:4]
        np.testing.assert_allclose(rows["score"], [scores[1 + int(item[1:])] for item in unseen[:4]], rtol=1e-4)


def test_columns_of_the_items_are_shown(linear):
    found = linear.recommend(107, k=ITEMS, exclude_seen=False)
    assert list(found) == ["user_id", "rank", "item_id", "score", "year", "title"]
    expected = BOOKS.set_index("item_id").loc[found["item_id"]]
    assert found["year"].tolist() == expected["year"].tolist()
    assert found["title"].tolist() == expected["title"].tolist()
    assert sorted(found["item_id"]) == BOOKS["item_id"].tolist()


def test_somebody_without_a_row_is_recommended_what_a_user_of_these_ratings_is(each):
    # Apart from the vector of a user id, which user 137, who has no training row, lacks as well.
    expected = each.recommend(137, k=5).drop(columns="user_id")
    found = each.recommend_for([{"b03": 5}, ratings_of(137)], k=5)
    assert found["person"].tolist() == [0] * 5 + [1] * 5
    pd.testing.assert_frame_equal(found[5:].drop(columns="person").reset_index(drop=True), expected, rtol=1e-4)
    alone = each.recommend_for(ratings_of(137), k=5).drop(columns="person")
    pd.testing.assert_frame_equal(alone, expected, rtol=1e-4)


def test_everybodys_recommendations_are_each_ones_whatever_the_block(each):
    expected = each.recommend(range(100, 140), k=3)
    for block in (7, 64):
        pd.testing.assert_frame_equal(pd.concat(each.all(3, block=block), ignore_index=True), expected, rtol=1e-4)


def test_only_candidates_are_recommended_and_fewer_than_k_where_few_are_left(linear):
    own = ratings_of(107)
    unseen = [item for item in BOOKS["item_id"] if item not in own][:2]
    found = linear.recommend(107, k=5, candidates=[*unseen, next(iter(own)), unseen[0]])
    assert sorted(found["item_id"]) == unseen
    assert len(linear.recommend([107, 108], k=5, candidates=unseen[:1], exclude_seen=False)) == 2


def test_nobody_is_recommended_nothing(each):
    assert list(each.recommend([], k=5)) == ["user_id", "rank", "item_id", "score", "year", "title"]
    assert len(each.recommend_for([], k=5)) == 0


def test_items_may_be_named_by_their_titles(linear):
    by_id = linear.recommend_for({"b03": 5, "b05": 1}, k=3)
    pd.testing.assert_frame_equal(linear.recommend_for({"Title, 3": 5, "b05": 1}, k=3), by_id)
    pd.testing.assert_frame_equal(linear.similar_items("Title, 3", k=3), linear.similar_items(["b03"], k=3))
    with pytest.raises(DataError, match=r"several items have the title.* expected b01, b02; received 'Same'"):
        linear.similar_items("Same")


def test_without_ratings_the_most_rated_items_come_first(linear):
    counts = TABLE["item_id"].value_counts()
    expected = sorted(BOOKS["item_id"], key=lambda item: (-counts[item], item))
    assert linear.recommend_for({}, k=ITEMS)["item_id"].tolist() == expected


@pytest.mark.parametrize(("k", "width"), [(1, 100), (6, 100), (7, 100), (100, 100), (2, 33), (5, 5)])
@pytest.mark.parametrize("values", [4, 10**6])
def test_the_best_are_those_of_a_full_sort(monkeypatch, k, width, values):
    monkeypatch.setattr(rankers, "_SORTED", 1000)
    scores, preference = RNG.integers(0, values, (50, width)).astype("float32"), RNG.permutation(width)
    scores[RNG.random(scores.shape) < 0.3] = -np.inf
    scores[3] = -np.inf
    row, rank, column, found = best(scores.copy(), k, preference)
    for i in range(50):
        order = [c for c in sorted(range(width), key=lambda c: (-scores[i, c], preference[c])) if scores[i, c] > -1][:k]
        assert column[row == i].tolist() == order
        assert rank[row == i].tolist() == list(range(1, len(order) + 1))
        assert found[row == i].tolist() == scores[i, order].tolist()
    scores[4, RNG.integers(width)] = np.nan
    with pytest.raises(DataError, match="a score is not a number"):
        best(scores, k, preference)


def test_training_rows_are_known_where_nothing_else_is_said():
    trained = TABLE[TABLE["user_id"] < 135]
    expected = make(known=trained.sample(frac=1, random_state=0)).recommend(range(100, 135))
    pd.testing.assert_frame_equal(make(known=None).recommend(range(100, 135)), expected)


def test_ratings_are_predicted_as_the_model_does_without_the_pairs_own(rating):
    own = ratings_of(138)
    items = ["b01", next(iter(own))]
    found = rating.rate(138, items)
    assert list(found) == ["user_id", "item_id", "rating", "year", "title"]
    history = np.zeros((2, 1 + ITEMS), "float32")
    for row, item in enumerate(items):
        for other, value in own.items():
            history[row, 1 + int(other[1:])] = value if other != item else 0
    mean = TABLE["rating"][TABLE["user_id"] < 135].mean()
    above, n = np.where(history > 0, history - mean, 0), (history > 0).sum(axis=1, keepdims=True)
    inputs = {"user_history": np.concatenate([above, history > 0], axis=1) / np.sqrt(n + 1)}
    inputs |= {"user_id": np.zeros(2, "int32"), "item_id": np.array([1 + int(item[1:]) for item in items], "int32")}
    users = everything(fit_ratings().item_batches(rating.model))["item_history"]
    inputs["item_history"] = users[inputs["item_id"]]
    predicted = rating.model.predict_on_batch(as_inputs(inputs))
    np.testing.assert_allclose(found["rating"], np.clip(5 * predicted[:, 0], 0.5, 5), rtol=1e-5)
    assert len(rating.rate(138, [])) == 0


def test_similar_items_have_similar_columns_of_the_kernel_and_similar_users_histories(linear):
    kernel = linear.ranker.get_weights()[0]
    cosine = cosine_similarity(kernel.T[1:])
    np.fill_diagonal(cosine, -2)
    found = linear.similar_items(["b03", "b09"], k=4)
    for row, item in ((0, 3), (4, 9)):
        assert found["neighbour"][row : row + 4].tolist() == [f"b{i:02}" for i in np.argsort(-cosine[item])[:4]]
    np.testing.assert_allclose(found["similarity"][:4], np.sort(cosine[3])[::-1][:4], atol=1e-5)
    assert found["year"].tolist() == [1990 + int(item[1:]) for item in found["neighbour"]]
    histories = linear._weights(linear.known.ratings).toarray()
    cosine = cosine_similarity(histories[1:])
    np.fill_diagonal(cosine, -2)
    found = linear.similar_users(139, k=3)
    assert found["neighbour"].tolist() == [100 + i for i in np.argsort(-cosine[39])[:3]]


def test_without_a_ranker_the_model_says_who_is_alike_and_nothing_is_recommended(rating):
    alone = make("neumf", ranker=None)
    pd.testing.assert_frame_equal(alone.similar_items("b03"), rating.similar_items("b03"))
    pd.testing.assert_frame_equal(alone.similar_users(139), rating.similar_users(139))
    with pytest.raises(ConfigurationError, match="there is no ranker"):
        alone.recommend(139)


def test_a_ranker_that_knows_ids_alone_is_not_asked_about_newcomers():
    ratings = fit_ratings()
    ranker = training.initialize(models.neumf(ratings.n_users, ratings.n_items, dim=3, hidden=()))
    recommender = make(ranker=ranker)
    assert pd.concat(recommender.all(2))["user_id"].unique().tolist() == list(range(100, 135))
    towers = make(ranker=training.initialize(models.two_tower(ratings.n_users, ratings.n_items, dim=3)))
    asks = [lambda it=it: it.recommend([101, 136]) for it in (recommender, towers)]
    for ask in (*asks, lambda: recommender.recommend_for({"b03": 5})):
        with pytest.raises(DataError, match="knows users by their ids alone"):
            ask()


def test_few_scores_are_held_however_many_users_ask(monkeypatch):
    monkeypatch.setattr(rankers, "_SCORES", 2**17)
    monkeypatch.setattr(rankers, "_SORTED", 2**13)
    user, item = np.divmod(RNG.permutation(3000 * 1000)[:30_000], 1000)
    table = pd.DataFrame({"user_id": user, "item_id": item, "rating": RNG.integers(1, 6, len(user)).astype(float)})
    rows = np.arange(len(table))
    ratings = Ratings.fit(table, splits.Split(rows, rows[:0], rows[:0]))
    ranker = models.ease(ratings.n_items)
    weights = RNG.standard_normal((ratings.n_items, ratings.n_items), dtype=np.float32)
    for each in (weights, 0 * weights):  # without weights, all are equal
        ranker.set_weights([each])
        recommender = Recommender(ratings, ranker=ranker)
        tracemalloc.start()
        assert len(recommender.recommend(recommender.known.users.values)) == 10 * (ratings.n_users - 1)
        assert tracemalloc.get_traced_memory()[1] < 6e6
        tracemalloc.stop()
    assert ratings.n_users * 4 * ratings.n_items > 11e6


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda it: it.recommend(99), "the user is unknown; received 99"),
        (lambda it: it.recommend([101, 5000]), "the user is unknown; received 5000"),
        (lambda it: it.recommend("101"), "not of the learnt kind"),
        (lambda it: it.recommend(101, k=0), f"k must be from 1 to {ITEMS}, the items there are. Received: k=0"),
        (lambda it: it.recommend(101, k=ITEMS + 1), f"k must be from 1 to {ITEMS}"),
        (lambda it: it.recommend(101, candidates=["b03", "b99"]), "the item is unknown; received 'b99'"),
        (lambda it: it.recommend_for({"b99": 5}), "the item is unknown; received 'b99'"),
        (lambda it: it.recommend_for({3: 5}), "the item is unknown; received 3"),
        (lambda it: it.recommend_for({"b03": 5.5}), r"outside the scale; expected 0\.5 to 5; received 5\.5"),
        (lambda it: it.recommend_for({"b03": np.nan}), "a value is missing or infinite"),
        (lambda it: it.recommend_for({"b03": 5, "Title, 3": 4}), "an item is rated twice; received 'Title, 3'"),
        (lambda it: list(it.all(block=0)), "block must be at least 1"),
        (lambda it: it.rate(101, ["b03"]), "there is no model of ratings"),
        (lambda it: it.similar_items("b03", k=ITEMS), f"n must be from 1 to {ITEMS - 1}"),
        (lambda it: it.similar_users(5000), "the user is unknown"),
    ],
)
def test_what_has_no_answer_is_refused(linear, ask, message):
    with pytest.raises((ConfigurationError, DataError), match=message):
        ask(linear)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranker": None}, "needs a ranker or a model"),
        ({"known": TABLE.drop(columns="rating")}, "what is known lacks a column"),
        ({"known": TABLE.assign(rating=6)}, "row 1, column 'rating': outside the scale"),
        ({"known": pd.concat([TABLE, TABLE[:1]])}, "stands twice"),
        ({"known": TABLE.drop(columns="timestamp")}, "a half-life needs timestamps"),
        ({"items": BOOKS.drop(columns="item_id")}, "the table of items has no ids"),
        ({"items": pd.concat([BOOKS, BOOKS[:1]])}, "row 16, column 'item_id': the id stands twice; received 'b00'"),
        ({"items": BOOKS.rename(columns={"year": "score"})}, "columns of their own named so. Received: score"),
    ],
)
def test_what_makes_no_recommender_is_refused(options, message):
    with pytest.raises((ConfigurationError, DataError), match=message):
        make(**options)


# --- files


def test_it_is_the_same_from_its_files(each, tmp_path):
    make().save(tmp_path / "new")
    each.save(tmp_path / "new")  # over an earlier one
    found = Recommender.load(tmp_path / "new")
    assert found.settings == {"power": 2.0, "half_life": 3.0}
    pd.testing.assert_frame_equal(pd.concat(found.all()), pd.concat(each.all()))
    pd.testing.assert_frame_equal(found.similar_items("b03"), each.similar_items("b03"))
    pd.testing.assert_frame_equal(found.similar_users(139), each.similar_users(139))
    if each.model is not None:
        pd.testing.assert_frame_equal(found.rate(139, ["b03"]), each.rate(139, ["b03"]))


ELSEWHERE = """
import json, sys
from kmodels.serving import Recommender, rankers
for folder in sys.argv[1:]:
    recommender = Recommender.load(folder)
    print(json.dumps(recommender.recommend(range(100, 140))["item_id"].tolist()))
"""


@pytest.mark.one_backend("torch")
def test_another_backend_recommends_the_same_ten(tmp_path, backend_name):
    backends = [name for name in ("jax", "torch", "tensorflow") if importlib.util.find_spec(name)]
    other = backends[(backends.index(backend_name) + 1) % len(backends)]
    expected = [make(kind).save(tmp_path / kind).recommend(range(100, 140))["item_id"].tolist() for kind in KINDS]
    folders = [str(tmp_path / kind) for kind in KINDS]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *folders],
        env=os.environ | {"KERAS_BACKEND": other},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")] == expected


def test_a_save_that_fails_leaves_no_recommender(linear, tmp_path, monkeypatch):
    linear.save(tmp_path)
    monkeypatch.setattr(training, "save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        linear.save(tmp_path)
    with pytest.raises(ConfigurationError, match=r"holds no recommender: there is no recommender\.json in it"):
        Recommender.load(tmp_path)


@pytest.mark.parametrize("name", ["recommender.json", "known.npz"])
def test_damaged_files_are_refused_or_recommend_what_they_did(linear, tmp_path, name):
    linear.save(tmp_path)
    path, refused = tmp_path / name, []
    content, expected = path.read_bytes(), linear.recommend(107)["score"]
    for damaged in mutations(content, 100):
        path.write_bytes(damaged)
        try:
            found = Recommender.load(tmp_path)
            if name == "known.npz":
                pd.testing.assert_series_equal(found.recommend(107)["score"], expected)
        except (ConfigurationError, DataError) as error:
            refused.append(str(error))
    assert len(refused) > 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.pop("users"), "not a recommender"),
        (lambda facts: facts["users"].append("ann"), "not a recommender"),
        (lambda facts: facts["users"].pop(), "not what is known of these users"),
        (lambda facts: facts["items"]["title"].pop(), "not a recommender"),
        (lambda facts: facts.update(models=["picture"]), "not a recommender"),
        (lambda facts: facts.update(models=[]), "needs a ranker or a model"),
        (lambda facts: facts.update(settings={"power": "high"}), "not a recommender"),
    ],
)
def test_facts_that_do_not_fit_are_refused(linear, tmp_path, change, message):
    linear.save(tmp_path)
    facts = json.loads((tmp_path / "recommender.json").read_text())
    change(facts)
    (tmp_path / "recommender.json").write_text(json.dumps(facts))
    with pytest.raises((ConfigurationError, DataError), match=message):
        Recommender.load(tmp_path)
