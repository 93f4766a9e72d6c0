"""Neural matrix factorisation for ratings: user and item vectors, side features, histories, a product and an MLP.

He et al., "Neural Collaborative Filtering", WWW 2017 (the MLP and the product of the vectors); Koren, "Factorization
Meets the Neighborhood", KDD 2008 (biases, and histories: SVD++); Koren, "Collaborative Filtering with Temporal
Dynamics", KDD 2009 (the context of a rating).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kmodels import backend
from kmodels.features import Categorical, Feature, History
from kmodels.models import blocks


def neumf(
    n_users: int,
    n_items: int,
    *,
    dim: int = 32,
    user_features: Sequence[Feature] = (),
    item_features: Sequence[Feature] = (),
    context_features: Sequence[Feature] = (),
    histories: bool = False,
    user_side_dim: int | None = None,
    item_side_dim: int | None = None,
    product: bool = False,
    gmf_dim: int | None = None,
    biases: bool = False,
    hidden: Sequence[int] = (128, 64),
    batch_norm: bool = False,
    dropout: float = 0.0,
    vector_dropout: float = 0.0,
    stddev: float = 0.05,
    initializer: Any = "glorot_uniform",
    l2: float = 0.0,
    mean: float = 0.0,
    name: str = "neumf",
) -> keras.Model:
    """Predicts the rating of a user for an item.

    A user's vector p is the row of an embedding table, an item's vector q likewise. Side features are projected, and
    with `user_side_dim` join p and q as inputs of the MLP; with None they are added into p, so that a user without
    ratings still has a vector. A history (the items a user rated) entered that way is SVD++'s.

    The rating is the last layer's output, plus p · q with `product` (p ⊙ q also joins the MLP), plus a number per
    user and one per item with `biases`, plus a linear function of the rating's context (`context_features`).

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        dim: Width of p and q. Default 32.
        user_features: Features of the user, histories included. Default ().
        item_features: Features of the item. Default ().
        context_features: Features of the rating's context. Default ().
        histories: Whether the features `user_history` and `item_history`, a `History` of items and one of users, come
            before the other features of users and items. Default False.
        user_side_dim: Width of the users' side projection in the MLP's input, or None to add it into p. Default None.
        item_side_dim: Width of the items' side projection in the MLP's input, or None to add it into q. Default None.
        product: Whether the vectors' product takes part. Default False.
        gmf_dim: Width of two further vectors, whose product u ⊙ v joins the MLP's last layer before the output (the
            published network's generalised matrix factorisation), or None for none. Default None.
        biases: Whether users and items have a bias each. Default False.
        hidden: Widths of the MLP; empty for none. Default (128, 64).
        batch_norm: Whether the MLP normalises before each activation. Default False.
        dropout: Dropout after each layer of the MLP, 0 to 1. Default 0.
        vector_dropout: Dropout on p and q, 0 to 1. Default 0.
        stddev: Standard deviation of the initial values of the vectors and what is added into them. Default 0.05.
        initializer: Keras initialiser of the kernels of the MLP, the output and the side projections, or what
            `keras.initializers.get` takes. Default "glorot_uniform".
        l2: Factor of the penalty l2 · Σ w² on every table and kernel; l2 = 5e-6 has the gradient of torch's
            `weight_decay=1e-5`. Default 0.
        mean: Initial value of the output: the mean target. Default 0.
        name: Name of the model. Default "neumf".

    Returns:
        An uncompiled Functional model: inputs `user_id` and `item_id`, int32 (batch,), and one for each feature (two
        for a Bag, six for a History); output float32 (batch, 1), in the target's unit.

    Raises:
        ConfigurationError: If a size is below 1, a rate is outside [0, 1), two inputs share a name, or a
            `..._side_dim` is set where there is no feature.

    Example:
        >>> from kmodels.models import presets
        >>> model = neumf(944, 1683, item_features=[Categorical("decade", 9)], **presets.NEUMF["history"], mean=0.7)
        >>> sorted(tensor.name for tensor in model.inputs if "history" not in tensor.name)
        ['decade', 'item_id', 'user_id']
    """
    blocks.check_sizes(n_users=n_users, n_items=n_items, dim=dim)
    blocks.check_rates(dropout=dropout, vector_dropout=vector_dropout)
    if histories:
        user_features = [History("user_history", n_items, owners=n_users), *user_features]
        item_features = [History("item_history", n_users, owners=n_items), *item_features]
    user, item = Categorical("user_id", n_users), Categorical("item_id", n_items)
    tensors = blocks.inputs([user, item, *user_features, *item_features, *context_features])

    vectors, sides, factors, terms = [], [], [], []
    for prefix, entity, features, side_dim in (
        ("user", user, user_features, user_side_dim),
        ("item", item, item_features, item_side_dim),
    ):
        ids = tensors[entity.name]
        vector = blocks.embedding(ids, entity.size, dim, stddev=stddev, l2=l2, name=f"{prefix}_embedding")
        if side_dim is not None:
            blocks.check_sizes(**{f"{prefix}_side_dim": side_dim, f"number of {prefix}_features": len(features)})
            sides.append(
                blocks.project(features, tensors, side_dim, initializer=initializer, l2=l2, name=f"{prefix}_side")
            )
        elif features:
            small = keras.initializers.RandomNormal(stddev=stddev)
            side = blocks.project(
                features, tensors, dim, initializer=small, stddev=stddev, l2=l2, name=f"{prefix}_side"
            )
            vector = blocks.add([vector, side], name=f"{prefix}_vector")
        if vector_dropout:
            vector = layers.Dropout(vector_dropout, name=f"{prefix}_dropout")(vector)
        vectors.append(vector)
        if gmf_dim is not None:
            blocks.check_sizes(gmf_dim=gmf_dim)
            factors.append(blocks.embedding(ids, entity.size, gmf_dim, stddev=stddev, l2=l2, name=f"{prefix}_gmf"))
        if biases:
            terms.append(blocks.embedding(ids, entity.size, 1, stddev=0.0, l2=l2, name=f"{prefix}_bias"))

    if context_features:
        # Named after the user: in one context it is the same for all items, so it belongs to the user's tower.
        terms.append(
            blocks.project(context_features, tensors, 1, initializer="zeros", stddev=0.0, l2=l2, name="user_context")
        )

    joined = [*vectors, *sides]
    if product:
        joined.append(layers.Multiply(name="product")(vectors))
        terms.append(layers.Dot(axes=1, name="dot")(vectors))
    x = blocks.mlp(
        blocks.concatenate(joined, name="joined"),
        hidden,
        normalize=batch_norm,
        dropout=dropout,
        initializer=initializer,
        l2=l2,
    )
    if factors:
        x = blocks.concatenate([layers.Multiply(name="gmf")(factors), x], name="last")
    start = keras.initializers.Constant(mean)
    terms.append(blocks.dense(x, 1, initializer=initializer, l2=l2, bias_initializer=start, name="output"))
    return keras.Model(tensors, blocks.add(terms, name="rating"), name=name)


def towers(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Splits a NeuMF into the users' tower, the items' tower and the head that joins them; the weights are shared."""
    # A tower gives a list of float32 (batch, n), of which the first is the vector; the head takes both lists.
    names = {layer.name for layer in model.layers}
    # A factorisation without an MLP joins nothing but the product.
    frontier = [*model.get_layer("joined" if "joined" in names else "product").input]
    for name in ("gmf", "rating"):
        frontier += model.get_layer(name).input if name in names else []
    sides: dict[str, list[blocks.Tensor]] = {"user_id": [], "item_id": []}
    sources: dict[str, set[str]] = {"user_id": set(), "item_id": set()}
    for tensor in frontier:
        above = blocks.sources(tensor)
        mine = {"user_id", "item_id"} & above
        if len(mine) == 2:
            continue
        # A side projection depends on no id; its layer's name says whose it is.
        side = mine.pop() if mine else f"{backend.node_of(tensor).operation.name.split('_')[0]}_id"
        sides[side].append(tensor)
        sources[side] |= above
    user, item = (
        keras.Model([tensor for tensor in model.inputs if tensor.name in sources[side]], tensors)
        for side, tensors in sides.items()
    )
    return user, item, keras.Model(sides["user_id"] + sides["item_id"], model.outputs[0])
