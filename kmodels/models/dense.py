"""Dense classifiers of tables, and the three reference networks for films.

Ioffe and Szegedy, "Batch Normalization", ICML 2015; Srivastava et al., "Dropout", JMLR 2014; Cheng et al., "Wide & Deep
Learning for Recommender Systems", DLRS 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.features import Feature, MultiHot, Numeric
from kmodels.models import blocks


@dataclass(frozen=True)
class Hidden:
    """One dense layer: Dense → activation → (batch normalisation) → (dropout).

    Args:
        units: Width of the layer.
        activation: Name of a Keras activation. Default "relu".
        batch_norm: Whether what the activation gives is normalised. Default False.
        dropout: Rate of the dropout at the end, 0 to 1. Default 0.
        l2: Factor of the penalty l2 · Σ w² on the kernel. Default 0.

    Raises:
        ConfigurationError: If the width is below 1, the rate outside [0, 1) or the factor negative.

    Example:
        >>> Hidden(64, dropout=0.2)
        Hidden(units=64, activation='relu', batch_norm=False, dropout=0.2, l2=0.0)
    """

    units: int
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if self.units < 1 or not 0 <= self.dropout < 1 or self.l2 < 0:
            raise ConfigurationError(
                "a layer needs units of 1 or more, dropout of at least 0 and below 1, and l2 of 0 or more. "
                f"Received: {self}"
            )


def dense_classifier(
    features: Sequence[Feature],
    classes: int,
    *,
    hidden: Sequence[Hidden],
    linear: bool = False,
    squares: bool = False,
    l2: float = 0.0,
    name: str = "dense_classifier",
) -> keras.Model:
    """Classifies rows of a table: all inputs joined → hidden layers → logits.

    Args:
        features: At least one feature, `Numeric` or `MultiHot`; what is categorical is encoded as one of them.
        classes: Number of classes, 2 or more.
        hidden: The hidden layers; none makes a logistic regression.
        linear: Whether the inputs also reach the logits directly, so that the hidden layers need only learn what is
            left: wide and deep. Default False.
        squares: Whether the linear part gets the squares of the `Numeric` inputs too, which makes their
            effects quadratic. Default False.
        l2: Factor of the penalty on the kernels of the logits. Default 0.
        name: Name of the model. Default "dense_classifier".

    Returns:
        An uncompiled Functional model: an input float32 (batch, size) for each feature; output float32
        (batch, classes), logits.

    Raises:
        ConfigurationError: If there is no feature, a feature is of another kind, two share a name, there are fewer
            than two classes, or squares are asked for without the linear part.

    Example:
        >>> model = dense_classifier([Numeric("numbers", 7), MultiHot("genres", 18)], 2, hidden=[Hidden(32)])
        >>> model.output_shape, model.count_params()
        ((None, 2), 898)
    """
    if not features or classes < 2:
        raise ConfigurationError(
            "a classifier needs 1 feature and 2 classes at least. "
            f"Received: {len(features)} features, classes={classes}"
        )
    if squares and not linear:
        raise ConfigurationError("squares go into the linear part. Received: squares=True, linear=False")
    for feature in features:
        if not isinstance(feature, Numeric | MultiHot):
            raise ConfigurationError(f"a dense classifier takes Numeric and MultiHot features. Received: {feature}")
    tensors = blocks.inputs(features)
    x = joined = blocks.concatenate(list(tensors.values()), name="joined")
    for i, layer in enumerate(hidden, start=1):
        x = blocks.dense(x, layer.units, l2=layer.l2, name=f"hidden_{i}")
        x = layers.Activation(layer.activation, name=f"hidden_{i}_{layer.activation}")(x)
        if layer.batch_norm:
            x = layers.BatchNormalization(name=f"hidden_{i}_bn")(x)
        if layer.dropout:
            x = layers.Dropout(layer.dropout, name=f"hidden_{i}_dropout")(x)
    # What the hidden layers add to the linear part needs no bias of its own.
    parts = [blocks.dense(x, classes, l2=l2, use_bias=not (linear and hidden), name="deep")]
    if linear and hidden:
        numbers = [feature.name for feature in features if isinstance(feature, Numeric)] if squares else []
        squared = [layers.Multiply(name=f"{name}_squared")([tensors[name]] * 2) for name in numbers]
        wide = blocks.concatenate([joined, *squared], name="numbers_and_squares") if squared else joined
        parts.append(blocks.dense(wide, classes, l2=l2, name="wide"))
    return keras.Model(tensors, blocks.add(parts, name="logits"), name=name)


_NUMBERS = (Numeric("numbers", 26),)


def profit_batchnorm(features: Sequence[Feature] = _NUMBERS, *, classes: int = 2) -> keras.Model:
    """The reference network for films with batch normalisation: 64, 128, 128, 64 and 64 ReLU units, each normalised.

    40,002 trainable parameters for 26 numbers.

    Args:
        features: `Numeric` and `MultiHot` features. Default: 26 numbers in the input `numbers`.
        classes: Number of classes. Default 2.

    Returns:
        An uncompiled Functional model as of `dense_classifier`.

    Example:
        >>> sum(int(keras.ops.size(weight)) for weight in profit_batchnorm().trainable_weights)
        40002
    """
    hidden = [Hidden(units, batch_norm=True) for units in (64, 128, 128, 64, 64)]
    return dense_classifier(features, classes, hidden=hidden, name="profit_batchnorm")


def profit_dropout(features: Sequence[Feature] = _NUMBERS, *, classes: int = 2) -> keras.Model:
    """The reference network for films with dropout: 128, 256 and 256 leaky ReLU units, then 128 and 128 of tanh.

    A dropout of 0.2 follows each layer but the last; below 0 the leaky units have Keras's slope of 0.2. 151,938
    parameters for 26 numbers.

    Args:
        features: `Numeric` and `MultiHot` features. Default: 26 numbers in the input `numbers`.
        classes: Number of classes. Default 2.

    Returns:
        An uncompiled Functional model as of `dense_classifier`.

    Example:
        >>> profit_dropout().count_params()
        151938
    """
    hidden = [Hidden(units, "leaky_relu", dropout=0.2) for units in (128, 256, 256)]
    hidden += [Hidden(128, "tanh", dropout=0.2), Hidden(128, "tanh")]
    return dense_classifier(features, classes, hidden=hidden, name="profit_dropout")


def profit_l2(features: Sequence[Feature] = _NUMBERS, *, classes: int = 2, l2: float = 0.01) -> keras.Model:
    """The reference network for films with a penalty on its weights: 32 and 64 ReLU units.

    3,106 parameters for 26 numbers.

    Args:
        features: `Numeric` and `MultiHot` features. Default: 26 numbers in the input `numbers`.
        classes: Number of classes. Default 2.
        l2: Factor of the penalty l2 · Σ w² on both hidden kernels. Default 0.01.

    Returns:
        An uncompiled Functional model as of `dense_classifier`.

    Example:
        >>> profit_l2().count_params()
        3106
    """
    return dense_classifier(features, classes, hidden=[Hidden(32, l2=l2), Hidden(64, l2=l2)], name="profit_l2")


def profit_wide_and_deep(
    features: Sequence[Feature] = _NUMBERS,
    *,
    classes: int = 2,
    hidden: Sequence[int] = (64,),
    dropout: float = 0.5,
    l2: float = 0.002,
    linear: bool = True,
) -> keras.Model:
    """A linear model and a small network beside it, for a few thousand films: wide and deep.

    Most of what a table of films says of profit is a sum of effects, which the linear part learns from few rows: it
    gets the numbers and their squares, as neither the shortest nor the longest films need be the best. GELU units, half
    of them dropped, add what else there is. 1,962 parameters for 26 numbers.

    Args:
        features: `Numeric` and `MultiHot` features. Default: 26 numbers in the input `numbers`.
        classes: Number of classes. Default 2.
        hidden: Widths of the hidden layers. Default (64,).
        dropout: Rate of the dropout after each of them. Default 0.5.
        l2: Factor of the penalty l2 · Σ w² on every kernel. Default 0.002.
        linear: Whether there is the linear part. Default True.

    Returns:
        An uncompiled Functional model as of `dense_classifier`.

    Example:
        >>> profit_wide_and_deep().count_params()
        1962
    """
    layers_of = [Hidden(units, "gelu", dropout=dropout, l2=l2) for units in hidden]
    return dense_classifier(
        features, classes, hidden=layers_of, linear=linear, squares=linear, l2=l2, name="profit_wide_and_deep"
    )
