"""Regression and classification of tables with ids: a bias and a vector for each id, products of vectors, an MLP.

Rendle, "Factorization Machines", ICDM 2010 (the products); Guo et al., "DeepFM: A Factorization-Machine based Neural
Network for CTR Prediction", IJCAI 2017 (the same vectors also feed an MLP). An id's biases are the random intercepts of
a mixed model (Robinson, "That BLUP is a Good Thing", Statistical Science 1991) with an L2 penalty for their prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, Feature, Numeric
from kmodels.models import blocks


@dataclass(frozen=True)
class Embedded:
    """An id of many values, such as a user or an item, and the regularisation of its tables.

    Args:
        id: The input; its size is the rows of the tables, row 0 for unknown ids included.
        l2: Factor of the penalty l2 · Σ w² on the vectors. Default 0.
        bias_l2: Factor of the penalty on the biases. With a mean squared error it acts as the prior of a random
            intercept: noise variance ÷ (training rows · variance of the intercepts). Default 0.
        dropout: Rate of the dropout on the vector, 0 to 1. Default 0.
        max_norm: Largest length of a vector, enforced after each step; None for no limit. Default None.

    Raises:
        ConfigurationError: If a penalty is below 0, the rate outside [0, 1) or the length not above 0.

    Example:
        >>> Embedded(Categorical("user_id", 5892), bias_l2=3e-5, dropout=0.3).max_norm is None
        True
    """

    id: Categorical
    l2: float = 0.0
    bias_l2: float = 0.0
    dropout: float = 0.0
    max_norm: float | None = None

    def __post_init__(self) -> None:
        for what, value, right, rule in (
            ("l2", self.l2, self.l2 >= 0, "at least 0"),
            ("bias_l2", self.bias_l2, self.bias_l2 >= 0, "at least 0"),
            ("dropout", self.dropout, 0 <= self.dropout < 1, "at least 0 and below 1"),
            ("max_norm", self.max_norm, self.max_norm is None or self.max_norm > 0, "None or above 0"),
        ):
            if not right:
                raise ConfigurationError(f"{what} of {self.id.name!r} must be {rule}. Received: {what}={value}")


def embedding_regressor(
    features: Sequence[Feature],
    *,
    embeddings: Sequence[Embedded] = (),
    dim: int = 16,
    hidden: Sequence[int] = (128, 64),
    dropout: float = 0.0,
    l2: float = 0.0,
    stddev: float = 0.05,
    mean: float = 0.0,
    units: int = 1,
    output: str = "prediction",
    name: str = "embedding_regressor",
) -> keras.Model:
    """Predicts a number from features and ids.

    Every feature and every id has a number and a vector of its own. The prediction is the sum of

    - the numbers: the main effects, such as that of an age or of a user;
    - a weighted sum of the products v_id ⊙ (sum of the vectors of the features and of the ids before it): what an id
      adds where it meets another, such as a user's taste for a category;
    - an MLP on all vectors: effects of three and more, such as gender × age × category.

    An id without training rows keeps the row 0 near nought, so that the features alone speak.

    Args:
        features: Any features; `Numeric` ones best standardised. May be empty where there are ids.
        embeddings: The ids. Default ().
        dim: Width of every vector. Default 16.
        hidden: Widths of the MLP; empty for none. Default (128, 64).
        dropout: Dropout after each layer of the MLP, 0 to 1. Default 0.
        l2: Factor of the penalty l2 · Σ w² on the features' numbers and vectors; the ids have their own. Default 0.
        stddev: Standard deviation of the initial vectors of ids and categories; the numbers start at 0. Default 0.05.
        mean: Initial value of the output: the mean target. Default 0.
        units: Numbers to predict of each row. Default 1.
        output: Name of the output layer. Default "prediction".
        name: Name of the model. Default "embedding_regressor".

    Returns:
        An uncompiled Functional model: an input for each feature (two for a Bag) and each id, int32 (batch,); output
        float32 (batch, units), in the target's unit. The tables of the id `user_id` are the layers `user_id_embedding`
        and `user_id_bias`.

    Raises:
        ConfigurationError: If there is neither feature nor id, a size is below 1, the rate is outside [0, 1), or two
            inputs share a name.

    Example:
        >>> users, items = Embedded(Categorical("user_id", 5892)), Embedded(Categorical("item_id", 3632))
        >>> model = embedding_regressor([Categorical("age", 8), Numeric("years")], embeddings=[users, items])
        >>> model.output_shape, model.get_layer("user_id_embedding").output.shape
        ((None, 1), (None, 16))
    """
    if not features and not embeddings:
        raise ConfigurationError("a model needs a feature or an id. Received: neither")
    blocks.check_sizes(dim=dim, hidden=hidden, units=units)
    blocks.check_rates(dropout=dropout)
    tensors = blocks.inputs([*features, *(part.id for part in embeddings)])

    terms, vectors, products = [], [], []
    if features:
        terms.append(blocks.project(features, tensors, units, initializer="zeros", stddev=0.0, l2=l2, name="linear"))
    for group in _groups(features):
        vectors.append(blocks.project(group, tensors, dim, stddev=stddev, l2=l2, name="vector"))
    rest = blocks.add(vectors, name="vector_sum") if vectors else None
    for part in embeddings:
        ids, what = tensors[part.id.name], part.id.name
        terms.append(blocks.embedding(ids, part.id.size, units, stddev=0.0, l2=part.bias_l2, name=f"{what}_bias"))
        vector = blocks.embedding(
            ids, part.id.size, dim, stddev=stddev, l2=part.l2, max_norm=part.max_norm, name=f"{what}_embedding"
        )
        if part.dropout:
            vector = layers.Dropout(part.dropout, name=f"{what}_dropout")(vector)
        if rest is not None:
            products.append(layers.Multiply(name=f"{what}_products")([vector, rest]))
        rest = vector if rest is None else layers.Add(name=f"{what}_sum")([rest, vector])
        vectors.append(vector)

    x = blocks.mlp(blocks.concatenate(vectors, name="joined"), hidden, dropout=dropout)
    x = blocks.concatenate([x, *products], name="last")
    start = keras.initializers.Constant(mean)
    terms.append(blocks.dense(x, units, bias_initializer=start, name="output"))
    return keras.Model(tensors, blocks.add(terms, name=output), name=name)


def embedding_classifier(
    features: Sequence[Feature], classes: int, *, name: str = "embedding_classifier", **options: Any
) -> keras.Model:
    """Classifies rows of a table with or without ids: `embedding_regressor` with a number for each class.

    Args:
        features: As `embedding_regressor` takes them.
        classes: Number of classes, 2 or more.
        name: Name of the model. Default "embedding_classifier".
        **options: `embeddings`, `dim`, `hidden`, `dropout`, `l2` and `stddev`, as of `embedding_regressor`.

    Returns:
        An uncompiled Functional model with the inputs of `embedding_regressor`; output float32 (batch, classes),
        logits.

    Raises:
        ConfigurationError: If there are fewer than 2 classes, or as `embedding_regressor`.

    Example:
        >>> embedding_classifier([Categorical("age", 8)], 4).output_shape
        (None, 4)
    """
    if classes < 2:
        raise ConfigurationError(f"a classifier needs at least 2 classes. Received: classes={classes}")
    return embedding_regressor(features, **options, units=classes, output="logits", name=name)


def _groups(features: Sequence[Feature]) -> list[list[Feature]]:
    """The features of each vector: all numbers have one, each other feature its own."""
    numbers: list[Feature] = [feature for feature in features if isinstance(feature, Numeric)]
    others: list[list[Feature]] = [[feature] for feature in features if not isinstance(feature, Numeric)]
    return [numbers, *others] if numbers else others
