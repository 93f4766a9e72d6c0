"""Models that rank a catalogue: sizes and arithmetic by NumPy, and a planted taste that popularity does not know."""

import keras
import numpy as np
import pytest
from scipy import sparse

from kmodels import models, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation.ranking import catalogue_ranking

USERS, ITEMS, TASTES = 121, 41, 4  # row 0 of each is the unknown


def planted(seed=0):
    """Training and test pairs (user, item): 8 and 2 of each user, nine in ten of the user's taste."""
    rng = np.random.default_rng(seed)
    popularity = rng.dirichlet(np.full(ITEMS - 1, 2.0))
    users, items = [], []
    for user in range(1, USERS):
        chance = popularity * np.where(np.arange(ITEMS - 1) % TASTES == user % TASTES, 1, 1 / 27)
        users.append(np.full(10, user))
        items.append(1 + rng.choice(ITEMS - 1, 10, replace=False, p=chance / chance.sum()))
    users, items = np.stack(users), np.stack(items)
    return (users[:, :8].ravel(), items[:, :8].ravel()), (users[:, 8:].ravel(), items[:, 8:].ravel())


TRAIN, TEST = planted()
HISTORIES = sparse.csr_array((np.ones(len(TRAIN[0]), "float32"), TRAIN), shape=(USERS, ITEMS))


def ndcg(score):
    table = catalogue_ranking(score, np.arange(1, USERS), *TEST, *TRAIN, ITEMS, k=5)
    return table["catalogue_ndcg_at_5"].mean()


POPULARITY = ndcg(lambda users: np.tile(HISTORIES.sum(axis=0), (len(users), 1)))


def by_history(model):
    return lambda users: model.predict_on_batch({"history": HISTORIES[users].toarray()})


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


# --- EASE


def test_ease_is_one_matrix_that_starts_at_zero():
    model = models.ease(6)
    assert model.count_params() == 6 * 6
    history, weights = np.eye(6, dtype="float32")[:3] * 0.5, np.arange(36, dtype="float32").reshape(6, 6)
    assert not outputs(model, {"history": history}).any()
    model.get_layer("scores").set_weights([weights])
    np.testing.assert_allclose(outputs(model, {"history": history}), history @ weights, rtol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_fitted_ease_ranks_better_than_popularity(dropout):
    model = training.fit_ease(models.ease(ITEMS), HISTORIES, l2=5.0, dropout=dropout)
    assert ndcg(by_history(model)) > POPULARITY + 0.1


def test_ease_refuses_histories_of_another_catalogue():
    with pytest.raises(DataError, match=r"expected \(n_users, 5\); received \(121, 41\)"):
        training.fit_ease(models.ease(5), HISTORIES, l2=1.0)


# --- all


@pytest.mark.parametrize(("build", "message"), [(lambda: models.ease(0), "n_items must be at least 1. Received")])
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
