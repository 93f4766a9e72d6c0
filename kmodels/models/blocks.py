"""Tensor-to-tensor pieces that every family of models shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers, ops, regularizers

from kmodels import backend
from kmodels.errors import ConfigurationError
from kmodels.features import Bag, Categorical, Feature, History, MultiHot, Numeric, check_distinct

# A Keras tensor: symbolic while a builder runs.
Tensor = Any


def check_sizes(**sizes: int | Sequence[int]) -> None:
    """Refuses sizes below 1."""
    for what, value in sizes.items():
        if min([value] if isinstance(value, int) else value, default=1) < 1:
            raise ConfigurationError(f"{what} must be at least 1. Received: {what}={value}")


def check_rates(**rates: float) -> None:
    """Refuses rates of dropout outside [0, 1)."""
    for what, rate in rates.items():
        if not 0 <= rate < 1:
            raise ConfigurationError(f"{what} must be at least 0 and below 1. Received: {what}={rate}")


@contextmanager
def channels_last() -> Iterator[None]:
    """Layers made inside take pictures of (height, width, channels), whatever the user's `keras.json` says."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def inputs(features: Sequence[Feature]) -> dict[str, Tensor]:
    """Makes the Keras inputs of features."""
    specs: list[tuple[str, tuple[int, ...], str]] = []
    for feature in features:
        match feature:
            case Numeric(name, size) | MultiHot(name, size):
                specs.append((name, (size,), "float32"))
            case Categorical(name):
                specs.append((name, (), "int32"))
            case Bag(name, _, length):
                specs.append((name, (length,), "int32"))
                specs.append((feature.weights_name, (length,), "float32"))
            case History():
                specs += [(name, *spec) for name, spec in feature.inputs.items()]
    check_distinct(name for name, _, _ in specs)
    return {name: keras.Input(shape, dtype=dtype, name=name) for name, shape, dtype in specs}


def table(
    size: int, dim: int, *, name: str, stddev: float = 0.05, l2: float = 0.0, max_norm: float | None = None
) -> keras.layers.Embedding:
    """A trainable table that ids are looked up in, with gradients that are right on every backend."""
    # The regulariser stands there even at 0: without one, Keras on TensorFlow makes the table's gradient sparse and
    # its adaptive optimisers then square the rows of a repeated id before summing them, which trains wrongly.
    return layers.Embedding(
        size,
        dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev),
        embeddings_regularizer=regularizers.L2(l2),
        embeddings_constraint=None if max_norm is None else keras.constraints.MaxNorm(max_norm, axis=-1),
        name=name,
    )


def embedding(ids: Tensor, size: int, dim: int, **options: Any) -> Tensor:
    """Looks ids up in a `table` of their own."""
    return table(size, dim, **options)(ids)


def dense(
    x: Tensor, units: int, *, name: str, initializer: Any = "glorot_uniform", l2: float = 0.0, **kwargs: Any
) -> Tensor:
    """A Dense layer whose kernel bears the penalty l2 · Σ w² (none at 0)."""
    if isinstance(initializer, keras.initializers.Initializer):
        initializer = initializer.clone()  # one object gives equal weights to all layers of equal shape that share it
    return layers.Dense(
        units,
        kernel_initializer=initializer,
        kernel_regularizer=regularizers.L2(l2) if l2 else None,
        name=name,
        **kwargs,
    )(x)


def batch_norm(x: Tensor, *, name: str) -> Tensor:
    """Batch normalisation with torch's epsilon, not Keras's 1e-3: the published networks were trained with it."""
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=name)(x)


def conv_bn(
    x: Tensor, filters: int, size: int, names: tuple[str, str], *, initializer: Any = "he_normal", **kwargs: Any
) -> Tensor:
    """A convolution and batch normalisation, which has the bias."""
    x = layers.Conv2D(filters, size, use_bias=False, kernel_initializer=initializer, name=names[0], **kwargs)(x)
    return batch_norm(x, name=names[1])


