import keras
import numpy as np
import pytest

from kmodels import serving
from kmodels.errors import ConfigurationError


class Clock:
    """Time that passes only where a prediction is made."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def timed(monkeypatch):
    """A model, what it was asked, and how long each of its predictions takes: the first one half a minute."""
    x = keras.Input((2,), name="x")
    model, clock, asked = keras.Model({"x": x}, keras.layers.Dense(1)(x)), Clock(), []
    monkeypatch.setattr(serving.latency, "time", clock)

    def predict(inputs):
        asked.append(inputs["x"].shape)
        clock.now += 30 if len(asked) == 1 else 0.002 if len(asked) % 2 else 0.004

    monkeypatch.setattr(model, "predict_on_batch", predict)
    return model, asked


def test_the_median_leaves_out_the_compiling(timed):
    model, asked = timed
    assert serving.latency_ms(model, {"x": np.zeros((1, 2))}, repeats=5) == pytest.approx(4)
    assert asked == [(1, 2)] * 8


def test_a_wrong_number_is_refused(timed):
    with pytest.raises(ConfigurationError, match="repeats must be at least 1"):
        serving.latency_ms(timed[0], {"x": np.zeros((1, 2))}, repeats=0)
