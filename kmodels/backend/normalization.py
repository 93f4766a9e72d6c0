"""Batch normalisation by the running backend's own kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kmodels.backend.graph import flat_layers
from kmodels.backend.internals import is_usable
from kmodels.backend.running import name


def fuse_normalization(model: keras.Model) -> None:
    """On torch and TensorFlow, normalises batches by the backend's own kernel, in fewer passes than Keras's steps."""
    # The same arithmetic, with the biased variance in the moving one, as Keras has it. TensorFlow's kernel is quicker
    # for pictures in float32 in training alone; JAX's compiler joins the steps.
    fused = {"torch": _fused_on_torch, "tensorflow": _fused_on_tensorflow}.get(name())
    if fused is None:
        return
    for layer in flat_layers(model):
        usual = type(layer) is keras.layers.BatchNormalization and layer.axis == -1
        if usual and not layer.renorm and not layer.synchronized and is_usable("one-pass normalization"):
            layer.call = fused(layer)


def _fused_on_torch(layer: Any) -> Callable[..., Any]:
    import torch

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None:
            return type(layer).call(layer, inputs, training=training, mask=mask)
        mean, variance = (keras.ops.cast(moving, "float32") for moving in (layer.moving_mean, layer.moving_variance))
        scale, offset = (None if weight is None else keras.ops.cast(weight, "float32") for weight in _affine(layer))
        x = inputs.movedim(-1, 1)
        if not (training and layer.trainable):
            x = torch.nn.functional.batch_norm(x, mean, variance, scale, offset, False, 0.0, layer.epsilon)
        else:
            x, batch_mean, inverse = torch.native_batch_norm(x, scale, offset, None, None, True, 0.0, layer.epsilon)
            _move(layer, batch_mean.detach(), inverse.detach().pow(-2) - layer.epsilon)
        return keras.ops.cast(x.movedim(1, -1), layer.compute_dtype)

    return call


def _fused_on_tensorflow(layer: Any) -> Callable[..., Any]:
    import tensorflow as tf

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        plain = mask is None and inputs.dtype == tf.float32 and inputs.shape.rank == 4
        if not (training and layer.trainable and plain):
            return type(layer).call(layer, inputs, training=training, mask=mask)
        channels = inputs.shape[-1:]
        scale, offset = _affine(layer)
        x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.ones(channels) if scale is None else scale.value,
            offset=tf.zeros(channels) if offset is None else offset.value,
            mean=[],
            variance=[],
            epsilon=layer.epsilon,
            exponential_avg_factor=1.0,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs), "float32") / channels[0]
        _move(layer, mean, variance * (1 - 1 / count))  # of the batch, the kernel gives the unbiased variance
        return x

    return call


def _affine(layer: Any) -> tuple[Any, Any]:
    return layer.gamma if layer.scale else None, layer.beta if layer.center else None


def _move(layer: Any, mean: Any, variance: Any) -> None:
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(keras.ops.cast(moving, "float32") * layer.momentum + new * (1.0 - layer.momentum))
