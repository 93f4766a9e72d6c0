"""Ratings of anything as inputs and targets: ids, side tables, histories, context, and new pairs from saved files."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kmodels import files, models
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation.recommender import rate
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.pipelines import Ratings
from kmodels.pipelines.checks import check_inputs
from kmodels.preprocessing import Category, Number, Tags, splits
from kmodels.preprocessing.splits import Split
from tests.reference.histories import everything

TABLE = pd.DataFrame(
    {
        "user_id": ["u7", "u7", "u9", "u9", "u8", "u7", "u5"],
        "item_id": [1, 2, 2, 3, 1, 4, 2],
        "rating": [10.0, 6, 8, 2, 4, 10, 6],
    }
)
USERS = pd.DataFrame(
    {"user_id": ["u5", "u7", "u8", "u9"], "age": [1, 25, 30, 60], "job": list("abab"), "kind": list("xxyy")}
)
ITEMS = pd.DataFrame({"item_id": [4, 3, 2, 1], "tags": ["a", "b|a", "b", ""], "kind": list("pqpq")})
SPLIT = Split(np.array([0, 1, 2, 3, 4]), np.array([5]), np.array([6]))  # user u5 and item 4 have no training row
REST = np.array([5, 6])
CONTEXT = {"session": np.arange(21, dtype=float).reshape(7, 3), "hour": np.arange(7)}
KINDS = {"item_columns": {"tags": Tags("|", flag_missing=False), "kind": Category()}}


def fit(**changes):
    options = {"users": USERS, "items": ITEMS, "context": CONTEXT, **KINDS}
    return Ratings.fit(TABLE, SPLIT, **options | changes)


@pytest.fixture(scope="module")
def ratings():
    return fit()


@pytest.fixture(scope="module")
def model(ratings):
    return models.neumf(
        ratings.n_users,
        ratings.n_items,
        user_features=[ratings.histories()["user"], *ratings.features()["user_features"]],
        item_features=[ratings.histories()["item"], *ratings.features()["item_features"]],
        context_features=ratings.features()["context_features"],
    )


def plain(ratings):
    return models.neumf(ratings.n_users, ratings.n_items)


def test_ids_count_what_training_shows_from_1(ratings):
    assert ratings.user_id.tolist() == [1, 1, 3, 3, 2, 1, 0]
    assert ratings.item_id.tolist() == [1, 2, 2, 3, 1, 0, 2]
    assert ratings.user_id.dtype == ratings.item_id.dtype == np.int32
    assert (ratings.n_users, ratings.n_items) == (4, 4)


@pytest.mark.parametrize("missing", ["unknown", None])
def test_users_without_training_rows_are_rated_and_ranked_each_on_their_own(ratings, missing):
    table = pd.concat([TABLE, TABLE.iloc[[6, 6]].assign(user_id=[missing, "another"])], ignore_index=True)
    more = Ratings.fit(table, SPLIT._replace(test=np.array([5, 6, 7, 8])))
    assert more.user_id.tolist() == [1, 1, 3, 3, 2, 1, 0, 0, 0]
    assert more.rater[:6].tolist() == more.user_id[:6].tolist()
    assert len(set(more.rater[6:])) == 3
    assert more.rater[6:].min() >= more.n_users
    assert len(rate(**more.arrays("test"), predicted=np.zeros(4))[1]) == 4


def test_features_are_named_by_table_and_column(ratings):
    assert ratings.features()["user_features"] == (
        Numeric("user_numbers", 1),
        Categorical("job", 3),
        Categorical("user_kind", 3),
    )
    assert ratings.features()["item_features"] == (MultiHot("tags", 2), Categorical("item_kind", 3))
    assert ratings.features()["context_features"] == (Numeric("session", 3), Numeric("hour", 1))
    assert set(ratings.encoders) == {"user_id", "item_id", "users", "items"}


def test_item_features_are_the_side_table_by_id(ratings):
    # Of items 0 (unknown), 1, 2, 3: tags a and b, kinds p and q.
    expected = [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 1]]
    np.testing.assert_array_equal(ratings.item_features().toarray(), expected)
    assert Ratings.fit(TABLE, SPLIT).item_features().shape == (4, 0)


def test_only_named_columns_are_used_where_some_are_named():
    ratings = fit(user_columns={"years": Number(of="age", log=True)})
    assert ratings.features()["user_features"] == (Numeric("user_numbers", 1),)
    assert {feature.name for feature in ratings.features()["item_features"]} == {"tags", "kind"}


@pytest.mark.parametrize("columns", [{"tags": Tags(), "kind": Category()}, None])
def test_side_columns_without_values_are_left_out(columns, tmp_path):
    items = ITEMS.assign(tags=["", None, "", ""], kind=None)
    with pytest.warns(UserWarning, match="column 'tags' is left out: no value"):
        ratings = fit(items=items, item_columns=columns)
    assert ratings.features()["item_features"] == ()
    assert len(ratings.features()["user_features"]) == 3
    ratings.save(tmp_path)
    assert Ratings.load(tmp_path).features() == ratings.features()


def test_it_makes_just_the_models_inputs(ratings, model):
    names = {tensor.name for tensor in model.inputs}
    assert set(ratings.batches(model, REST)[0][0]) == names
    own = {"user_id", "user_history", "user_numbers", "job", "user_kind", "session", "hour"}
    assert set(everything(ratings.user_batches(model))) == own
    assert set(everything(ratings.item_batches(model))) == {"item_id", "item_history", "tags", "item_kind"}
    small = plain(ratings)
    assert set(everything(ratings.batches(small, REST))) == {"user_id", "item_id"}
    assert set(everything(ratings.user_batches(small))) == {"user_id"}
    other = models.neumf(4, 4, context_features=[Numeric("weather")])
    with pytest.raises(ConfigurationError, match="do not make: weather; they make hour, item_history"):
        ratings.batches(other, REST)


def test_side_features_are_those_of_the_rows_own_user_and_item(ratings, model):
    rows = everything(ratings.batches(model, np.arange(7)))
    ages = USERS.set_index("user_id")["age"][TABLE["user_id"]].to_numpy()
    seen = np.array([25, 30, 60])
    np.testing.assert_allclose(rows["user_numbers"][:, 0], (ages - seen.mean()) / seen.std(), rtol=1e-5)
    assert rows["job"].tolist() == [2, 2, 2, 2, 1, 2, 1]  # u5 has no training row, its job is known all the same
    has = ITEMS.set_index("item_id")["tags"][TABLE["item_id"]]
    np.testing.assert_array_equal(rows["tags"], [[float(tag in text) for tag in "ab"] for text in has])
    users, items = everything(ratings.user_batches(model)), everything(ratings.item_batches(model))
    for row in SPLIT.train:
        np.testing.assert_array_equal(rows["user_numbers"][row], users["user_numbers"][ratings.user_id[row]])
        assert rows["item_kind"][row] == items["item_kind"][ratings.item_id[row]]
    np.testing.assert_array_equal(rows["session"], CONTEXT["session"])
    np.testing.assert_array_equal(rows["hour"][:, 0], CONTEXT["hour"])
    assert not users["session"].any()


def test_what_is_held_out_changes_no_encoder(ratings, model):
    users, items = USERS.copy(), ITEMS.copy()
    users.loc[0, ["age", "job", "kind"]] = [99, "z", "z"]
    items.loc[0, ["tags", "kind"]] = ["d|e", "z"]
    changed = fit(users=users, items=items)
    assert changed.features()["user_features"] == ratings.features()["user_features"]
    assert changed.features()["item_features"] == ratings.features()["item_features"]
    before, after = (everything(each.batches(model, SPLIT.train)) for each in (ratings, changed))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_training_rows_have_the_history_of_their_user_without_themselves(ratings, model):
    rows = everything(ratings.batches(model, SPLIT.train))
    value = TABLE["rating"] / 2  # on a scale whose highest value is 5
    for name, own, other, size in (
        ("user_history", ratings.user_id, ratings.item_id, ratings.n_items),
        ("item_history", ratings.item_id, ratings.user_id, ratings.n_users),
    ):
        for row in SPLIT.train:
            members = [other_row for other_row in SPLIT.train if other_row != row and own[other_row] == own[row]]
            expected = np.zeros(2 * size)
            for member in members:
                expected[other[member]] = value[member] - value[SPLIT.train].mean()
                expected[size + other[member]] = 1
            np.testing.assert_allclose(rows[name][row], expected / np.sqrt(len(members) + 1), atol=1e-6)


def test_held_out_rows_have_the_histories_of_their_user_and_item(ratings, model):
    rows = everything(ratings.batches(model, REST))
    users, items = everything(ratings.user_batches(model)), everything(ratings.item_batches(model))
    assert users["user_id"].tolist() == [0, 1, 2, 3]
    assert not users["user_history"][0].any()
    assert not items["item_history"][0].any()
    for place, row in enumerate(REST):
        np.testing.assert_array_equal(rows["user_history"][place], users["user_history"][ratings.user_id[row]])
        np.testing.assert_array_equal(rows["item_history"][place], items["item_history"][ratings.item_id[row]])


def test_what_is_known_of_users_replaces_their_training_rows(ratings, model):
    own = [[0, 0, 0, 0], [0, 10, 6, 0], [0, 4, 0, 0], [0, 0, 8, 2]]
    expected, users = everything(ratings.user_batches(model)), [None, "u7", "u8", "u9"]
    found = everything(ratings.user_batches(model, users, sparse.csr_array(np.array(own, "float32"))))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
    # Somebody without training rows who rated as user u7 did: that history, and the features of their own.
    known = sparse.csr_array(np.array([own[1], own[1], own[2]], "float32"))
    found = everything(ratings.user_batches(model, ["u5", None, "u9"], known))
    assert found["user_id"].tolist() == [0, 0, 3]
    np.testing.assert_allclose(found["user_history"], expected["user_history"][[1, 1, 2]], rtol=1e-6)
    assert found["job"].tolist() == [expected["job"][2], 0, expected["job"][3]]
    pairs = pd.DataFrame({"user_id": ["u5", "u7"], "item_id": [2, 2]})
    of_pairs = everything(ratings.new_batches(model, pairs, known=known[[0, 0]]))
    np.testing.assert_allclose(
        of_pairs["user_history"][1], everything(ratings.new_batches(model, pairs))["user_history"][1]
    )
    assert of_pairs["user_history"][0].nonzero()[0].tolist() == [1, 5]  # without the rating of item 2


@pytest.mark.parametrize("rows", [None, np.arange(7)])
def test_interactions_weigh_known_pairs_by_their_rating(ratings, rows):
    table, weight = TABLE.iloc[SPLIT.train if rows is None else rows], {2: 0.2, 4: 0.4, 6: 0.6, 8: 0.8, 10: 1.0}
    expected = np.zeros((4, 4))
    for row in table.itertuples():
        if row.user_id != "u5" and row.item_id != 4:
            expected[["u7", "u8", "u9"].index(row.user_id) + 1, row.item_id] = weight[row.rating] ** 2
    np.testing.assert_allclose(ratings.interactions(rows, power=2).toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(fit(scale=(-10, 10)).weights([-10, 0, 10]), [0.2, 0.6, 1], rtol=1e-6)


def test_a_rating_counts_half_after_as_many_later_ones_as_its_half_life(ratings, tmp_path):
    timed = Ratings.fit(TABLE.assign(timestamp=[30, 20, 5, 5, 1, 10, 0]), SPLIT)
    expected = np.zeros((4, 4))
    # In training u7 rates 2 before 1; u9 rates 2 and 3 in one second, and the hash has this order.
    for user, item, weight, later in (("u7", 1, 1.0, 0), ("u7", 2, 0.6, 1), ("u9", 2, 0.8, 1), ("u9", 3, 0.2, 0)):
        expected[["u7", "u8", "u9"].index(user) + 1, item] = weight * 0.5 ** (later / 3)
    expected[2, 1] = 0.4
    np.testing.assert_allclose(timed.interactions(half_life=3).toarray(), expected, rtol=1e-6)
    timed.save(tmp_path)
    np.testing.assert_allclose(Ratings.load(tmp_path).interactions(half_life=3).toarray(), expected, rtol=1e-6)
    with pytest.raises(ConfigurationError, match="timestamps"):
        ratings.interactions(half_life=3)


def test_targets_are_shares_of_the_scale_and_come_back(ratings):
    np.testing.assert_allclose(ratings.target(np.arange(7)), TABLE["rating"] / 10, rtol=1e-6)
    assert ratings.mean == pytest.approx(TABLE["rating"][SPLIT.train].mean() / 10)
    np.testing.assert_allclose(ratings.in_units([-1.0, 0.5, 3.0]), [2, 5, 10])
    np.testing.assert_allclose(fit(scale=(0, 20)).in_units([-1.0, 0.5, 3.0]), [0, 10, 20])


def test_a_softmax_over_a_batch_gets_positions_and_how_often_each_item_is_among_its_rows(ratings):
    history = [ratings.histories()["user"]]
    model = models.two_tower(ratings.n_users, ratings.n_items, user_features=history, dim=2)
    rows = np.array([0, 2, 4, 1, 3])
    batches = ratings.batches(model, rows, batch_size=3, shuffle=True)
    check_inputs(model, batches)
    items = ratings.item_id[rows].tolist()
    for i in range(2):
        inputs, target = batches[i]
        assert target.tolist() == list(range(len(inputs["item_id"])))
        share = [items.count(item) / 5 for item in inputs["item_id"]]
        np.testing.assert_allclose(np.exp(inputs["item_log_frequency"]), np.array(share)[:, None], rtol=1e-6)


def test_batches_of_the_parts_are_ordered_as_split_batches_orders_them():
    user, item = np.divmod(np.arange(60), 12)
    table = pd.DataFrame({"user_id": user, "item_id": item, "rating": np.arange(60.0)})
    ratings = Ratings.fit(table, splits.random_per_user(user, item, seed=0))
    train, validation, test = ratings.split_batches(plain(ratings), batch_size=7, seed=2)
    order = np.random.default_rng((2, 0)).permutation(len(ratings.split.train))
    found = np.concatenate([train[i][1] for i in range(len(train))])
    np.testing.assert_array_equal(found, ratings.target(ratings.split.train[order])[: len(found)])
    assert len(found) == len(order) // 7 * 7
    np.testing.assert_array_equal(validation[0][1], ratings.target(ratings.split.validation))
    np.testing.assert_array_equal(test[0][1], ratings.target(ratings.split.test))


def test_ratings_twice_as_high_make_the_same_inputs_and_targets(ratings, model):
    doubled = Ratings.fit(
        TABLE.assign(rating=2 * TABLE["rating"]), SPLIT, users=USERS, items=ITEMS, context=CONTEXT, **KINDS
    )
    batch, other = (each.batches(model, np.arange(7))[0] for each in (ratings, doubled))
    for name, values in batch[0].items():
        np.testing.assert_array_equal(values, other[0][name])
    np.testing.assert_array_equal(batch[1], other[1])


def test_new_pairs_are_fed_from_saved_files_alone(ratings, model, tmp_path):
    pairs = pd.DataFrame({"user_id": ["u9", "u5", "nobody"], "item_id": [1, 4, 99]})
    ratings.save(tmp_path)
    loaded = Ratings.load(tmp_path)
    assert loaded.scale == ratings.scale
    assert loaded.features()["context_features"] == ratings.features()["context_features"]
    found = everything(loaded.new_batches(model, pairs))
    for name, values in everything(ratings.new_batches(model, pairs)).items():
        np.testing.assert_array_equal(values, found[name])
    assert found["user_id"].tolist() == [3, 0, 0]
    assert found["item_id"].tolist() == [1, 0, 0]
    assert found["job"].tolist() == [2, 1, 0]  # u5's by its table; of nobody nothing is known
    assert (
        found["user_numbers"][2] == everything(ratings.batches(model, np.array([4])))["user_numbers"][0]
    )  # the median
    assert not found["session"].any()
    users = everything(ratings.user_batches(model))["user_history"]
    np.testing.assert_array_equal(found["user_history"], users[[3, 0, 0]])
    given = loaded.new_batches(model, pairs, context={"hour": [1.0, 2, 3], "session": np.ones((3, 3))})[0][0]
    assert given["hour"].tolist() == [[1], [2], [3]]
    known = pairs.assign(user_id="u7", item_id=1)  # a pair of training: its rating stays out of its histories
    training = everything(ratings.batches(model, np.array([0])))
    found = everything(loaded.new_batches(model, known))
    np.testing.assert_array_equal(found["user_history"][0], training["user_history"][0])


def test_many_ratings_alike_are_saved_and_loaded(tmp_path):
    user, item = np.divmod(np.arange(20_000), 100)
    table = pd.DataFrame({"user_id": user, "item_id": item, "rating": 1.0 + (item == 0)})
    ratings = Ratings.fit(table, splits.random_per_user(user, item, seed=0))
    ratings.save(tmp_path)
    np.testing.assert_array_equal(Ratings.load(tmp_path).rating, ratings.rating[ratings.split.train])


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": np.array([1, 99, 1, 1, 1], np.int32)},
        {"user_id": np.array([1, -1, 1, 1, 1], np.int32)},
        {"item_id": np.array([1.5] * 5)},
        {"rating": np.ones(3, np.float32)},
        {"rating": np.array(["a"] * 5)},
        {"scale": np.array([1.0])},
        {"scale": np.array([1.0, np.nan])},
        {"user.ids": np.array(["u1"])},
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused(ratings, tmp_path, change):
    ratings.save(tmp_path)
    arrays = files.read_arrays(tmp_path / "ratings.npz")
    assert len(arrays["rating"]) == 5
    files.write_arrays(tmp_path / "ratings.npz", arrays | change)
    with pytest.raises(DataError, match=r"ratings\.npz: not the ratings of these encoders"):
        Ratings.load(tmp_path)


@pytest.mark.parametrize("name", ["ratings.npz", "encoders.json"])
def test_damaged_files_are_named(ratings, tmp_path, name):
    ratings.save(tmp_path)
    (tmp_path / name).write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=name):
        Ratings.load(tmp_path)


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (TABLE.drop(columns="rating"), {}, "lack a column"),
        (TABLE.assign(rating=3.0), {}, "all ratings are alike"),
        (TABLE.assign(rating=[1, 2, np.nan, 3, 4, 5, 6]), {}, "row 3, column 'rating'"),
        (TABLE, {"users": pd.concat([USERS, USERS[:1]])}, "row 5, column 'user_id': the id stands twice"),
        (TABLE, {"items": ITEMS.rename(columns={"item_id": "isbn"})}, "column 'item_id'"),
        (TABLE, {"context": {"hour": [1, 2]}}, "column 'hour': wrong shape"),
        (TABLE, {"context": {"hour": [np.nan] * 7}}, "row 1, column 'hour'"),
    ],
)
def test_what_makes_no_sense_is_refused(table, changes, message):
    with pytest.raises(DataError, match=message):
        Ratings.fit(table, SPLIT, **changes)
