"""Models that rank a catalogue: sizes and arithmetic by NumPy, and a planted taste that popularity does not know."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from scipy import sparse

from kmodels import models, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation.ranking import catalogue_ranking
from kmodels.pipelines import Batches

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


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


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


# --- autoencoder


@pytest.mark.parametrize("hidden", [(), (3,), (4, 2)])
def test_an_autoencoder_is_dense_layers_on_the_normalised_history(hidden):
    model = training.initialize(models.item_autoencoder(6, hidden=hidden), seed=1)
    widths = [6, *hidden, 6]
    assert parameters(model) == sum(a * b + b for a, b in pairwise(widths))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:  # biases start at zeros
        weight.assign(rng.normal(size=weight.shape))
    history = np.vstack([rng.random((3, 6)) * (rng.random((3, 6)) < 0.5), np.zeros(6)]).astype("float32")
    x = history / np.maximum(np.linalg.norm(history, axis=1, keepdims=True), 1e-12)
    *inner, last = [layer.get_weights() for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for kernel, bias in inner:
        x = np.tanh(x @ kernel + bias)
    np.testing.assert_allclose(outputs(model, {"history": history}), x @ last[0] + last[1], rtol=1e-5, atol=1e-6)


def test_a_trained_autoencoder_ranks_better_than_popularity(tmp_path):
    model = training.initialize(models.item_autoencoder(ITEMS, hidden=(16,)))
    batches = Batches({"history": HISTORIES[1:]}, HISTORIES[1:], batch_size=30, shuffle=True)
    training.compile_model(model, keras.optimizers.Adam(0.02), loss="multinomial", metrics=())
    log = training.fit(model, batches, None, epochs=40, folder=tmp_path, progress=False)
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]
    assert ndcg(by_history(model)) > POPULARITY + 0.1


# --- all


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.ease(0), "n_items must be at least 1. Received"),
        (lambda: models.item_autoencoder(5, hidden=(4, 0)), "hidden must be at least 1"),
        (lambda: models.item_autoencoder(5, dropout=1.0), "dropout must be at least 0 and below 1"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
