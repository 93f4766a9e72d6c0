import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.preprocessing.ratings import AGE_BANDS, encode_ratings

RATINGS = pd.DataFrame({"user_id": [7, 7, 9, 5], "item_id": [30, 10, 10, 20]})
USERS = pd.DataFrame(
    {"user_id": [5, 7, 9], "gender": ["F", "M", "F"], "age": [17, 25, 56], "occupation": ["x", "b", "a"]}
)
ITEMS = pd.DataFrame({"item_id": [30, 20, 10], "genres": ["B|A", "C", ""], "year": [1999, 2004, None]})
TRAIN = np.array([0, 1, 2])  # user 5 and item 20 are unknown


@pytest.fixture
def encoded():
    return encode_ratings(RATINGS, USERS, ITEMS, TRAIN)


def test_ids_count_what_training_shows_from_1(encoded):
    assert encoded.user_id.tolist() == [1, 1, 2, 0]
    assert encoded.item_id.tolist() == [2, 1, 1, 0]
    assert encoded.user_id.dtype == encoded.item_id.dtype == np.int32
    assert (encoded.n_users, encoded.n_items) == (3, 3)


def test_features_are_what_the_tables_hold(encoded):
    for features, table in ((encoded.user_features, encoded.user_table), (encoded.item_features, encoded.item_table)):
        for feature in features:
            values = table[feature.name]
            assert values.shape[1] == feature.size if values.ndim == 2 else values.max() < feature.size
    assert [feature.name for feature in encoded.user_features] == ["gender_id", "age_band", "occupation_id"]
    assert [feature.name for feature in encoded.item_features] == ["genres", "decade"]
    assert encode_ratings(RATINGS, USERS[["user_id"]], ITEMS, TRAIN).user_features == []


def test_rows_point_into_the_tables_also_of_the_unknown(encoded):
    assert encoded.user_row.tolist() == [1, 1, 2, 0]
    assert encoded.item_row.tolist() == [0, 2, 2, 1]


def test_categories_of_training_users_alone_are_known(encoded):
    assert encoded.user_table["occupation_id"].tolist() == [0, 2, 1]
    assert encoded.user_table["gender_id"].tolist() == [1, 2, 1]
    assert encoded.user_table["age_band"].tolist() == [0, 1, 2]  # 1 (aged 17) unseen, 25, 56


def test_the_profile_is_standardised_by_training_users(encoded):
    # Users 7 and 9 trained: is male (1, 0), age (25, 56), occupation id (2, 1).
    numbers = np.array([[0, 17, 0], [1, 25, 2], [0, 56, 1]], float)
    expected = (numbers - numbers[1:].mean(axis=0)) / numbers[1:].std(axis=0)
    for i, name in enumerate(("gender", "age", "occupation")):
        assert encoded.user_table[name].shape == (3, 1)
        assert encoded.user_table[name].dtype == np.float32
        np.testing.assert_allclose(encoded.user_table[name][:, 0], expected[:, i], rtol=1e-5)


def test_genres_and_decades_of_training_items_alone_are_known(encoded):
    assert encoded.item_table["genres"].tolist() == [[1, 1], [0, 0], [0, 0]]  # A and B; C was never seen
    # Decades seen: none (as 0) and 1990.
    assert encoded.item_table["decade"].tolist() == [2, 0, 1]


def test_what_is_held_out_changes_no_encoder(encoded):
    other_users, other_items = USERS.copy(), ITEMS.copy()
    other_users.loc[0, ["gender", "age", "occupation"]] = ["M", 99, "zzz"]
    other_items.loc[1, ["genres", "year"]] = ["D|E", 1890]
    again = encode_ratings(RATINGS, other_users, other_items, TRAIN)
    for name in ("gender", "age", "occupation", "occupation_id"):
        np.testing.assert_array_equal(again.user_table[name][1:], encoded.user_table[name][1:])
    assert again.encoders["genres"].labels == encoded.encoders["genres"].labels
    assert again.item_table["genres"].shape == encoded.item_table["genres"].shape


def test_data_without_user_columns_has_no_user_table():
    encoded = encode_ratings(RATINGS, USERS[["user_id"]], ITEMS, TRAIN)
    assert encoded.user_table == {}
    assert set(encoded.encoders) == {"user_id", "item_id", "genres", "decade"}


@pytest.mark.parametrize("age", range(1, 100, 7))
def test_age_bands_are_those_of_movielens_1m(age):
    users = USERS.assign(age=[1, 1, age])
    encoded = encode_ratings(RATINGS, users, ITEMS, TRAIN)
    band = max(first for first in AGE_BANDS if first <= age)
    assert encoded.encoders["age_band"].values[encoded.user_table["age_band"][2] - 1] == band


@pytest.mark.parametrize(
    ("table", "message"),
    [("users", "row 4, column 'user_id': not in its table; received 5"), ("items", "row 2, column 'item_id': .* 10")],
)
def test_a_rating_of_an_unlisted_user_or_item_is_refused(table, message):
    users, items = (USERS[1:], ITEMS) if table == "users" else (USERS, ITEMS[:2])
    with pytest.raises(DataError, match=message):
        encode_ratings(RATINGS, users, items, TRAIN)


def test_no_training_row_is_refused():
    with pytest.raises(DataError, match="no training row"):
        encode_ratings(RATINGS, USERS, ITEMS, np.array([], int))
