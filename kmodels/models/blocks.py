"""Tensor-to-tensor pieces that every family of models shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, regularizers

from kmodels.features import Bag, Categorical, Feature, MultiHot, Numeric, check_distinct

# A Keras tensor: symbolic while a builder runs.
Tensor = Any


def inputs(features: Sequence[Feature]) -> dict[str, Tensor]:
    """Makes the Keras inputs of features.

    Args:
        features: Any mix of features with distinct names.

    Returns:
        Name of the input -> symbolic tensor: float32 (batch, size) for Numeric and MultiHot, int32 (batch,) for
        Categorical, int32 and float32 (batch, length) for the two inputs of a Bag.

    Raises:
        ConfigurationError: If two inputs have the same name.

    Example:
        >>> sorted(inputs([Numeric("age"), Bag("history", size=9, length=4)]))
        ['age', 'history', 'history_weights']
    """
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
    check_distinct(name for name, _, _ in specs)
    return {name: keras.Input(shape, dtype=dtype, name=name) for name, shape, dtype in specs}


def embedding(
    ids: Tensor,
    size: int,
    dim: int,
    *,
    name: str,
    stddev: float = 0.05,
    l2: float = 0.0,
    max_norm: float | None = None,
) -> Tensor:
    """Looks ids up in a trainable table, with gradients that are right on every backend.

    Args:
        ids: int32 (batch, ...), each from 0 to size - 1. Out of range, torch and TensorFlow raise and JAX gives NaN.
        size: Rows of the table.
        dim: Columns of the table.
        name: Name of the layer.
        stddev: Standard deviation of the normal initial values. Default 0.05.
        l2: Factor of the penalty l2 · Σ w² over the whole table. Default 0.
        max_norm: Largest length of a row, enforced after each step; None for no limit. Default None.

    Returns:
        float32 (batch, ..., dim).

    Example:
        >>> embedding(keras.Input((), dtype="int32"), 10, 4, name="user_embedding").shape
        (None, 4)
    """
    # The regulariser stands there even at 0: without one, Keras on TensorFlow makes the table's gradient sparse and
    # its adaptive optimisers then square the rows of a repeated id before summing them, which trains wrongly.
    return layers.Embedding(
        size,
        dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev),
        embeddings_regularizer=regularizers.L2(l2),
        embeddings_constraint=None if max_norm is None else keras.constraints.MaxNorm(max_norm, axis=-1),
        name=name,
    )(ids)


def dense(
    x: Tensor, units: int, *, name: str, initializer: Any = "glorot_uniform", l2: float = 0.0, **kwargs: Any
) -> Tensor:
    """A Dense layer whose kernel bears the penalty l2 · Σ w² (none at 0).

    Args:
        x: float32 (batch, n).
        units: Width of the result.
        name: Name of the layer.
        initializer: Keras initialiser of the kernel. Default "glorot_uniform".
        l2: Factor of the penalty. Default 0.
        **kwargs: Further arguments of `keras.layers.Dense`.

    Returns:
        float32 (batch, units).

    Example:
        >>> dense(keras.Input((3,)), 8, name="side").shape
        (None, 8)
    """
    return layers.Dense(
        units,
        kernel_initializer=_fresh(initializer),
        kernel_regularizer=regularizers.L2(l2) if l2 else None,
        name=name,
        **kwargs,
    )(x)


def _fresh(initializer: Any) -> Any:
    """A copy of an initialiser: one object gives equal weights to all layers of equal shape that share it."""
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def mlp(
    x: Tensor,
    hidden: Sequence[int],
    *,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    initializer: Any = "glorot_uniform",
    l2: float = 0.0,
    name: str = "mlp",
) -> Tensor:
    """A stack of Dense → (batch normalisation) → activation → dropout.

    Args:
        x: float32 (batch, n).
        hidden: Width of each layer; empty returns x itself.
        activation: Name of a Keras activation. Default "relu".
        batch_norm: Whether to normalise before the activation. Default False.
        dropout: Rate of the dropout after each activation, 0 to 1. Default 0.
        initializer: Keras initialiser of the kernels. Default "glorot_uniform".
        l2: Factor of the penalty on each kernel. Default 0.
        name: Prefix of the layers' names. Default "mlp".

    Returns:
        float32 (batch, hidden[-1]).

    Example:
        >>> mlp(keras.Input((3,)), (16, 8), batch_norm=True, dropout=0.3).shape
        (None, 8)
    """
    for i, units in enumerate(hidden, start=1):
        x = dense(x, units, initializer=initializer, l2=l2, name=f"{name}_{i}")
        if batch_norm:
            # torch's epsilon, not Keras's 1e-3: the published networks were trained with it.
            x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_{i}_bn")(x)
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
    """Maps features linearly into one space and sums them there, with one bias.

    All numeric features go through one kernel, each multi-hot feature through one of its own; a categorical feature
    adds the row of an embedding table, a bag the weighted sum of such rows.

    Args:
        features: At least one feature.
        tensors: Name of the input -> tensor, as `inputs` gives them.
        dim: Width of the space.
        name: Prefix of the layers' names.
        initializer: Keras initialiser of the kernels. Default "glorot_uniform".
        stddev: Standard deviation of the normal initial values of the tables. Default 0.05.
        l2: Factor of the penalty on each kernel and table. Default 0.

    Returns:
        float32 (batch, dim).

    Example:
        >>> features = [Numeric("age"), Categorical("occupation", size=22)]
        >>> project(features, inputs(features), 8, name="user_side").shape
        (None, 8)
    """
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
    return add(parts, name=f"{name}_sum")


def concatenate(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Joins tensors along the last axis; a single one stays as it is.

    Args:
        tensors: At least one tensor of shape (batch, n).
        name: Name of the layer.

    Returns:
        (batch, sum of the n).

    Example:
        >>> concatenate([keras.Input((3,)), keras.Input((2,))], name="all").shape
        (None, 5)
    """
    return tensors[0] if len(tensors) == 1 else layers.Concatenate(name=name)(list(tensors))


def add(tensors: Sequence[Tensor], *, name: str) -> Tensor:
    """Sums tensors of one shape; a single one stays as it is.

    Args:
        tensors: At least one tensor.
        name: Name of the layer.

    Returns:
        A tensor of the same shape.

    Example:
        >>> add([keras.Input((3,)), keras.Input((3,))], name="sum").shape
        (None, 3)
    """
    return tensors[0] if len(tensors) == 1 else layers.Add(name=name)(list(tensors))
