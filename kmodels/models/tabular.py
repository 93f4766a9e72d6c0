"""Classification and regression of tables: embeddings of every column, residual blocks, members that share weights.

Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022 (piecewise linear and
periodic embeddings of numbers); Gorishniy et al., "TabM: Advancing Tabular Deep Learning with Parameter-Efficient
Ensembling", ICLR 2025 (the members); Wen et al., "BatchEnsemble", ICLR 2020 (how they share weights); Cheng et al.,
"Wide & Deep Learning for Recommender Systems", DLRS 2016 (the linear path).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, Feature, Numeric
from kmodels.models import blocks
from kmodels.models.blocks import Tensor

MEMBERS = "members"
_HIGHEST_RANK = 1.7


def tabular_regressor(
    features: Sequence[Feature],
    *,
    edges: Sequence[npt.ArrayLike] | None = None,
    frequencies: int = 0,
    frequency_stddev: float = 0.5,
    dim: int = 12,
    hidden: Sequence[int] = (128, 128),
    dropout: float = 0.0,
    members: int = 16,
    linear: bool = True,
    mean: float = 0.0,
    units: int = 1,
    output: str = "prediction",
    name: str = "tabular_regressor",
) -> keras.Model:
    """Predicts a number from the columns of a table.

    With `edges` a number becomes its position between them (piecewise linear) and, for all else, its rank from -1.7 to
    1.7, so that a few large values do not matter. It is embedded by both, with `frequencies` also by sines and cosines
    of its rank (periodic); each other feature is embedded by a linear map. All embeddings, side by side, go through
    hidden layers, each of which adds its input to its output where both have one width. Several members share the
    hidden layers; each has factors of its own for their inputs, and an output of its own. The prediction is the mean of
    theirs. A linear path adds a linear function of the positions, or of numbers without edges, and of other features.

    Args:
        features: At least one feature; `Numeric` ones standardised.
        edges: For each number, in the order of the `Numeric` features and their columns, ascending edges in its
            units, such as quantiles of the training rows; with fewer than two a number has none. Default None: no
            piecewise linear embedding.
        frequencies: Frequencies of the periodic embedding of each number. Default 0: none.
        frequency_stddev: Standard deviation of their initial values, in turns for a unit of the number or its rank.
            Default 0.5.
        dim: Width of an embedding. Default 12.
        hidden: Widths of the hidden layers; empty for none. Default (128, 128).
        dropout: Dropout after each hidden layer, 0 to 1. Default 0.
        members: Networks that share weights; 1 for a single one. Default 16.
        linear: Whether there is a linear path. Default True.
        mean: Initial value of the output: the mean target. Default 0.
        units: Numbers to predict of each row. Default 1.
        output: Name of the output layer. Default "prediction".
        name: Name of the model. Default "tabular_regressor".

    Returns:
        An uncompiled Functional model: an input for each feature; output float32 (batch, units), in the target's unit.
        With several members the layer "members" has the prediction of each, (batch, members, units), which
        `training.compile_by_member` trains.

    Raises:
        ConfigurationError: If there is no feature, two share a name, a size is below 1, the rate is outside [0, 1), or
            `edges` are not as said.

    Example:
        >>> model = tabular_regressor([Numeric("numbers", 2), Categorical("city", 9)], edges=[[-1, 0, 1], [0, 2]])
        >>> model.output_shape, model.get_layer("members").output.shape
        ((None, 1), (None, 16, 1))
    """
    if not features:
        raise ConfigurationError("a model of a table needs a feature. Received: none")
    blocks.check_sizes(dim=dim, hidden=hidden, members=members, units=units)
    blocks.check_rates(dropout=dropout)
    tensors = blocks.inputs(features)
    numbers = _numbers(features, tensors)
    positions = None
    if edges is not None and numbers is not None:
        positions = _positions(numbers, edges)
        numbers = _ranks(positions, edges)

    categories = [feature for feature in features if isinstance(feature, Categorical)]

    vectors = [] if numbers is None else [_embed_numbers(numbers, positions, frequencies, frequency_stddev, dim)]
    if categories:
        found = _look_up(categories, tensors, dim, stddev=dim**-0.5, name="category_vectors")
        vectors.append(layers.Flatten(name="category_vectors_flat")(found))
    others = [feature for feature in features if not isinstance(feature, Numeric | Categorical)]
    vectors += [blocks.project([feature], tensors, dim, stddev=dim**-0.5, name="vector") for feature in others]
    x = blocks.concatenate(vectors, name="joined")
    if members > 1:
        x = layers.EinsumDense(
            "bd,kd->bkd",
            output_shape=(members, x.shape[-1]),
            kernel_initializer=keras.initializers.RandomNormal(1.0, 0.5),
            name="member_inputs",
        )(x)
    for i, width in enumerate(hidden, start=1):
        x = _residual(x, width, dropout, f"hidden_{i}")
    last = MEMBERS if members > 1 else output
    if linear:
        deep = _predict(x, units, mean, members, "deep")
        x = layers.Add(name=last)([deep, _linear(features, tensors, positions, units, members)])
    else:
        x = _predict(x, units, mean, members, last)
    if members > 1:
        x = layers.GlobalAveragePooling1D(data_format="channels_last", name=output)(x)
    return keras.Model(tensors, x, name=name)


def tabular_classifier(
    features: Sequence[Feature], classes: int, *, name: str = "tabular_classifier", **options: Any
) -> keras.Model:
    """Classifies rows of a table: `tabular_regressor` with a number for each class.

    With several members the probabilities are the mean of theirs.

    Args:
        features: As `tabular_regressor` takes them.
        classes: Number of classes, 2 or more.
        name: Name of the model. Default "tabular_classifier".
        **options: As of `tabular_regressor`, `mean`, `units` and `output` excepted.

    Returns:
        An uncompiled Functional model with an input for each feature; output float32 (batch, classes), logits. With
        several members the layer "members" has the logits of each, (batch, members, classes).

    Raises:
        ConfigurationError: If there are fewer than 2 classes, or as `tabular_regressor`.

    Example:
        >>> tabular_classifier([Numeric("numbers", 2), Categorical("city", 9)], 4, members=1).output_shape
        (None, 4)
    """
    if classes < 2:
        raise ConfigurationError(f"a classifier needs at least 2 classes. Received: classes={classes}")
    model = tabular_regressor(features, **options, units=classes, output="mean", name=name)
    if not has_members(model):
        return model
    # The logarithm of the mean probability is a logit like any other.
    logits = ops.log_softmax(model.get_layer(MEMBERS).output, axis=-1)
    pooled = ops.logsumexp(logits, axis=1) - np.log(logits.shape[1])
    return keras.Model(model.input, layers.Identity(name="logits")(pooled), name=name)


def has_members(model: keras.Model) -> bool:
    """Whether a model is of several members that share weights."""
    return any(layer.name == MEMBERS for layer in model.layers)


def _numbers(features: Sequence[Feature], tensors: dict[str, Tensor]) -> Tensor | None:
    """All numbers side by side, (batch, numbers); None where there are none."""
    numeric = [tensors[feature.name] for feature in features if isinstance(feature, Numeric)]
    return blocks.concatenate(numeric, name="numbers_joined") if numeric else None


def _positions(numbers: Tensor, edges: Sequence[npt.ArrayLike]) -> Tensor:
    """(batch, numbers, bins): 1 for bins below a number, 0 for those above, and how far it is into its own."""
    lists = [np.asarray(each, np.float32) for each in edges]
    if len(lists) != numbers.shape[-1]:
        raise ConfigurationError(f"edges need a list for each of {numbers.shape[-1]} numbers. Received: {len(lists)}")
    for i, each in enumerate(lists):
        if each.ndim != 1 or not np.isfinite(each).all() or (np.diff(each) <= 0).any():
            raise ConfigurationError(f"edges must ascend. Received: {each.tolist()} of number {i}")
    # Weights, not constants, with which XLA would compile each table anew. Of bins that a number lacks they are 0.
    scale, offset = np.zeros((2, len(lists), max(1, max(len(each) - 1 for each in lists))), np.float32)
    for i, each in enumerate(lists):
        scale[i, : len(each) - 1], offset[i, : len(each) - 1] = 1 / np.diff(each), -each[:-1] / np.diff(each)
    ramps = layers.EinsumDense(
        "bn,nt->bnt",
        output_shape=scale.shape,
        bias_axes="nt",
        kernel_initializer=keras.initializers.Constant(scale),
        bias_initializer=keras.initializers.Constant(offset),
        trainable=False,
        name="ramps",
    )(numbers)
    return layers.ReLU(max_value=1.0, name="positions")(ramps)


def _ranks(positions: Tensor, edges: Sequence[npt.ArrayLike]) -> Tensor:
    """(batch, numbers): the mean of each number's positions, from -1.7 to 1.7, which has a deviation near 1."""
    bins = np.maximum(1, [np.size(each) - 1 for each in edges])
    kernel = np.repeat(2 * _HIGHEST_RANK / bins[:, None], positions.shape[-1], axis=1)
    return layers.EinsumDense(
        "bnt,nt->bn",
        output_shape=(len(bins),),
        bias_axes="n",
        kernel_initializer=keras.initializers.Constant(kernel.astype(np.float32)),
        bias_initializer=keras.initializers.Constant(-_HIGHEST_RANK),
        trainable=False,
        name="ranks",
    )(positions)


