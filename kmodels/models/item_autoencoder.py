"""A denoising autoencoder of histories: from what a user has to a score of every item."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kmodels.features import MultiHot
from kmodels.models import blocks


def item_autoencoder(
    n_items: int,
    *,
    hidden: Sequence[int] = (200,),
    dropout: float = 0.5,
    activation: str = "tanh",
    l2: float = 0.0,
    name: str = "item_autoencoder",
) -> keras.Model:
    """Scores all items for a history: Mult-DAE with its defaults.

    The history is divided by its Euclidean norm and, in training, a share of its entries is left out, so that the model
    learns which items go along with the others. Train it with the loss "multinomial" of `training.compile_model`: the
    cross-entropy of a softmax over all items, summed over the items that the user has. Targets are the histories
    themselves, with ones in place of the weights.

    Args:
        n_items: Rows of the items' table, row 0 for unknown items included.
        hidden: Widths of the hidden layers; empty for none. Default (200,).
        dropout: Share of the history that is left out in training, 0 to 1. Default 0.5.
        activation: Name of the Keras activation of the hidden layers. Default "tanh".
        l2: Factor of the penalty l2 · Σ w² on every kernel. Default 0.
        name: Name of the model. Default "item_autoencoder".

    Returns:
        An uncompiled Functional model: input `history`, float32 (batch, n_items), a weight above 0 for each item the
        user has and 0 for the others; output float32 (batch, n_items), the logit of each item.

    Raises:
        ConfigurationError: If a size is below 1 or the dropout is outside [0, 1).

    Source: Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018.

    Example:
        >>> import numpy as np
        >>> from scipy import sparse
        >>> from kmodels import training
        >>> from kmodels.pipelines import Batches
        >>> histories = sparse.csr_array(np.array([[0, 1, 1, 0], [0, 0, 1, 1]], "float32"))
        >>> batches = Batches({"history": histories}, histories, shuffle=True)
        >>> model = training.initialize(item_autoencoder(4, hidden=(3,)))
        >>> training.compile_model(model, keras.optimizers.Adam(0.01), loss="multinomial", metrics=())
        >>> _ = model.fit(batches, shuffle=False, verbose=0)
        >>> training.predict(model, Batches({"history": histories})).shape
        (2, 4)
    """
    blocks.check_sizes(n_items=n_items, hidden=hidden)
    blocks.check_rates(dropout=dropout)
    tensors = blocks.inputs([MultiHot("history", n_items)])
    x = layers.UnitNormalization(name="history_unit")(tensors["history"])
    if dropout:
        x = layers.Dropout(dropout, name="history_dropout")(x)
    x = blocks.mlp(x, hidden, activation=activation, l2=l2)
    return keras.Model(tensors, blocks.dense(x, n_items, l2=l2, name="logits"), name=name)
