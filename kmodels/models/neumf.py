"""Neural matrix factorisation for ratings: user and item vectors, side features, histories, a product and an MLP.

He et al., "Neural Collaborative Filtering", WWW 2017 (the MLP and the product of the vectors); Koren, "Factorization
Meets the Neighborhood", KDD 2008 (biases, and histories: SVD++); Koren, "Collaborative Filtering with Temporal
Dynamics", KDD 2009 (what belongs to the moment of a rating).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, Feature, MultiHot, Numeric
from kmodels.models import blocks


def neumf(
    n_users: int,
    n_items: int,
    *,
    dim: int = 32,
    user_features: Sequence[Feature] = (),
    item_features: Sequence[Feature] = (),
    context_features: Sequence[Feature] = (),
    user_side_dim: int | None = None,
    item_side_dim: int | None = None,
    product: bool = False,
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

    A user's vector p is the row of an embedding table, an item's vector q likewise. Side features come in one of two
    ways: with `user_side_dim` set, they are projected to that width and join the MLP beside p and q; with None they
    are projected to `dim` and added into p, so that a user without ratings still has a vector. A history (the items a
    user rated, as `MultiHot` weights or a `Bag`) given that way is SVD++'s. The same holds for items.

    The rating is the last layer's output, plus p · q with `product` (p ⊙ q also joins the MLP), plus a number per
    user and one per item with `biases`, plus a linear function of what is known of the moment of the rating
    (`context_features`), as in Koren's day biases.

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        dim: Width of p and q. Default 32.
        user_features: Features of the user, histories included. Default ().
        item_features: Features of the item. Default ().
        context_features: Features of the moment of the rating, which are neither the user's nor the item's own.
            Default ().
        user_side_dim: Width of the users' side projection beside p, or None to add it into p. Default None.
        item_side_dim: Width of the items' side projection beside q, or None to add it into q. Default None.
        product: Whether the vectors' product takes part. Default False.
        biases: Whether users and items have a bias each. Default False.
        hidden: Widths of the MLP; empty for none. Default (128, 64).
        batch_norm: Whether the MLP normalises before each activation. Default False.
        dropout: Dropout after each layer of the MLP, 0 to 1. Default 0.
        vector_dropout: Dropout on p and q, 0 to 1. Default 0.
        stddev: Standard deviation of the initial values of the vectors and what is added into them. Default 0.05.
        initializer: Keras initialiser of the kernels of the MLP, the output and the projections beside the vectors.
            Default "glorot_uniform".
        l2: Factor of the penalty l2 · Σ w² on every table and kernel; l2 = 5e-6 has the gradient of torch's
            `weight_decay=1e-5`. Default 0.
        mean: Initial value of the output: the mean target. Default 0.
        name: Name of the model. Default "neumf".

    Returns:
        An uncompiled Functional model: inputs `user_id` and `item_id`, int32 (batch,), and one for each feature (two
        for a Bag); output float32 (batch, 1), in the target's unit.

    Raises:
        ConfigurationError: If a size is below 1, a rate is outside [0, 1), two inputs share a name, or a
            `..._side_dim` is set where there is no feature.

    Example:
        >>> model = neumf(944, 1683, item_features=[MultiHot("genres", 18)], product=True, biases=True)
        >>> sorted(tensor.name for tensor in model.inputs)
        ['genres', 'item_id', 'user_id']
        >>> model.output_shape
        (None, 1)
    """
    _check(n_users=n_users, n_items=n_items, dim=dim)
    for rate_name, rate in (("dropout", dropout), ("vector_dropout", vector_dropout)):
        if not 0 <= rate < 1:
            raise ConfigurationError(f"{rate_name} must be at least 0 and below 1. Received: {rate_name}={rate}")
    user, item = Categorical("user_id", n_users), Categorical("item_id", n_items)
    tensors = blocks.inputs([user, item, *user_features, *item_features, *context_features])

    vectors, sides, terms = [], [], []
    for prefix, entity, features, side_dim in (
        ("user", user, user_features, user_side_dim),
        ("item", item, item_features, item_side_dim),
    ):
        ids = tensors[entity.name]
        vector = blocks.embedding(ids, entity.size, dim, stddev=stddev, l2=l2, name=f"{prefix}_embedding")
        if side_dim is not None:
            _check(**{f"{prefix}_side_dim": side_dim, f"number of {prefix}_features": len(features)})
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
        if biases:
            terms.append(blocks.embedding(ids, entity.size, 1, stddev=0.0, l2=l2, name=f"{prefix}_bias"))

    if context_features:
        # Named after the user: at a given moment it is the same for all items, so it belongs to the user's tower.
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
        batch_norm=batch_norm,
        dropout=dropout,
        initializer=initializer,
        l2=l2,
    )
    start = keras.initializers.Constant(mean)
    terms.append(blocks.dense(x, 1, initializer=initializer, l2=l2, bias_initializer=start, name="output"))
    return keras.Model(tensors, blocks.add(terms, name="rating"), name=name)