def mlp(
    x: Tensor,
    hidden: Sequence[int],
    *,
    activation: str = "relu",
    normalize: bool = False,
    dropout: float = 0.0,
    initializer: Any = "glorot_uniform",
    l2: float = 0.0,
    name: str = "mlp",
) -> Tensor:
    """A stack of Dense → (batch normalisation) → activation → dropout."""
    for i, units in enumerate(hidden, start=1):
        x = dense(x, units, initializer=initializer, l2=l2, name=f"{name}_{i}")
        if normalize:
            x = batch_norm(x, name=f"{name}_{i}_bn")
        x = layers.Activation(activation, name=f"{name}_{i}_{activation}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_{i}_dropout")(x)
    return x


def project(
    features: Sequence[Feature],
    tensors: dict[str, Tensor],
    dim: int,
    *,
    name: str,
    initializer: Any = "glorot_uniform",
    stddev: float = 0.05,
    l2: float = 0.0,
) -> Tensor:
    """Maps features linearly into one space and sums them there, with one bias."""
    numeric = [tensors[f.name] for f in features if isinstance(f, Numeric)]
    kernels = [("numeric", concatenate(numeric, name=f"{name}_inputs"))] if numeric else []
    kernels += [(f.name, tensors[f.name]) for f in features if isinstance(f, MultiHot)]
    parts = [
        dense(x, dim, initializer=initializer, l2=l2, use_bias=i == 0, name=f"{name}_{what}")
        for i, (what, x) in enumerate(kernels)
    ]
    for feature in features:
        match feature:
            case Categorical(what, size):
                parts.append(embedding(tensors[what], size, dim, stddev=stddev, l2=l2, name=f"{name}_{what}"))
            case Bag(what, size):
                rows = embedding(tensors[what], size, dim, stddev=stddev, l2=l2, name=f"{name}_{what}")
                weights = tensors[feature.weights_name]
                parts.append(layers.Dot(axes=(1, 1), name=f"{name}_{what}_sum")([weights, rows]))
            case History(what):
                parts.append(history(feature, tensors, dim, stddev=stddev, l2=l2, name=f"{name}_{what}"))
    return add(parts, name=f"{name}_sum")


def history(
    feature: History, tensors: dict[str, Tensor], dim: int, *, name: str, stddev: float = 0.05, l2: float = 0.0
) -> Tensor:
    """Adds up each owner's members once, and gives each row of the batch its owner's sum without one member."""
    members, values, owner, of, without, weights = (tensors[each] for each in feature.inputs)
    # A row has both vectors of a member: the one that its value multiplies, and the one that stands for its presence.
    both = table(feature.size, 2 * dim, stddev=stddev, l2=l2, name=name)
    present = ops.cast(ops.not_equal(members, 0), "float32")
    rows = layers.Reshape((feature.length, 2, dim))(both(members))
    lines = ops.einsum("nmk,nmkd->nd", ops.stack([values, present], axis=-1), rows)
    sums = ops.take(ops.segment_sum(lines, owner, num_segments=feature.owners), of, axis=0)
    terms = ops.concatenate([ops.expand_dims(sums, 1), layers.Reshape((2, dim))(both(without))], axis=1)
    return layers.Dot(axes=(1, 1), name=f"{name}_sum")([weights, terms])


def concatenate(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Joins tensors along the last axis; a single one stays as it is."""
    return tensors[0] if len(tensors) == 1 else layers.Concatenate(name=name)(list(tensors))


def add(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Sums tensors of one shape; a single one stays as it is."""
    return tensors[0] if len(tensors) == 1 else layers.Add(name=name)(list(tensors))


def sources(tensor: Tensor) -> set[str]:
    """Names of the model's inputs that a tensor depends on."""
    node = backend.node_of(tensor)
    if node.is_input:
        return {tensor.name}
    return set().union(*(sources(parent) for parent in node.input_tensors))
