"""Compiling for speed on the running backend, and in which precision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from kmodels import backend
from kmodels.errors import ConfigurationError
from kmodels.models.tabular import MEMBERS

_PRECISIONS = ("float32", "mixed_bfloat16")
_METRICS = {
    "rmse": partial(keras.metrics.RootMeanSquaredError, name="rmse"),
    "log_loss": partial(keras.metrics.SparseCategoricalCrossentropy, name="log_loss", from_logits=True),
}


def in_precision(model: keras.Model, policy: str) -> keras.Model:
    """The same model computing in another precision: the same weights, which stay float32, and float32 outputs.

    In "mixed_bfloat16" convolutions are quicker where the processor has instructions for it (AVX-512 BF16 or AMX).
    Back in "float32", a trained model predicts and is saved as any other.

    Args:
        model: An uncompiled or a trained Functional model.
        policy: "float32" or "mixed_bfloat16".

    Returns:
        A new, uncompiled model.

    Raises:
        ConfigurationError: If the policy is another.

    Source: Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.

    Example:
        >>> x = keras.Input((3,), name="x")
        >>> model = keras.Model(x, keras.layers.Dense(1)(keras.layers.Dense(4, name="hidden")(x)))
        >>> in_precision(model, "mixed_bfloat16").get_layer("hidden").compute_dtype
        'bfloat16'
    """
    if policy not in _PRECISIONS:
        raise ConfigurationError(f"the precision must be one of {', '.join(_PRECISIONS)}. Received: {policy!r}")
    # A copy of a compiled model would be compiled, too, and be saved with its optimiser where it is part of another.
    bare = keras.Model(model.input, model.output, name=model.name)

    def converted(layer: keras.layers.Layer) -> keras.layers.Layer:
        dtype = "float32" if layer.name in bare.output_names else policy
        return type(layer).from_config(layer.get_config() | {"dtype": dtype})

    result = keras.models.clone_model(bare, clone_function=converted)
    result.set_weights(model.get_weights())
    return result


def compile_model(model: keras.Model, optimizer: Any, *, loss: Any = "mse", metrics: Sequence[Any] = ("rmse",)) -> None:
    """Compiles a model for speed on the running backend; the arithmetic stays Keras's.

    Args:
        model: The model, changed in place.
        optimizer: A Keras optimiser.
        loss: A Keras loss; "log_loss": the cross-entropy of logits with classes, integers from 0; or "multinomial":
            that of logits with a weight for each class, -Σ weight · log softmax(logits). Default "mse".
        metrics: Keras metrics; "rmse" and "log_loss" are those without penalties. Default ("rmse",).

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> compile_model(model, keras.optimizers.Adam(1e-3))
    """
    chosen = [_METRICS[metric]() if isinstance(metric, str) and metric in _METRICS else metric for metric in metrics]
    if isinstance(loss, str) and loss == "log_loss":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if isinstance(loss, str) and loss == "multinomial":
        loss = _multinomial
    backend.allow_compilation(model)
    backend.keep_channels_last()
    backend.fuse_normalization(model)
    backend.fuse_dropout(model)
    backend.fuse_penalties(model)
    model.compile(optimizer=optimizer, loss=loss, metrics=chosen, steps_per_execution=backend.steps_per_execution())
    backend.fuse_adam(model.optimizer)
    backend.reorder_kernels(model)
    backend.trace_train_step(model)


def compile_by_member(model: keras.Model, optimizer: Any, *, loss: str = "mse") -> keras.Model:
    """Compiles a model of several members that share weights so that each member learns by itself.

    The loss is the mean of the members' own losses; that of their mean prediction would let them lean on each other.
    Metrics are those of their mean prediction. The model that is returned is for `fit`; it has the weights of the one
    given, which predicts and is saved. A model without members is compiled and returned as it is.

    Args:
        model: A model of `models.tabular_classifier` or `models.tabular_regressor`.
        optimizer: A Keras optimiser.
        loss: "mse", with the metric "rmse", or "log_loss", with that metric. Default "mse".

    Returns:
        The model to fit: targets (batch,) as the other one has them.

    Source: Gorishniy et al., "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", ICLR 2025.

    Example:
        >>> from kmodels import models
        >>> from kmodels.features import Numeric
        >>> model = models.tabular_regressor([Numeric("numbers", 3)], members=4)
        >>> compile_by_member(model, keras.optimizers.AdamW(1e-3)).output_shape
        (None, 4, 1)
    """
    metric = "rmse" if loss == "mse" else "log_loss"
    members = next((layer for layer in model.layers if layer.name == MEMBERS), None)
    if members is None:
        compile_model(model, optimizer, loss=loss, metrics=[metric])
        return model
    each = keras.Model(model.input, members.output, name=model.name)
    losses = {"mse": (_member_squares, _SquareRoot), "log_loss": (_member_log_loss, keras.metrics.MeanMetricWrapper)}
    own, wrapper = losses[loss]
    compile_model(each, optimizer, loss=own, metrics=[wrapper(partial(own, pooled=True), name=metric)])
    return each


def cosine(rate: float, steps: int, *, warm_up: float = 0.0) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that rises linearly over a share of the steps and falls to zero along a cosine.

    Args:
        rate: The highest rate.
        steps: Steps of the whole training.
        warm_up: Share of the steps over which it rises from zero. Default 0.

    Returns:
        A schedule for a Keras optimizer.

    Example:
        >>> schedule = cosine(0.1, 100, warm_up=0.1)
        >>> [round(float(schedule(step)), 3) for step in (0, 10, 55, 100)]
        [0.0, 0.1, 0.05, 0.0]
    """
    warm = int(steps * warm_up)
    if not warm:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return _WarmCosine(rate, warm, steps)


