"""Trained by Keras's own code, a model ends as one trained with the private APIs of `backend`, but for rounding."""

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.pipelines import Batches
from tests.reference import adam
from tests.training.interrupting import InterruptAt

EPOCHS = 3
rng = np.random.default_rng(0)
IDS = {name: rng.integers(0, size, 256).astype("int32") for name, size in (("user_id", 6), ("item_id", 7))}
TARGET = (IDS["user_id"] * 0.1 + IDS["item_id"] * 0.05 + rng.normal(0, 0.3, 256)).astype("float32")
# What kmodels sets on the objects of a training; all of it by private APIs, or in the place of Keras's own.
REPLACED = {"make_train_function", "make_test_function", "train_step", "_parallel_update_step", "update_step", "call"}


@pytest.fixture
def switch(monkeypatch):
    def turn(stock):
        monkeypatch.setenv("KMODELS_STOCK", "1" if stock else "0")

    return turn


def run(folder, *extra, **options):
    """Three epochs of 64 batches of 4, in which ids repeat."""
    model = models.neumf(6, 7, dim=3, hidden=(8,), product=True, batch_norm=True, l2=1e-3)
    training.initialize(model, 5)
    training.compile_model(model, keras.optimizers.AdamW(0.01, epsilon=1e-3))
    train = Batches(IDS, TARGET, batch_size=4, shuffle=True, seed=5)
    validation = Batches(IDS, TARGET[::-1], batch_size=64)
    callbacks = [training.best_weights(), *extra]
    history = training.fit(model, train, validation, epochs=EPOCHS, folder=folder, callbacks=callbacks, **options)
    replaced = REPLACED & {name for each in (model, model.optimizer, *model.layers) for name in vars(each)}
    return history.drop(columns="seconds"), training.predict(model, validation), replaced


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def assert_close(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-4)


def test_stock_keras_trains_alike(unbroken, switch, tmp_path):
    switch(stock=True)
    found = run(tmp_path)
    assert unbroken[2]
    assert not found[2]
    assert_close(found, unbroken)


@pytest.mark.parametrize("stock", [False, True])
def test_a_run_begun_in_one_way_goes_on_in_the_other_inside_an_epoch(stock, unbroken, switch, tmp_path):
    switch(stock)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, InterruptAt(1, 32), save_every=16)
    switch(not stock)
    found = run(tmp_path, resume=True, save_every=16)
    assert len(found[0]) == EPOCHS
    assert_close(found, unbroken)


@pytest.mark.parametrize("stock", [False, True])
def test_ids_that_repeat_in_a_batch_are_summed_before_they_are_squared(stock, switch):
    """Three steps of Adam on a table, against NumPy: the trap of TensorFlow's sparse gradients."""
    switch(stock)
    ids = keras.Input((1,), dtype="int32", name="ids")
    model = keras.Model({"ids": ids}, keras.layers.Flatten()(models.blocks.embedding(ids, 4, 1, name="table")))
    training.initialize(model, 0)
    training.compile_model(model, keras.optimizers.Adam(0.1))
    weights, state = {"table": model.get_weights()[0]}, None
    rows, target = np.array([[1], [2], [1], [1]], "int32"), np.array([[1], [2], [3], [-1]], "float32")
    for _ in range(3):
        model.train_on_batch({"ids": rows}, target)
        gradient = np.zeros((4, 1))
        np.add.at(gradient, rows[:, 0], 2 / 4 * (weights["table"][rows[:, 0]] - target))
        weights, state = adam.step(weights, {"table": gradient}, state, learning_rate=0.1)
    np.testing.assert_allclose(model.get_weights()[0], weights["table"], rtol=0, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="nothing of a picture is other than Keras's there")
def test_pictures_train_alike(switch):
    rng = np.random.default_rng(0)
    pictures, target = rng.normal(size=(2, 8, 9, 9, 3)).astype("float32"), rng.integers(0, 2, (2, 8)).astype("int32")
    found = []
    for stock in (False, True):
        switch(stock)
        x = keras.Input((9, 9, 3), name="x")
        y = models.blocks.conv_bn(x, 4, 3, ("conv", "bn"), padding="same")
        y = keras.layers.MaxPooling2D(2)(keras.layers.ReLU()(y))
        y = models.blocks.conv_bn(y, 5, 3, ("second", "bare"))
        model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Flatten()(y)))
        training.initialize(model, 0)
        training.compile_model(model, keras.optimizers.Adam(0.01, epsilon=1e-3), loss="log_loss", metrics=["log_loss"])
        logs = [model.train_on_batch(*batch) for batch in zip(pictures, target, strict=True)]
        found.append((np.array(logs), model.predict_on_batch(pictures[0])))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-4)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=0, atol=1e-4)