def neumf_enhanced(n_users: int, n_items: int, *, n_genres: int = 18, l2: float = 5e-6) -> keras.Model:
    """NeuMF-Enhanced: the reference network for MovieLens-1M, layer by layer.

    Vectors of 32, three numbers of the user projected to 32 and the genres to 16, all joined into an MLP of 128 and
    64 with batch normalisation, ReLU and dropout 0.3; no product, no biases. Tables and kernels start as torch's do:
    at a standard deviation of 1, and uniform within 1 / √inputs. 326,193 trainable parameters at 6,040 users × 3,416
    items.

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        n_genres: Columns of the input `genres`. Default 18.
        l2: Factor of the penalty; the default has the gradient of torch's `weight_decay=1e-5`. Default 5e-6.

    Returns:
        An uncompiled Functional model: inputs `user_id` and `item_id`, int32 (batch,), `gender`, `age` and
        `occupation`, float32 (batch, 1), `genres`, float32 (batch, n_genres); output float32 (batch, 1), the rating
        divided by 5.

    Raises:
        ConfigurationError: If a size is below 1.

    Example:
        >>> model = neumf_enhanced(6040, 3416)
        >>> sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
        326193
    """
    return neumf(
        n_users,
        n_items,
        dim=32,
        user_features=[Numeric("gender"), Numeric("age"), Numeric("occupation")],
        item_features=[MultiHot("genres", n_genres)],
        user_side_dim=32,
        item_side_dim=16,
        hidden=(128, 64),
        batch_norm=True,
        dropout=0.3,
        stddev=1.0,
        initializer=keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform"),
        l2=l2,
        name="neumf_enhanced",
    )


def neumf_history(
    n_users: int,
    n_items: int,
    *,
    user_features: Sequence[Feature] = (),
    item_features: Sequence[Feature] = (),
    context_features: Sequence[Feature] = (),
    dim: int = 32,
    hidden: Sequence[int] = (32,),
    dropout: float = 0.3,
    vector_dropout: float = 0.2,
    mean: float = 0.7,
    l2: float = 1e-4,
    name: str = "neumf_history",
) -> keras.Model:
    """Factorisation from both rating histories, corrected by a small MLP.

    SVD++ on two sides: p sums the user's table row, what the user rated and how, and the user's features; q sums the
    item's table row, who rated it and how, and the item's features. The rating is two biases, p · q and a heavily
    regularised MLP on (p, q, p ⊙ q). In training a row's own rating must be left out of both histories, as
    `pipelines.History` does.

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        user_features: Further features of the user, added into p. Default ().
        item_features: Further features of the item, added into q. Default ().
        context_features: Features of the moment, such as what `preprocessing.context.nearby_surplus` gives; a
            linear function of them is added to the rating. Default ().
        dim: Width of p and q. Default 32.
        hidden: Widths of the MLP; empty for none. Default (32,).
        dropout: Dropout after each layer of the MLP, 0 to 1. Default 0.3.
        vector_dropout: Dropout on p and q, 0 to 1. Default 0.2.
        mean: Mean target, from which the output starts. Default 0.7, for ratings divided by 5.
        l2: Factor of the penalty on every table and kernel. Default 1e-4.
        name: Name of the model. Default "neumf_history".

    Returns:
        An uncompiled Functional model: inputs `user_id` and `item_id`, int32 (batch,), `user_history`, float32
        (batch, 2 · n_items), `item_history`, float32 (batch, 2 · n_users), and one for each further feature; output
        float32 (batch, 1), the rating divided by 5.

    Raises:
        ConfigurationError: If a size is below 1, a rate is outside [0, 1) or two inputs share a name.

    Example:
        >>> neumf_history(944, 1683).get_layer("user_history").output.shape
        (None, 3366)
    """
    return neumf(
        n_users,
        n_items,
        dim=dim,
        user_features=[MultiHot("user_history", 2 * n_items), *user_features],
        item_features=[MultiHot("item_history", 2 * n_users), *item_features],
        context_features=context_features,
        product=True,
        biases=True,
        hidden=hidden,
        dropout=dropout,
        vector_dropout=vector_dropout,
        stddev=0.02,
        l2=l2,
        mean=mean,
        name=name,
    )


