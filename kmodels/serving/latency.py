"""How long a fitted model takes to answer."""

from __future__ import annotations

import time
from collections.abc import Mapping

import keras
import numpy as np

from kmodels.errors import ConfigurationError


def latency_ms(model: keras.Model, inputs: Mapping[str, np.ndarray], *, repeats: int = 30) -> float:
    """The median time of a prediction, in milliseconds, without the first three, in which the backend compiles."""
    if repeats < 1:
        raise ConfigurationError(f"repeats must be at least 1. Received: repeats={repeats}")
    seconds = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        model.predict_on_batch(dict(inputs))
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[3:]))
