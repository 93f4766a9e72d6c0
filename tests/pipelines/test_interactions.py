"""Ratings of users for items: every row in one part, ids as training shows them, penalties to scale."""

import numpy as np
import pandas as pd
import pytest

from kmodels.pipelines import Interactions


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    user, item = np.divmod(np.arange(1200), 40)
    # Every item but one is rated by all; item 999 by one user only.
    item = np.where((user == 3) & (item == 0), 999, item)
    return pd.DataFrame({"user_id": 10 + user, "item_id": item, "rating": rng.normal(3, 0.7, 1200)})


@pytest.fixture(scope="module")
def found(table):
    return Interactions.of(table, seed=0, limits=(1, 5))


def test_every_row_is_in_one_part(found, table):
    np.testing.assert_array_equal(np.sort(np.concatenate(found.split)), np.arange(len(table)))


def test_ids_are_those_of_the_training_rows(found, table):
    shown = set(table["item_id"].iloc[found.split.train])
    np.testing.assert_array_equal(found.ids["item_id"] == 0, ~table["item_id"].isin(shown))
    assert found.sizes == (31, len(shown) + 1)
    plain = found.plain()
    assert (plain["n_users"], plain["n_items"], plain["limits"]) == (*found.sizes, (1, 5))


def test_penalties_follow_rows_and_variance(found, table):
    train = table["rating"].to_numpy("float32")[found.split.train]
    priors = found.priors(l2_rows=20, bias_rows=4, kernel_l2=0.01)
    variance = float(np.mean((train - train.mean()) ** 2))
    assert priors == pytest.approx(
        {
            "mean": float(train.mean()),
            "l2": 20 * variance / len(train),
            "bias_l2": 4 * variance / len(train),
            "kernel_l2": 0.01 * variance,
        },
        rel=1e-5,
    )


def test_batches_hold_the_asked_rows_in_order(found, table):
    rows = np.array([700, 3, 41])
    inputs, target = found.batches(rows, batch_size=3)[0]
    np.testing.assert_allclose(target, table["rating"].to_numpy()[rows], rtol=1e-6)
    for name, vocabulary in found.encoders.items():
        np.testing.assert_array_equal(inputs[name], vocabulary.transform(table[name].iloc[rows]))
