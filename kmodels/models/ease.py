"""EASE: one matrix of weights between items, from what a user has to what the user may want."""

from __future__ import annotations

import keras

from kmodels.features import MultiHot
from kmodels.models import blocks


def ease(n_items: int, *, name: str = "ease") -> keras.Model:
    """Scores all items for a history by one matrix of weights: a linear autoencoder whose diagonal is 0.

    `training.fit_ease` sets the weights in closed form; until then all scores are 0. `training.fit_slit` sets
    weights of the same form that predict what comes next, with a diagonal of their own.

    Args:
        n_items: Rows of the items' table, row 0 for unknown items included.
        name: Name of the model. Default "ease".

    Returns:
        An uncompiled Functional model: input `history`, float32 (batch, n_items), a weight above 0 for each item the
        user has and 0 for the others; output float32 (batch, n_items), a score for each item, higher is better. The
        kernel of its only layer, `scores`, has a row for each item of the history and a column for each score.

    Raises:
        ConfigurationError: If n_items is below 1.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

    Example:
        >>> ease(1683).count_params() == 1683**2
        True
    """
    blocks.check_sizes(n_items=n_items)
    tensors = blocks.inputs([MultiHot("history", n_items)])
    scores = blocks.dense(tensors["history"], n_items, initializer="zeros", use_bias=False, name="scores")
    return keras.Model(tensors, scores, name=name)