def _embed_numbers(numbers: Tensor, positions: Tensor | None, frequencies: int, stddev: float, dim: int) -> Tensor:
    """(batch, numbers × dim): each number's own linear map of itself, of its positions and of its waves."""
    n = numbers.shape[-1]
    parts = [ops.expand_dims(numbers, -1)]
    if positions is not None:
        parts.append(positions)
    if frequencies:
        angles = layers.EinsumDense(
            "bn,nf->bnf",
            output_shape=(n, frequencies),
            kernel_initializer=keras.initializers.RandomNormal(stddev=2 * np.pi * stddev),
            name="angles",
        )(numbers)
        parts += [ops.sin(angles), ops.cos(angles)]
    x = blocks.concatenate(parts, name="number_parts")
    x = layers.EinsumDense("bnp,npd->bnd", output_shape=(n, dim), bias_axes="nd", name="number_vectors")(x)
    return layers.Flatten(name="number_vectors_flat")(layers.Activation("relu", name="number_vectors_relu")(x))


def _look_up(categories: Sequence[Categorical], tensors: dict[str, Tensor], dim: int, **options: Any) -> Tensor:
    """(batch, categories, dim): the row of each category in one table of all of them, one after the other."""
    sizes = [feature.size for feature in categories]
    ids = ops.stack([tensors[feature.name] for feature in categories], axis=-1)
    first = np.cumsum([0, *sizes[:-1]], dtype=np.int32)
    return blocks.embedding(ids + first, sum(sizes), dim, **options)


