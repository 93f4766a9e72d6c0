"""Dropout's masks at less work than Keras's, on each backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kmodels.backend.graph import flat_layers
from kmodels.backend.internals import is_usable
from kmodels.backend.running import name

_LEVELS = 2**16


def fuse_dropout(model: keras.Model) -> None:
    """Has dropout decide on each element by 16 random bits, cheaper to draw than a number."""
    # The rate is rounded to a multiple of 2⁻¹⁶, and the scale follows it, so that the mean is kept. On JAX the bits are
    # 13 rounds of Threefry in one pass over memory, where JAX takes 20: no statistical flaw is known from 13 rounds on
    # (Salmon et al., SC 2011; Random123, `threefry.h`). Layers with a seed or a `noise_shape` keep Keras's way.
    draw = {"jax": _draw_on_jax, "torch": _draw_on_torch, "tensorflow": _draw_on_tensorflow}[name()]
    for layer in flat_layers(model):
        plain = type(layer) is keras.layers.Dropout and layer.noise_shape is None and layer.seed is None
        if plain and 0 < round(layer.rate * _LEVELS) < _LEVELS and is_usable("cheaper dropout"):
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


def _draw_on_jax(inputs: Any, layer: Any) -> Any:
    import jax

    # Joined before they are cut in halves: XLA then computes the words once, for the forward and the backward pass.
    count = jax.lax.iota(np.uint32, math.ceil(inputs.size / 4))
    words = jax.lax.concatenate(_threefry(layer.seed_generator.next(), count, count + np.uint32(count.size)), 0)
    return jax.lax.bitcast_convert_type(words, np.int16).reshape(-1)[: inputs.size].reshape(inputs.shape)


def _threefry(key: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Threefry-2x32 of 13 rounds: two words of 32 bits, encrypted by a key of two."""
    keys = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    x, y = x + keys[0], y + keys[1]
    for i in range(13):
        rotation = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        x = x + y
        y = (y << rotation | y >> (32 - rotation)) ^ x
        if i % 4 == 3:
            group = i // 4 + 1
            x, y = x + keys[group % 3], y + keys[(group + 1) % 3] + np.uint32(group)
    return x, y


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
