"""Initial weights from NumPy, the same on every backend."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable
from typing import Any

import keras
import numpy as np

from kmodels import backend
from kmodels.errors import ConfigurationError


class CompiledModels:
    """Compiled models by key, each made once: training one again takes less time than compiling it again.

    Example:
        >>> def build():
        ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        ...     model.compile("adam", "mse")
        ...     return model
        >>> models = CompiledModels()
        >>> models.get("small", build) is models.get("small", build)
        True
    """

    def __init__(self) -> None:
        self._models: dict[Hashable, tuple[keras.Model, list[np.ndarray]]] = {}

    def get(self, key: Hashable, build: Callable[[], keras.Model]) -> keras.Model:
        """Gives the model of a key with its optimizer as it was at first; `initialize` does the same for weights."""
        if key not in self._models:
            model = build()
            model.optimizer.build(model.trainable_variables)
            self._models[key] = model, [keras.ops.convert_to_numpy(each) for each in model.optimizer.variables]
        model, first = self._models[key]
        for variable, value in zip(model.optimizer.variables, first, strict=True):
            variable.assign(value)
        return model


def initialize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Sets a model's weights from NumPy draws, bit-identical on every backend.

    Each weight is drawn from its own layer's initialiser (normal, uniform, Glorot, He and LeCun, zeros, ones,
    constant) with a generator keyed by (seed, the weight's path); the random state of dropout likewise.

    Args:
        model: A built model.
        seed: Seed of the draws, 0 or more. Default 0.

    Returns:
        The model itself, with its new weights.

    Raises:
        ConfigurationError: If a layer has an initialiser that is not among these.

    Example:
        >>> model = initialize(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")]), seed=0)
        >>> model.get_weights()[0].shape
        (3, 2)
    """
    layers = backend.flat_layers(model)
    parts = {id(part) for each in layers if not isinstance(each, keras.Model) for part in backend.flat_layers(each)}
    for layer in layers:
        for variable in layer.variables:
            # The parts of a layer, such as the projections of an attention, have the same names in each such layer.
            names = variable.path.split("/")[-3:] if id(layer) in parts else (layer.name, variable.name)
            rng = np.random.default_rng((seed, zlib.crc32("/".join(names).encode())))
            initializer = getattr(layer, f"{variable.name}_initializer", None)
            if variable.name == "seed_generator_state" and id(layer) not in parts:  # else drawn for the whole layer
                variable.assign(rng.integers(2**31, size=variable.shape).astype(variable.dtype))
            elif initializer is not None:
                variable.assign(_draw(initializer, tuple(variable.shape), rng).astype(variable.dtype))
    return model


def _draw(initializer: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    init = keras.initializers
    match initializer:
        case init.Zeros():
            return np.zeros(shape)
        case init.Ones():
            return np.ones(shape)
        case init.Constant():
            return np.full(shape, initializer.value)
        case init.RandomNormal():
            return rng.normal(initializer.mean, initializer.stddev, shape)
        case init.RandomUniform():
            return rng.uniform(initializer.minval, initializer.maxval, shape)
        case init.VarianceScaling():
            receptive = int(np.prod(shape[:-2]))
            fan_in, fan_out = shape[-2] * receptive, shape[-1] * receptive
            fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[initializer.mode]
            variance = initializer.scale / max(1.0, fan)
            if initializer.distribution == "uniform":
                return rng.uniform(-np.sqrt(3 * variance), np.sqrt(3 * variance), shape)
            if initializer.distribution == "untruncated_normal":
                return rng.normal(0, np.sqrt(variance), shape)
            # Two standard deviations of a normal, redrawn outside; .8796 is what truncation leaves of its deviation.
            draws = rng.normal(size=shape)
            while (outside := np.abs(draws) > 2).any():
                draws[outside] = rng.normal(size=int(outside.sum()))
            return draws * np.sqrt(variance) / 0.87962566103423978
    raise ConfigurationError(
        f"initialize() draws normal, uniform, variance-scaling and constant initialisers. Received: {initializer!r}"
    )