def _residual(x: Tensor, width: int, dropout: float, name: str) -> Tensor:
    """Dense → ReLU → dropout, and its input where that has its width."""
    y = layers.Activation("relu", name=f"{name}_relu")(blocks.dense(x, width, name=name, initializer="he_normal"))
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return layers.Add(name=f"{name}_sum")([x, y]) if x.shape[-1] == width else y


def _predict(x: Tensor, units: int, mean: float, members: int, name: str) -> Tensor:
    """(batch, members, units), each member's by a kernel of its own; or (batch, units)."""
    start = keras.initializers.Constant(mean)
    if members == 1:
        return blocks.dense(x, units, bias_initializer=start, name=name)
    return layers.EinsumDense(
        "bkd,kdu->bku", output_shape=(members, units), bias_axes="ku", bias_initializer=start, name=name
    )(x)


def _linear(
    features: Sequence[Feature], tensors: dict[str, Tensor], positions: Tensor | None, units: int, members: int
) -> Tensor:
    """A linear function of all features, the same for each member."""
    categories = [feature for feature in features if isinstance(feature, Categorical)]
    apart = (Categorical,) if positions is None else (Categorical, Numeric)
    others = [feature for feature in features if not isinstance(feature, apart)]
    parts = []
    if others:
        parts.append(blocks.project(others, tensors, units, initializer="zeros", stddev=0.0, name="linear"))
    if categories:
        parts.append(ops.sum(_look_up(categories, tensors, units, stddev=0.0, name="linear_categories"), axis=1))
    if positions is not None:
        flat = layers.Flatten(name="positions_flat")(positions)
        parts.append(blocks.dense(flat, units, initializer="zeros", use_bias=False, name="linear_positions"))
    x = blocks.add(parts, name="wide")
    return ops.expand_dims(x, 1) if members > 1 else x
