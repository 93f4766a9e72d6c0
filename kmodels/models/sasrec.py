"""Self-attention on the sequence of a user's items, to predict the next one."""

from __future__ import annotations

import keras
from keras import layers, ops, regularizers

from kmodels.errors import ConfigurationError
from kmodels.models.blocks import Tensor, check_rates, check_sizes, dense, embedding


def sasrec(
    n_items: int,
    length: int,
    *,
    dim: int = 64,
    heads: int = 2,
    blocks: int = 2,
    dropout: float = 0.2,
    name: str = "sasrec",
) -> keras.Model:
    """Scores all items as the next one, at each position of a user's sequence: SASRec.

    A position attends to itself and those before it; padding is not looked at. Vectors of the items and of the
    positions are added, and go through blocks of self-attention and a dense network, each after layer normalisation and
    with a residual connection. Logits are products with the same vectors of the items.

    Train it with the loss "log_loss" of `training.compile_model`, a softmax over all items in position of the paper's
    sampled negatives, on `pipelines.next_item_batches`. A batch holds batch · length · n_items logits.

    Args:
        n_items: Rows of the items' table, row 0 for padding included.
        length: Items that a sequence holds.
        dim: Width of the vectors, a multiple of `heads`. Default 64.
        heads: Heads of each attention. Default 2.
        blocks: Number of blocks. Default 2.
        dropout: Dropout of vectors, attention weights and the output of each layer, 0 to 1. Default 0.2.
        name: Name of the model. Default "sasrec".

    Returns:
        An uncompiled Functional model: input `sequence`, int32 (batch, length), oldest item first and padded with 0 at
        the left, such as `pipelines.item_sequences` gives; output float32 (batch, length, n_items), the logits of the
        item after each position: the last ones answer a request. They are the products of what the layer `norm` gives
        with the table of the layer `items`.

    Raises:
        ConfigurationError: If a size is below 1, the dropout is outside [0, 1), or dim is not a multiple of heads.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; Klenitskiy and Vasilev, "Turning
    Dross Into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023 (the softmax over all items).

    Example:
        >>> import numpy as np
        >>> model = sasrec(1683, 50)
        >>> model.predict_on_batch({"sequence": np.zeros((2, 50), "int32")}).shape
        (2, 50, 1683)
    """
    check_sizes(n_items=n_items, length=length, dim=dim, heads=heads, blocks=blocks)
    check_rates(dropout=dropout)
    if dim % heads:
        raise ConfigurationError(f"dim must be a multiple of heads. Received: dim={dim}, heads={heads}")
    sequence = keras.Input((length,), dtype="int32", name="sequence")
    # The regulariser of 0 as in `blocks.embedding`.
    items = layers.ReversibleEmbedding(
        n_items,
        dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05),
        embeddings_regularizer=regularizers.L2(0.0),
        name="items",
    )
    positions = embedding(ops.cumsum(ops.ones_like(sequence), axis=1) - 1, length, dim, name="positions")
    known = ops.not_equal(sequence, 0)
    # Padding may look at what comes before it, as a softmax over nothing is NaN on some backends.
    visible = ops.logical_or(ops.expand_dims(known, 1), ops.logical_not(ops.expand_dims(known, 2)))

    x = _dropout(layers.Add(name="vectors")([items(sequence), positions]), dropout, name="vectors")
    for i in range(1, blocks + 1):
        query = _norm(x, name=f"attention_{i}_norm")
        attention = layers.MultiHeadAttention(
            heads,
            dim // heads,
            dropout=dropout,
            kernel_initializer=keras.initializers.RandomNormal(stddev=dim**-0.5),
            name=f"attention_{i}",
        )(query, query, attention_mask=visible, use_causal_mask=True)
        x = layers.Add(name=f"attention_{i}_sum")([x, _dropout(attention, dropout, name=f"attention_{i}")])
        inner = dense(_norm(x, name=f"dense_{i}_norm"), dim, activation="relu", name=f"dense_{i}_inner")
        outer = dense(_dropout(inner, dropout, name=f"dense_{i}_inner"), dim, name=f"dense_{i}")
        x = layers.Add(name=f"dense_{i}_sum")([x, _dropout(outer, dropout, name=f"dense_{i}")])
    return keras.Model({"sequence": sequence}, items(_norm(x, name="norm"), reverse=True), name=name)


def _norm(x: Tensor, *, name: str) -> Tensor:
    """Layer normalisation with an epsilon that does not matter."""
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _dropout(x: Tensor, rate: float, *, name: str) -> Tensor:
    """Dropout, if any."""
    return layers.Dropout(rate, name=f"{name}_dropout")(x) if rate else x
