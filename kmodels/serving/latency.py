"""How long a fitted model takes to answer."""

from __future__ import annotations

import time
from collections.abc import Mapping

import keras
import numpy as np

from kmodels.errors import ConfigurationError


def latency_ms(model: keras.Model, inputs: Mapping[str, np.ndarray], *, repeats: int = 30) -> float:
    """Measures the time of one prediction in this process, as `model.predict_on_batch` gives it.

    Args:
        model: A model with named inputs.
        inputs: Input name -> array (1, ...) for one row, or (rows, ...) for the time of a batch.
        repeats: How many are timed, after three that are not, in which the backend compiles. Default 30.

    Returns:
        The median in milliseconds; on the machine, backend and load of now.

    Raises:
        ConfigurationError: If `repeats` is below 1.

    Example:
        >>> x = keras.Input((3,), name="x")
        >>> model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
        >>> latency_ms(model, {"x": np.zeros((1, 3), np.float32)}, repeats=5) > 0
        True
    """
    if repeats < 1:
        raise ConfigurationError(f"repeats must be at least 1. Received: repeats={repeats}")
    seconds = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        model.predict_on_batch(dict(inputs))
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[3:]))
