"""Dropout's masks from fewer random bits: on a CPU they take a good part of a small network's step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from kmodels.backend.running import name, tensorflow

_LEVELS = 2**16


def shorten_masks(model: keras.Model) -> None:
    """Has dropout decide on each element by 16 random bits, where Keras's backends draw a float32 number for it.

    The rate is rounded to a multiple of 2⁻¹⁶, and what stays is divided by the share that stays, so that the mean is
    kept. The bits come from where Keras has them: the layer's own seed on JAX and TensorFlow, torch's generator on
    torch. Layers with a `noise_shape`, and on torch those with a seed, keep Keras's way.

    Args:
        model: A built model, whose layers' `call` is replaced.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)])
        >>> shorten_masks(model)
        >>> sorted({float(x) for x in keras.ops.ravel(model(keras.ops.ones((40, 3)), training=True))})
        [0.0, 2.0]
    """
    for layer in model._flatten_layers(include_self=False):
        if type(layer) is keras.layers.Dropout and layer.noise_shape is None:
            seeded_on_torch = name() == "torch" and layer.seed is not None
            if 0 < round(layer.rate * _LEVELS) < _LEVELS and not seeded_on_torch:
                layer.call = _dropout(layer)


def _dropout(layer: Any) -> Callable[..., Any]:
    dropped = round(layer.rate * _LEVELS)

    def call(inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        stays = _BITS[name()](layer, inputs) >= dropped - _LEVELS // 2
        return inputs * (keras.ops.cast(stays, inputs.dtype) * (_LEVELS / (_LEVELS - dropped)))

    return call


def _on_jax(layer: Any, x: Any) -> Any:
    import jax

    bits = jax.random.bits(layer.seed_generator.next(), x.shape, dtype="uint16")
    return jax.lax.bitcast_convert_type(bits, "int16")


def _on_torch(layer: Any, x: Any) -> Any:
    import torch

    # All numbers of 64 bits but the largest.
    words = torch.randint(-(2**63), 2**63 - 1, (math.ceil(x.numel() / 4),), device=x.device)
    return words.view(torch.int16)[: x.numel()].view(x.shape)


def _on_tensorflow(layer: Any, x: Any) -> Any:
    tf = tensorflow()
    seed = layer.seed_generator.next()
    seed = tf.cast(tf.math.floormod(seed, tf.constant(2**31 - 1, seed.dtype)), "int32")  # XLA takes no int64 seed
    size = tf.size(x)
    words = tf.random.stateless_uniform([(size + 1) // 2], seed, minval=None, maxval=None, dtype="int32")
    return tf.reshape(tf.reshape(tf.bitcast(words, "int16"), [-1])[:size], tf.shape(x))


_BITS = {"jax": _on_jax, "torch": _on_torch, "tensorflow": _on_tensorflow}
