"""Dense classifiers of tables.

Ioffe and Szegedy, "Batch Normalization", ICML 2015; Srivastava et al., "Dropout", JMLR 2014; Cheng et al., "Wide & Deep
Learning for Recommender Systems", DLRS 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.features import Feature, MultiHot, Numeric
from kmodels.models import blocks


@dataclass(frozen=True)
class _Hidden:
    """Settings of one hidden layer."""

    units: int
    activation: str
    batch_norm: bool
    dropout: float
    l2: float

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
    hidden: Sequence[int | Mapping[str, Any]],
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    l2: float = 0.0,
    output_l2: float | None = None,
    linear: bool = False,
    squares: bool = False,
    name: str = "dense_classifier",
) -> keras.Model:
    """Classifies rows of a table: all inputs joined → hidden layers → logits.

    A hidden layer is Dense → activation → (batch normalisation) → (dropout).

    Args:
        features: At least one feature, `Numeric` or `MultiHot`; what is categorical is encoded as one of them.
        classes: Number of classes, 2 or more.
        hidden: The hidden layers: widths, or dicts of `units` and what differs from the arguments `activation`,
            `batch_norm`, `dropout` and `l2`. None makes a logistic regression.
        activation: Name of a Keras activation. Default "relu".
        batch_norm: Whether the activation's output is normalised. Default False.
        dropout: Rate of the dropout after each hidden layer, 0 to 1. Default 0.
        l2: Factor of the penalty l2 · Σ w² on each kernel. Default 0.
        output_l2: Factor of the penalty on the kernels of the logits; None takes `l2`. Default None.
        linear: Whether the inputs also reach the logits directly, so that the hidden layers need only learn what is
            left: wide and deep. Default False.
        squares: Whether the linear part, if there is one, also gets the squares of the `Numeric` inputs. Default
            False.
        name: Name of the model. Default "dense_classifier".

    Returns:
        An uncompiled Functional model: an input float32 (batch, size) for each feature; output float32
        (batch, classes), logits.

    Raises:
        ConfigurationError: If there is no feature, a feature is of another kind, two share a name, there are fewer
            than two classes, or a width, rate or factor is out of range.

    Example:
        >>> from kmodels.models import presets
        >>> model = dense_classifier([Numeric("numbers", 7), MultiHot("labels", 18)], 2, hidden=[32])
        >>> model.output_shape, model.count_params()
        ((None, 2), 898)
        >>> dense_classifier([Numeric("numbers", 26)], 2, **presets.DENSE["wide_and_deep"]).count_params()
        1962
    """
    if not features or classes < 2:
        raise ConfigurationError(
            "a classifier needs 1 feature and 2 classes at least. "
            f"Received: {len(features)} features, classes={classes}"
        )
    for feature in features:
        if not isinstance(feature, Numeric | MultiHot):
            raise ConfigurationError(f"a dense classifier takes Numeric and MultiHot features. Received: {feature}")
    shared = {"activation": activation, "batch_norm": batch_norm, "dropout": dropout, "l2": l2}
    stack = [_Hidden(**shared | (dict(each) if isinstance(each, Mapping) else {"units": each})) for each in hidden]
    output_l2 = l2 if output_l2 is None else output_l2
    tensors = blocks.inputs(features)
    x = joined = blocks.concatenate(list(tensors.values()), name="joined")
    for i, layer in enumerate(stack, start=1):
        x = blocks.dense(x, layer.units, l2=layer.l2, name=f"hidden_{i}")
        x = layers.Activation(layer.activation, name=f"hidden_{i}_{layer.activation}")(x)
        if layer.batch_norm:
            x = layers.BatchNormalization(name=f"hidden_{i}_bn")(x)
        if layer.dropout:
            x = layers.Dropout(layer.dropout, name=f"hidden_{i}_dropout")(x)
    # What the hidden layers add to the linear part needs no bias of its own.
    parts = [blocks.dense(x, classes, l2=output_l2, use_bias=not (linear and hidden), name="deep")]
    if linear and hidden:
        numbers = [feature.name for feature in features if isinstance(feature, Numeric)] if squares else []
        squared = [layers.Multiply(name=f"{name}_squared")([tensors[name]] * 2) for name in numbers]
        wide = blocks.concatenate([joined, *squared], name="numbers_and_squares") if squared else joined
        parts.append(blocks.dense(wide, classes, l2=output_l2, name="wide"))
    return keras.Model(tensors, blocks.add(parts, name="logits"), name=name)
