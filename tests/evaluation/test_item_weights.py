"""Weights between items against scikit-learn's ridge regression, column by column, and against all dropout masks."""

from itertools import product

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import item_weights
from kmodels.evaluation.item_weights import solve_ease, solve_slit


def some_histories(users=40, items=7, seed=0):
    """Weights of 1/4 to 1; item 0 and the last one are in no history."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 5, (users, items)) / 4 * (rng.random((users, items)) < 0.5)
    values[:, [0, -1]] = 0
    return values


@pytest.mark.parametrize("block", [1024, 3])
def test_each_column_is_the_ridge_regression_of_an_item_on_the_others(block, monkeypatch):
    monkeypatch.setattr(item_weights, "_BLOCK", block)
    histories = some_histories()
    found = solve_ease(sparse.csr_array(histories.astype("float32")), l2=1.5)
    assert found.dtype == np.float32
    for item in range(histories.shape[1]):
        others = np.delete(np.arange(histories.shape[1]), item)
        ridge = Ridge(alpha=1.5, fit_intercept=False).fit(histories[:, others], histories[:, item])
        np.testing.assert_allclose(found[others, item], ridge.coef_, atol=1e-6)
        assert found[item, item] == 0


def test_with_dropout_they_minimise_the_mean_loss_over_all_masks():
    histories, l2, dropout = some_histories(items=6, seed=1), 0.7, 0.3
    masks = np.array(list(product([0, 1], repeat=6)))
    chance = (dropout ** (1 - masks) * (1 - dropout) ** masks).prod(axis=1)
    found = solve_ease(sparse.csr_array(histories), l2, dropout)
    for item in range(6):
        others = np.delete(np.arange(6), item)
        # A row for each user and mask, as heavy as the mask is likely, and the penalty as further rows.
        inputs = np.sqrt(chance)[:, None, None] * histories * masks[:, None] / (1 - dropout)
        targets = np.sqrt(chance)[:, None] * histories[:, item]
        rows = np.vstack([inputs[..., others].reshape(-1, 5), np.sqrt(l2) * np.eye(5)])
        best = np.linalg.lstsq(rows, np.append(targets.ravel(), np.zeros(5)), rcond=None)[0]
        np.testing.assert_allclose(found[others, item], best, atol=1e-6)


def test_item_features_are_histories_without_dropout():
    histories, features = some_histories(items=6), np.random.default_rng(2).random((6, 2))
    rows = np.vstack([histories, features.T])
    penalties = 1.5 + 0.25 * (histories**2).sum(axis=0)  # dropout 0.2: p / (1 - p)
    found = solve_ease(sparse.csr_array(histories), 1.5, 0.2, sparse.csr_array(features))
    for item in range(6):
        others = np.delete(np.arange(6), item)
        design = np.vstack([rows[:, others], np.diag(np.sqrt(penalties[others]))])
        best = np.linalg.lstsq(design, np.append(rows[:, item], np.zeros(5)), rcond=None)[0]
        np.testing.assert_allclose(found[others, item], best, atol=1e-6)


def test_an_item_in_no_history_has_no_weights():
    found = solve_ease(sparse.csr_array(some_histories()), l2=2.0, dropout=0.5)
    assert not found[[0, -1]].any()
    assert not found[:, [0, -1]].any()


def test_what_cannot_be_solved_is_refused(monkeypatch):
    histories = sparse.csr_array(some_histories())
    with pytest.raises(ConfigurationError, match=r"l2 must be above 0. Received: l2=0"):
        solve_ease(histories, 0)
    with pytest.raises(ConfigurationError, match=r"dropout must be at least 0 and below 1. Received: dropout=1.0"):
        solve_ease(histories, 1.0, 1.0)
    with pytest.raises(ConfigurationError, match="l2 is too small"):
        solve_ease(sparse.csr_array(np.ones((3, 3))), 1e-30)
    with pytest.raises(DataError, match="column 'histories': a value is missing or infinite"):
        solve_ease(sparse.csr_array(np.array([[0.0, np.nan]])), 1.0)
    monkeypatch.setattr(item_weights, "MOST_ITEMS", 6)
    with pytest.raises(ConfigurationError, match=r"there may be 6 items at most\. Received: 7 items"):
        solve_ease(histories, 1.0)


# --- transitions to the next item


def some_sequences(users=12, items=7, seed=3):
    """Of 0 to 5 of the items 1 to 5, and as rows of a table whose values do not matter."""
    rng = np.random.default_rng(seed)
    sequences = [1 + rng.permutation(5)[: rng.integers(0, 6)] for _ in range(users)]
    ends = np.cumsum([0, *map(len, sequences)])
    values = rng.uniform(1, 2, ends[-1])
    return sequences, sparse.csr_array((values, np.concatenate(sequences), ends), shape=(users, items))


@pytest.mark.parametrize("backward", [0, 0.4, 1])
def test_they_minimise_the_loss_over_all_positions_of_all_sequences(backward):
    sequences, table = some_sequences()
    inputs, targets = [], []
    for sequence in sequences:
        for weight, read in ((1, sequence), (backward, sequence[::-1])):
            for t in range(1, len(read)):
                given, target = np.zeros(7), np.zeros(7)
                for k, item in enumerate(read[t - 1 :: -1]):
                    given[item] = 0.5 ** (k / 1.5)
                target[read[t]] = 1
                inputs.append(weight**0.5 * given)
                targets.append(weight**0.5 * target)
    ridge = Ridge(alpha=0.8, fit_intercept=False, solver="cholesky").fit(inputs, targets)
    found = solve_slit(table, 0.8, 1.5, backward)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ridge.coef_.T, atol=1e-6)


def test_transitions_refuse_what_has_no_meaning():
    _, table = some_sequences()
    for options, message in (
        ({"l2": 0}, "l2 must be above 0"),
        ({"half_life": 0}, "half_life must be above 0"),
        ({"backward": 1.1}, "backward must be from 0 to 1"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            solve_slit(table, **{"l2": 1.0, "half_life": 2.0} | options)
    twice = sparse.csr_array((np.ones(3), [1, 2, 1], [0, 3]), shape=(1, 4))
    with pytest.raises(DataError, match="an item stands twice in a sequence"):
        solve_slit(twice, 1.0, 2.0)
