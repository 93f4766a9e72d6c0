"""A small search. Keras is imported in the fixtures: a conftest is read before the backend of the run is chosen."""

import numpy as np
import pytest


@pytest.fixture
def data():
    from kmodels.pipelines import Batches

    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 2)).astype("float32")
    return Batches({"x": x}, x[:, 0] * x[:, 1], batch_size=32)


@pytest.fixture
def compiled():
    import keras

    from kmodels import training

    def compiled(units, rate):
        x = keras.Input((2,), name="x")
        hidden = keras.layers.Dense(units, "relu", name="hidden")(x)
        dropped = keras.layers.Dropout(0.1, name="drop")(hidden)
        model = keras.Model({"x": x}, keras.layers.Dense(1, name="top")(dropped))
        training.compile_model(model, keras.optimizers.Adam(rate))
        return model

    return compiled


@pytest.fixture
def build(compiled):
    def build(hp):
        return compiled(hp.Int("units", 1, 16), hp.Float("rate", 1e-3, 1e-1, sampling="log"))

    return build