class _WarmCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly over `warm` steps and falls to zero along a cosine until `steps`."""

    # Keras's CosineDecay branches by `ops.cond`, which JAX compiles anew for every look at the rate outside a step.

    def __init__(self, rate: float, warm: int, steps: int) -> None:
        self.rate, self.warm, self.steps = rate, warm, steps

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        past = keras.ops.clip((step - self.warm) / max(1, self.steps - self.warm), 0.0, 1.0)
        return self.rate * keras.ops.minimum(step / self.warm, 0.5 * (1.0 + keras.ops.cos(np.pi * past)))

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "warm": self.warm, "steps": self.steps}


def _multinomial(target: Any, logits: Any) -> Any:
    """Cross-entropy of a softmax with weights that need not sum to 1: -Σ target · log softmax(logits), of each row."""
    # Keras's CategoricalCrossentropy has the same value, but on TensorFlow the gradient of weights that sum to 1.
    return -keras.ops.sum(keras.ops.cast(target, logits.dtype) * keras.ops.log_softmax(logits), axis=-1)


class _SquareRoot(keras.metrics.MeanMetricWrapper):
    """The root of the mean of a function of each row."""

    def result(self) -> Any:
        return keras.ops.sqrt(super().result())


def _member_squares(target: Any, predicted: Any, pooled: bool = False) -> Any:
    """Mean squared error of each row's members, (batch, members, 1), or with `pooled` that of their mean."""
    rows = keras.ops.reshape(predicted, (-1, predicted.shape[1]))  # Keras may have taken the last axis off
    if pooled:
        rows = keras.ops.mean(rows, axis=1, keepdims=True)
    return keras.ops.mean(keras.ops.square(rows - keras.ops.reshape(target, (-1, 1))), axis=-1)


def _member_log_loss(target: Any, logits: Any, pooled: bool = False) -> Any:
    """Mean cross-entropy of each row's members, (batch, members, classes), or with `pooled` that of their mean."""
    shares = keras.ops.log_softmax(logits, axis=-1)
    if pooled:
        shares = keras.ops.logsumexp(shares, axis=1, keepdims=True) - float(np.log(logits.shape[1]))
    of = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(target, (-1, 1)), "int32"), logits.shape[-1])
    return -keras.ops.mean(keras.ops.sum(shares * of, axis=-1), axis=-1)
