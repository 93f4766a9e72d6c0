import keras
import numpy as np
import pytest

from kmodels import training
from kmodels.pipelines import Batches


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 2)).astype("float32")
    return Batches({"x": x}, x[:, 0] * x[:, 1], batch_size=32)


@pytest.fixture
def compiled():
    def compiled(units, rate):
        x = keras.Input((2,), name="x")
        hidden = keras.layers.Dense(units, "relu", name="hidden")(x)
        model = keras.Model({"x": x}, keras.layers.Dense(1, name="top")(hidden))
        training.compile_model(model, keras.optimizers.Adam(rate))
        return model

    return compiled


@pytest.fixture
def build(compiled):
    def build(hp):
        return compiled(hp.Int("units", 1, 16), hp.Float("rate", 1e-3, 1e-1, sampling="log"))

    return build