def neumf_session(n_users: int, n_items: int, *, windows: int = 3, **settings: Any) -> keras.Model:
    """Factorisation from both rating histories, corrected by what the user gave around the same time.

    `neumf_history`, plus a linear function of the user's surplus over the expected within some windows of time
    around the rating, as `preprocessing.context.nearby_surplus` computes it.

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        windows: Numbers of the input `session`. Default 3.
        **settings: Further arguments of `neumf_history`.

    Returns:
        An uncompiled Functional model: the inputs of `neumf_history` and `session`, float32 (batch, windows), zeros
        where no moment is asked about; output float32 (batch, 1), the rating divided by 5.

    Raises:
        ConfigurationError: If a size is below 1, a rate is outside [0, 1) or two inputs share a name.

    Example:
        >>> model = neumf_session(944, 1683)
        >>> sorted(tensor.name for tensor in model.inputs)
        ['item_history', 'item_id', 'session', 'user_history', 'user_id']
    """
    session = [Numeric("session", windows)]
    return neumf_history(n_users, n_items, context_features=session, name="neumf_session", **settings)


def _check(**sizes: int) -> None:
    for what, size in sizes.items():
        if size < 1:
            raise ConfigurationError(f"{what} must be at least 1. Received: {what}={size}")


def towers(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Cuts a NeuMF into what depends on the user, on the item, and on both; the weights are shared.

    Args:
        model: A model of `neumf` or one of its variants.

    Returns:
        The users' tower (user inputs -> list of float32 (batch, n), of which the first is the vector), the items' tower
        likewise, and the head (the users' list followed by the items' list -> rating, float32 (batch, 1)).

    Example:
        >>> user, item, head = towers(neumf(10, 20, biases=True))
        >>> [tensor.name for tensor in user.inputs], len(user.outputs), len(head.inputs)
        (['user_id'], 2, 4)
    """
    names = {layer.name for layer in model.layers}
    frontier = [*model.get_layer("joined").input]
    if "rating" in names:
        frontier += model.get_layer("rating").input
    sides: dict[str, list[blocks.Tensor]] = {"user_id": [], "item_id": []}
    sources: dict[str, set[str]] = {"user_id": set(), "item_id": set()}
    for tensor in frontier:
        above = _sources(tensor)
        mine = {"user_id", "item_id"} & above
        if len(mine) == 2:
            continue
        # A projection beside the vectors hangs on no id; its layer's name says whose it is.
        side = mine.pop() if mine else f"{tensor._keras_history.operation.name.split('_')[0]}_id"
        sides[side].append(tensor)
        sources[side] |= above
    user, item = (
        keras.Model([tensor for tensor in model.inputs if tensor.name in sources[side]], tensors)
        for side, tensors in sides.items()
    )
    return user, item, keras.Model(sides["user_id"] + sides["item_id"], model.outputs[0])


def _sources(tensor: blocks.Tensor) -> set[str]:
    """Names of the model's inputs that a tensor depends on."""
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    if node.is_input:
        return {tensor.name}
    return set().union(*(_sources(parent) for parent in node.input_tensors))
