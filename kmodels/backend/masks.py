"""Dropout's masks from fewer random bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from kmodels.backend.running import name

_LEVELS = 2**16


def shorten_masks(model: keras.Model) -> None:
    """On torch and TensorFlow, has dropout decide on each element by 16 random bits, cheaper to draw than a number.

    The rate is rounded to a multiple of 2⁻¹⁶, and what stays is divided by the share that stays, so that the mean is
    kept. The bits come from torch's generator and from the layer's own seed on TensorFlow, as in Keras. Layers with a
    seed or a `noise_shape` keep Keras's way. Does nothing on JAX (`unroll_masks` is what helps there).

    Args:
        model: A built model, whose layers' `call` is replaced.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)])
        >>> shorten_masks(model)
        >>> sorted({float(x) for x in keras.ops.ravel(model(keras.ops.ones((40, 3)), training=True))})
        [0.0, 2.0]
    """
    draw = {"torch": _draw_on_torch, "tensorflow": _draw_on_tensorflow}.get(name())
    if draw is None:
        return
    for layer in model._flatten_layers(include_self=False):
        plain = type(layer) is keras.layers.Dropout and layer.noise_shape is None and layer.seed is None
        if plain and 0 < round(layer.rate * _LEVELS) < _LEVELS:
            layer.call = _short(layer, draw)


def _short(layer: Any, draw: Callable[..., Any]) -> Callable[..., Any]:
    dropped = round(layer.rate * _LEVELS)
    scale = _LEVELS / (_LEVELS - dropped)

    def call(inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        stays = draw(inputs, layer) >= dropped - _LEVELS // 2
        return inputs * (keras.ops.cast(stays, inputs.dtype) * scale)

    return call


def _draw_on_torch(inputs: Any, layer: Any) -> Any:
    import torch

    # Four masks' elements in each number; all numbers of 64 bits but the largest.
    words = torch.randint(-(2**63), 2**63 - 1, (math.ceil(inputs.numel() / 4),), device=inputs.device)
    return words.view(torch.int16)[: inputs.numel()].view(inputs.shape)


def _draw_on_tensorflow(inputs: Any, layer: Any) -> Any:
    import tensorflow as tf

    seed = tf.cast(layer.seed_generator.next() % tf.int32.max, "int32")
    count = tf.size(inputs)
    words = tf.random.stateless_uniform([(count + 1) // 2], seed, minval=None, maxval=None, dtype=tf.int32)
    return tf.reshape(tf.reshape(tf.bitcast(words, tf.int16), [-1])[:count], tf.shape(inputs))
