"""Compiling and the learning rate."""

import keras
import pytest

from kmodels import training


@pytest.mark.parametrize("warm_up", [0.0, 0.1, 0.3])
def test_the_rate_is_that_of_keras_cosine_decay(warm_up):
    warm = int(100 * warm_up)
    keras_own = keras.optimizers.schedules.CosineDecay(
        0.0 if warm else 0.1, 100 - warm, warmup_target=0.1 if warm else None, warmup_steps=warm
    )
    rate = training.cosine(0.1, 100, warm_up=warm_up)
    for step in (0, 1, 5, 10, 29, 30, 50, 99, 100, 120):
        assert float(rate(step)) == pytest.approx(float(keras_own(step)), abs=1e-7)
