"""Purchases encoded: what the training rows know, what they do not, and a split that keeps some ids back."""

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import purchases as tables
from kmodels.errors import DataError
from kmodels.features import Categorical
from kmodels.preprocessing import purchases, splits
from kmodels.preprocessing.encoders import Standardizer, load_encoders, save_encoders

TRAIN = np.array([0, 1, 2])  # user 5, product "z" and city "C" come in row 3 alone


@pytest.fixture
def table():
    labels = {
        "user_id": [9, 7, 7, 5],
        "product_id": ["x", "y", "x", "z"],
        "age": pd.Categorical(["55+", "0-17", None, "0-17"], categories=["0-17", "55+"], ordered=True),
        "city": ["B", "A", "B", "C"],
        "category_2": [8, None, 4, 8],
    }
    return pd.DataFrame(labels).astype("category").assign(amount=[4000.0, 5000.0, 9000.0, 20000.0])


@pytest.fixture(scope="module")
def sample():
    return tables.load("sample").table


def test_ids_count_what_training_shows_from_1(table):
    encoded = purchases.encode_purchases(table, TRAIN)
    assert encoded.inputs["user_id"].tolist() == [2, 1, 1, 0]
    assert encoded.inputs["product_id"].tolist() == [1, 2, 1, 0]
    assert encoded.unseen.tolist() == [False, False, False, True]
    assert encoded.ids == (Categorical("user_id", 3), Categorical("product_id", 3))
    assert all(values.dtype == np.int32 for values in encoded.inputs.values())


def test_a_missing_value_is_a_label_and_an_unknown_one_is_0(table):
    encoded = purchases.encode_purchases(table, TRAIN)
    assert encoded.inputs["age"].tolist() == [2, 1, 3, 1]
    assert encoded.inputs["city"].tolist() == [2, 1, 2, 0]
    assert encoded.encoders["age"].values == ("0-17", "55+", "missing")
    assert encoded.encoders["category_2"].values == (purchases.MISSING_NUMBER, 4, 8)
    assert encoded.inputs["category_2"].tolist() == [3, 1, 2, 3]
    assert encoded.features == (Categorical("age", 4), Categorical("city", 3), Categorical("category_2", 4))
    # Where training has no missing value, a missing one is unknown.
    assert purchases.encode_purchases(table, np.array([0, 1])).inputs["age"].tolist() == [2, 1, 0, 1]


def test_amounts_are_standardised_by_the_training_rows(table):
    encoded = purchases.encode_purchases(table, TRAIN)
    amounts = table["amount"].to_numpy()
    expected = (amounts - amounts[TRAIN].mean()) / amounts[TRAIN].std()
    np.testing.assert_allclose(encoded.amount[:, 0], expected, rtol=1e-6)
    assert (encoded.amount.shape, encoded.amount.dtype) == ((4, 1), np.float32)
    np.testing.assert_allclose(purchases.in_currency(encoded.amount[:, 0], encoded.encoders["amount"]), amounts)


def test_what_is_held_out_changes_no_encoder(table):
    other = table.copy()
    other["city"] = ["B", "A", "B", "Q"]
    other["city"] = other["city"].astype("category")
    other.loc[3, "amount"] = 1.0
    first, second = (purchases.encode_purchases(each, TRAIN) for each in (table, other))
    assert first.encoders == second.encoders


def test_other_purchases_are_encoded_by_the_saved_encoders(table, tmp_path):
    encoded = purchases.encode_purchases(table, TRAIN)
    save_encoders(encoded.encoders, tmp_path / "encoders.json")
    encoders = load_encoders(tmp_path / "encoders.json")
    for name, values in purchases.encode_inputs(table.drop(columns="amount"), encoders).items():
        np.testing.assert_array_equal(values, encoded.inputs[name])


@pytest.mark.parametrize("ids", [[7, 9, 5], ["7", "9", "guest"], [7.0, 9.0, 5.0]])
def test_labels_are_the_same_whatever_type_a_table_has(table, ids):
    encoders = purchases.encode_purchases(table, TRAIN).encoders
    other = pd.DataFrame({"user_id": ids, "product_id": ["x", "y", "q"], "age": None, "city": "A", "category_2": None})
    inputs = purchases.encode_inputs(other.astype("category"), encoders)
    assert inputs["user_id"].tolist() == [1, 2, 0]
    assert inputs["age"].tolist() == [3, 3, 3]
    assert inputs["category_2"].tolist() == [1, 1, 1]


def test_numbers_in_a_column_that_was_text(table):
    text = table.assign(product_id=pd.Categorical(["7", "P1", "7", "z"]))
    encoders = purchases.encode_purchases(text, TRAIN).encoders
    other = table.assign(product_id=pd.Categorical([7, 8, 7, 8]))
    assert purchases.encode_inputs(other, encoders)["product_id"].tolist() == [1, 0, 1, 0]


def test_bad_tables_are_refused(table):
    encoders = purchases.encode_purchases(table, TRAIN).encoders
    with pytest.raises(DataError, match="column 'city': the column is missing"):
        purchases.encode_inputs(table.drop(columns="city"), encoders)
    table["user_id"] = pd.Categorical([9, None, 7, 5])
    with pytest.raises(DataError, match="row 2, column 'user_id': an id is missing"):
        purchases.encode_purchases(table, TRAIN)
    with pytest.raises(DataError, match="there is no training row"):
        purchases.encode_purchases(table, np.array([], int))


def test_the_sample_is_encoded_as_pandas_would(sample):
    split = splits.kept_back(sample[["user_id", "product_id"]], seed=3)
    encoded = purchases.encode_purchases(sample, split.train)
    seen = sample.iloc[split.train]
    for name, values in encoded.inputs.items():
        column, known = sample[name].astype(object), seen[name].astype(object)
        # A missing value is whatever its first training row became.
        expected = column.isin(known.dropna().unique()) | (column.isna() & known.isna().any())
        np.testing.assert_array_equal(values > 0, expected)
        # Each id means one label, and each label has one id.
        pairs = pd.DataFrame({"id": values, "label": column.astype(str)})[values > 0].drop_duplicates()
        assert pairs["id"].is_unique
        assert pairs["label"].is_unique
        assert sorted(pairs["id"]) == list(range(1, len(pairs) + 1))


def test_in_currency_keeps_the_shape():
    found = purchases.in_currency(np.ones((2, 3), np.float32), Standardizer((100.0,), (2.0,)))
    assert found.shape == (2, 3)
    assert found.dtype == np.float64
    assert (found == 102).all()


def test_spend_groups_by_hand():
    amounts = [0, 4999.99, 5000, 9999.99, 10_000, 15_000, 15_000.01, 1e9]
    found = purchases.spend_groups(amounts)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.dtype == np.int32
    assert len(purchases.SPEND_GROUPS) == 4
    with pytest.raises(DataError, match="row 2, column 'amount': an amount is missing"):
        purchases.spend_groups([1, None, 3])
