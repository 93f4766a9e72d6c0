"""The one place that knows which Keras backend is running."""

from __future__ import annotations

import importlib.util
from typing import Any

import keras

from kmodels.errors import ConfigurationError


def name() -> str:
    """Names the running backend.

    Returns:
        "jax", "torch" or "tensorflow".

    Example:
        >>> name() in {"jax", "torch", "tensorflow"}
        True
    """
    return keras.backend.backend()


def steps_per_execution() -> int:
    """Says how many training steps one call into the backend should run.

    TensorFlow spends about as long on entering a compiled step as on a small network's arithmetic, so it takes
    several at once; torch must take one, and JAX gains nothing from more.

    Returns:
        Value for `model.compile(steps_per_execution=...)`.

    Example:
        >>> steps_per_execution() >= 1
        True
    """
    return 16 if name() == "tensorflow" else 1


def use_fast_randoms() -> None:
    """Lets JAX draw dropout masks by its older, faster way where the model runs on one device.

    JAX's default makes the same numbers however an array is spread over devices, which takes twice the work. A
    step of a small network on a CPU is a quarter shorter without.

    Example:
        >>> use_fast_randoms()
    """
    if name() == "jax" and keras.distribution.distribution() is None:
        import jax

        jax.config.update("jax_threefry_partitionable", False)


def seed_masks(seed: int) -> None:
    """Seeds what dropout draws from outside the model's own variables.

    On JAX and TensorFlow a layer's masks come from a state that is a variable of the model; on torch an unseeded
    layer draws from torch's global generator. (`keras.utils.set_random_seed` would import TensorFlow on every
    backend, for seconds and hundreds of MB.)

    Args:
        seed: 0 to 2**63 - 1.

    Example:
        >>> seed_masks(3)
    """
    if name() == "torch":
        import torch

        torch.manual_seed(seed)


def tensorflow() -> Any:
    """Imports TensorFlow for the engines that need it, whichever backend runs.

    Returns:
        The module.

    Raises:
        ConfigurationError: If TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ConfigurationError(
            "the tf.data engine needs TensorFlow: install it (pip install 'kmodels[tensorflow]') or use the default "
            "engine, which runs without"
        )
    import tensorflow

    return tensorflow
