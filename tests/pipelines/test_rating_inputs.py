import numpy as np
import pandas as pd
import pytest

from kmodels import models
from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.pipelines import RatingInputs
from kmodels.preprocessing.context import nearby_surplus
from kmodels.preprocessing.ratings import encode_ratings

RATINGS = pd.DataFrame(
    {"user_id": [7, 7, 9, 9, 8, 7, 5], "item_id": [1, 2, 2, 3, 1, 4, 2], "rating": [5.0, 3, 4, 1, 2, 5, 3]}
)
USERS = pd.DataFrame(
    {"user_id": [5, 7, 8, 9], "gender": list("FMFM"), "age": [1, 25, 30, 60], "occupation": ["a", "b", "a", "b"]}
)
ITEMS = pd.DataFrame(
    {"item_id": [4, 3, 2, 1], "genres": ["Drama", "War|Drama", "War", ""], "year": [1990, 1995, 1985, None]}
)
TIMES = [100, 104, 100, 5000, 7, 130, 104]
TRAIN, REST = np.array([0, 1, 2, 3, 4]), np.array([5, 6])  # user 5 and item 4 have no training row


@pytest.fixture(scope="module")
def made():
    table = encode_ratings(RATINGS, USERS, ITEMS, TRAIN)
    model = models.neumf(
        table.n_users,
        table.n_items,
        user_features=[Categorical("occupation_id", 3)],
        item_features=[MultiHot("genres", 2)],
        context_features=[Numeric("session", 3)],
        **models.presets.NEUMF["session"],
    )
    return RatingInputs.of(model, table, RATINGS["rating"], TRAIN, timestamps=TIMES), table


def everything(batches):
    return {name: np.concatenate([batches[i][0][name] for i in range(len(batches))]) for name in batches[0][0]}


def test_it_makes_just_the_models_inputs(made):
    inputs, _ = made
    assert set(everything(inputs.rows(REST))) == inputs.names
    assert set(everything(inputs.users())) == {"user_id", "user_history", "occupation_id", "session"}
    assert set(everything(inputs.items())) == {"item_id", "item_history", "genres"}


def test_held_out_rows_agree_with_the_rows_of_users_and_of_items(made):
    inputs, table = made
    rows, users, items = (everything(b) for b in (inputs.rows(REST, batch_size=1), inputs.users(), inputs.items()))
    assert rows["user_id"].tolist() == [table.user_id[5], 0]
    assert rows["item_id"].tolist() == [0, table.item_id[6]]
    for i, _ in enumerate(REST):
        np.testing.assert_array_equal(rows["user_history"][i], users["user_history"][rows["user_id"][i]])
        np.testing.assert_array_equal(rows["item_history"][i], items["item_history"][rows["item_id"][i]])
    assert rows["occupation_id"][0] == users["occupation_id"][rows["user_id"][0]]
    np.testing.assert_array_equal(rows["genres"][1], items["genres"][rows["item_id"][1]])


def test_training_rows_have_the_history_of_their_user_without_themselves(made):
    inputs, table = made
    rows = everything(inputs.rows(TRAIN))
    mean = RATINGS["rating"][TRAIN].mean()
    n = table.n_items
    for i in TRAIN:
        others = [j for j in TRAIN if j != i and RATINGS.user_id[j] == RATINGS.user_id[i]]
        expected = np.zeros(2 * n)
        for j in others:
            expected[table.item_id[j]] = RATINGS.rating[j] - mean
            expected[n + table.item_id[j]] = 1
        np.testing.assert_allclose(rows["user_history"][i], expected / np.sqrt(len(others) + 1), atol=1e-6)


def test_histories_hold_training_rows_only(made):
    inputs, _ = made
    assert inputs.by_user.nnz == inputs.by_item.nnz == len(TRAIN)
    np.testing.assert_array_equal(inputs.by_user.toarray(), inputs.by_item.toarray().T)


def test_the_session_of_a_row_is_that_of_its_own_moment(made):
    inputs, _ = made
    expected = nearby_surplus(RATINGS.assign(timestamp=TIMES), TRAIN)
    for rows in (TRAIN, REST):
        np.testing.assert_array_equal(everything(inputs.rows(rows))["session"], expected[rows])
    assert expected[REST[0]].any()  # user 7 rated other films within the hour


def test_users_outside_any_session_have_none(made):
    inputs, table = made
    session = everything(inputs.users())["session"]
    assert (session.shape, session.dtype) == ((table.n_users, 3), np.float32)
    assert not session.any()


def test_a_session_without_timestamps_is_refused():
    table = encode_ratings(RATINGS, USERS, ITEMS, TRAIN)
    model = models.neumf(table.n_users, table.n_items, context_features=[Numeric("session", 3)])
    with pytest.raises(ConfigurationError, match="'session' needs the timestamps"):
        RatingInputs.of(model, table, RATINGS["rating"], TRAIN)


def test_unknown_users_and_items_have_no_history_but_a_row(made):
    inputs, table = made
    for batches, history, size in (
        (inputs.users(), "user_history", table.n_users),
        (inputs.items(), "item_history", table.n_items),
    ):
        rows = everything(batches)
        assert rows[history.replace("history", "id")].tolist() == list(range(size))
        assert not rows[history][0].any()


def test_an_unknown_user_of_a_row_keeps_its_own_side_features(made):
    inputs, table = made
    assert everything(inputs.rows(np.array([6])))["occupation_id"] == [table.user_table["occupation_id"][0]]


def test_without_history_inputs_none_are_made():
    table = encode_ratings(RATINGS, USERS, ITEMS, TRAIN)
    inputs = RatingInputs.of(models.neumf(table.n_users, table.n_items), table, RATINGS["rating"], TRAIN)
    assert inputs.by_user is None
    assert inputs.by_item is None
    assert inputs.session is None
    assert set(everything(inputs.rows(TRAIN))) == {"user_id", "item_id"}


def test_order_and_target_go_to_the_batches(made):
    inputs, _ = made
    batches = inputs.rows(TRAIN, np.arange(5.0), shuffle=True, seed=2, batch_size=2)
    expected = np.random.default_rng((2, 0)).permutation(5)
    assert np.concatenate([batches[i][1] for i in range(3)]).tolist() == expected.tolist()
