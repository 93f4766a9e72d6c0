"""The network that an estimator's settings stand for, its optimizer, and several networks averaged into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kmodels import models, training
from kmodels.preprocessing import TableEncoder, quantile_edges

_SETTINGS = ("frequencies", "frequency_stddev", "dim", "hidden", "dropout", "members", "linear")


def network(
    table: TableEncoder, classes: int, inputs: Mapping[str, Any], settings: Mapping[str, Any], **options: Any
) -> keras.Model:
    """The network of some settings for the inputs of the training rows, encoded; `classes` is 0 for amounts."""
    options |= {name: settings[name] for name in _SETTINGS}
    if settings["bins"] and table.scaler is not None:
        options["edges"] = quantile_edges(inputs[table.numbers], settings["bins"])
    if classes:
        return models.tabular_classifier(table.features, classes, **options)
    return models.tabular_regressor(table.features, **options)


def average(networks: Sequence[keras.Model], classes: bool) -> keras.Model:
    """One model that predicts the mean of several, of classes that of their probabilities."""
    if len(networks) == 1:
        return networks[0]
    inputs = networks[0].input
    found = [each(inputs) for each in networks]
    if not classes:
        return keras.Model(inputs, keras.layers.Average(name="prediction")(found), name="tabular_regressor")
    shares = keras.ops.log_softmax(keras.ops.stack(found, axis=1), axis=-1)
    pooled = keras.ops.logsumexp(shares, axis=1) - np.log(len(found))
    return keras.Model(inputs, keras.layers.Identity(name="logits")(pooled), name="tabular_classifier")


def adamw(settings: Mapping[str, Any], steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of some settings for a training of so many steps."""
    rate = training.cosine(settings["learning_rate"], steps, warm_up=0.03)
    return keras.optimizers.AdamW(rate, weight_decay=settings["weight_decay"])
