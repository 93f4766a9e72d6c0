"""Two towers: a vector of the user and one of the item, whose product scores the pair."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from kmodels.features import Categorical, Feature, Numeric
from kmodels.models import blocks

#: Name of the input that corrects for how often an item is in a batch.
FREQUENCY = "item_log_frequency"


def two_tower(
    n_users: int,
    n_items: int,
    *,
    user_features: Sequence[Feature] = (),
    item_features: Sequence[Feature] = (),
    dim: int = 64,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    l2: float = 0.0,
    stddev: float = 0.05,
    name: str = "two_tower",
) -> keras.Model:
    """Scores the items of a batch for each of its users, for catalogues that are too large for a softmax over all.

    Each side adds the row of an embedding table and projections of its features, a history among them, and may send the
    sum through an MLP. The vectors are not normalised: the length of an item's tells how much it is wanted by all. A
    score is their product, so that a catalogue is searched by one matrix product.

    A batch has observed pairs of user and item. In training, each user's item is told from those of the other rows by
    a softmax: the target of row i is i, the loss "log_loss" of `training.compile_model`. As an item is among the other
    rows as often as it is observed, the logarithm of that frequency is subtracted from its scores, and the softmax
    estimates the one over all items.

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        user_features: Features of the user; of a history, which leaves out the row's own item, a `History` as
            `pipelines.Histories` fills it. Default ().
        item_features: Features of the item. Default ().
        dim: Width of the vectors. Default 64.
        hidden: Widths of each side's MLP; empty for none. Default ().
        dropout: Dropout on the sums and after each layer of the MLPs, 0 to 1. Default 0.
        l2: Factor of the penalty l2 · Σ w² on every table and kernel; 1e-4 suits a hundred thousand pairs. Default 0.
        stddev: Standard deviation of the initial values of tables and projections. Default 0.05.
        name: Name of the model. Default "two_tower".

    Returns:
        An uncompiled Functional model: inputs `user_id` and `item_id`, int32 (batch,), one for each feature (two for a
        Bag, six for a History) and `item_log_frequency`, float32 (batch, 1), the logarithm of the item's share of the
        training pairs; output float32 (batch, batch), the logit of each row's user and each row's item. The layers
        `user_vector` and `item_vector` give float32 (batch, dim).

    Raises:
        ConfigurationError: If a size is below 1, the dropout is outside [0, 1), or two inputs share a name.

    Source: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019;
    Bengio and Senécal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model",
    IEEE Transactions on Neural Networks 19, 2008 (the correction).

    Example:
        >>> import numpy as np
        >>> from kmodels import training
        >>> from kmodels.pipelines import Batches
        >>> users, items = np.array([1, 1, 2, 3], "int32"), np.array([1, 2, 2, 1], "int32")
        >>> share = np.bincount(items)[items] / len(items)
        >>> inputs = {"user_id": users, "item_id": items, "item_log_frequency": np.log(share, dtype="float32")[:, None]}
        >>> batches = Batches(inputs, lambda rows: np.arange(len(rows)), batch_size=2, shuffle=True)
        >>> model = training.initialize(two_tower(4, 3, dim=2))
        >>> training.compile_model(model, keras.optimizers.Adam(0.01), loss="log_loss", metrics=())
        >>> _ = model.fit(batches, shuffle=False, verbose=0)
        >>> model.predict_on_batch(inputs).shape
        (4, 4)
    """
    blocks.check_sizes(n_users=n_users, n_items=n_items, dim=dim, hidden=hidden)
    blocks.check_rates(dropout=dropout)
    user, item, frequency = Categorical("user_id", n_users), Categorical("item_id", n_items), Numeric(FREQUENCY)
    tensors = blocks.inputs([user, *user_features, item, *item_features, frequency])
    vectors = []
    for prefix, entity, features in (("user", user, user_features), ("item", item, item_features)):
        ids, small = tensors[entity.name], keras.initializers.RandomNormal(stddev=stddev)
        terms = [blocks.embedding(ids, entity.size, dim, stddev=stddev, l2=l2, name=f"{prefix}_embedding")]
        if features:
            options = {"initializer": small, "stddev": stddev, "l2": l2, "name": f"{prefix}_side"}
            terms.append(blocks.project(features, tensors, dim, **options))
        x = blocks.add(terms, name=f"{prefix}_sum")
        if dropout:
            x = layers.Dropout(dropout, name=f"{prefix}_dropout")(x)
        if hidden:
            x = blocks.mlp(x, hidden, dropout=dropout, l2=l2, name=f"{prefix}_mlp")
            x = blocks.dense(x, dim, l2=l2, name=f"{prefix}_output")
        vectors.append(layers.Identity(name=f"{prefix}_vector")(x))
    scores = ops.matmul(vectors[0], ops.transpose(vectors[1]))
    return keras.Model(tensors, scores - ops.transpose(tensors[FREQUENCY]), name=name)


def towers(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The models of the user's vector and of the item's, each with its own inputs; the weights are shared."""

    def tower(vector: blocks.Tensor) -> keras.Model:
        above = blocks.sources(vector)
        return keras.Model({tensor.name: tensor for tensor in model.inputs if tensor.name in above}, vector)

    return tower(model.get_layer("user_vector").output), tower(model.get_layer("item_vector").output)
