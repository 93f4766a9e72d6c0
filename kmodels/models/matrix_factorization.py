"""Neural matrix factorisation: biases, the product of two vectors, and an MLP on both.

Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender Systems", Computer 42 (8), 2009 (biases and
product); He et al., "Neural Collaborative Filtering", WWW 2017 (the product and an MLP joined in the last layer). An
MLP on the two vectors alone would need far more ratings to learn their product (Rendle et al., "Neural Collaborative
Filtering vs. Matrix Factorization Revisited", RecSys 2020), which is why every preset has the product. The
networks of the reference notebook had the MLP alone: `neumf(5000, 2000, dim=8, hidden=(16,))` is its A_small.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike

from kmodels.features import Categorical
from kmodels.models import blocks


def matrix_factorization(
    n_users: int,
    n_items: int,
    *,
    dim: int = 16,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    l2: float = 0.0,
    bias_l2: float = 0.0,
    kernel_l2: float = 0.0,
    stddev: float = 0.1,
    mean: float = 0.0,
    name: str = "matrix_factorization",
) -> keras.Model:
    """Predicts the rating of a user for an item.

    With the user's vector p and the item's q, it is b_user + b_item + h · (p ⊙ q) + c, and with an MLP also
    g · MLP(p, q, p ⊙ q). The weights h start at 1, as a plain product; as they are learnt without a penalty, those of
    superfluous dimensions are left behind, and the vectors find their rank. The penalties should be smaller the more
    ratings there are: l2 = 30 · (variance of the ratings) / (number of training ratings) is a good start.

    Args:
        n_users: Rows of the users' table, row 0 for unknown users included.
        n_items: Rows of the items' table, row 0 for unknown items included.
        dim: Width of p and q. Default 16.
        hidden: Widths of the MLP; empty for none. Default ().
        activation: Name of the MLP's Keras activation. Default "relu".
        l2: Factor of the penalty l2 · Σ w² on p and q. Default 0.
        bias_l2: Factor of the penalty on the biases. Default 0.
        kernel_l2: Factor of the penalty on the MLP's kernels. Default 0.
        stddev: Standard deviation of the initial p and q. Default 0.1.
        mean: Initial value of c: the mean rating. Default 0.
        name: Name of the model. Default "matrix_factorization".

    Returns:
        An uncompiled Functional model: inputs `user_id` and `item_id`, int32 (batch,); output float32 (batch, 1), in
        the target's unit.

    Raises:
        ConfigurationError: If a size is below 1.

    Example:
        >>> from kmodels.models import presets
        >>> matrix_factorization(5001, 2001, **presets.MATRIX_FACTORIZATION["a_small"]).count_params()
        63443
    """
    blocks.check_sizes(n_users=n_users, n_items=n_items, dim=dim, hidden=hidden)
    tensors = blocks.inputs([Categorical("user_id", n_users), Categorical("item_id", n_items)])
    vectors, terms = [], []
    for prefix, size in (("user", n_users), ("item", n_items)):
        ids = tensors[f"{prefix}_id"]
        vectors.append(blocks.embedding(ids, size, dim, stddev=stddev, l2=l2, name=f"{prefix}_embedding"))
        terms.append(blocks.embedding(ids, size, 1, stddev=0.0, l2=bias_l2, name=f"{prefix}_bias"))
    product = layers.Multiply(name="product")(vectors)
    start = keras.initializers.Constant(mean)
    terms.append(blocks.dense(product, 1, initializer="ones", bias_initializer=start, name="product_output"))
    if hidden:
        joined = blocks.concatenate([*vectors, product], name="joined")
        x = blocks.mlp(joined, hidden, activation=activation, l2=kernel_l2)
        terms.append(blocks.dense(x, 1, use_bias=False, name="output"))
    return keras.Model(tensors, blocks.add(terms, name="rating"), name=name)


def priors(
    ratings: ArrayLike, *, l2_rows: float = 30.0, bias_rows: float = 5.0, kernel_l2: float = 6e-3
) -> dict[str, float]:
    """The mean of training ratings and penalties as `matrix_factorization` takes them.

    A penalty on a mean loss acts as a prior: it weighs less the more rows there are, and grows with the loss's unit.
    `l2_rows` and `bias_rows` are multiplied by variance ÷ rows, `kernel_l2` by the variance.
    """
    train = np.asarray(ratings)
    variance, rows = float(train.var()), len(train)
    penalties = {"l2": l2_rows * variance / rows, "bias_l2": bias_rows * variance / rows}
    return {"mean": float(train.mean()), **penalties, "kernel_l2": kernel_l2 * variance}
