import keras
import numpy as np
import pytest

from kmodels import training


@pytest.fixture
def conv_net():
    """Makes a network of convolutions and normalisations for pictures of (9, 9, 3), always with the same weights."""

    def make():
        x = keras.Input((9, 9, 3), name="x")
        y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
        y = keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="bn")(y)
        y = keras.layers.MaxPooling2D(2, name="pool")(keras.layers.ReLU()(y))
        y = keras.layers.Conv2D(5, 3, strides=2, use_bias=False, name="second")(y)
        y = keras.layers.BatchNormalization(scale=False, center=False, name="bare")(y)
        model = keras.Model(x, keras.layers.Dense(1, name="top")(keras.layers.Flatten()(y)))
        training.initialize(model, seed=0)
        return model

    return make


@pytest.fixture
def some_pictures():
    """Makes pictures and their targets, as many as asked for."""

    def make(rows, seed=0):
        rng = np.random.default_rng(seed)
        return rng.normal(3, 2, (rows, 9, 9, 3)).astype("float32"), rng.normal(size=(rows, 1)).astype("float32")

    return make
