"""Models whose weights are computed at once, without steps."""

from __future__ import annotations

import keras
from scipy import sparse

from kmodels.errors import DataError
from kmodels.evaluation.item_weights import solve_ease, solve_slit


def fit_ease(
    model: keras.Model,
    histories: sparse.csr_array,
    *,
    l2: float,
    dropout: float = 0.0,
    item_features: sparse.csr_array | None = None,
) -> keras.Model:
    """Sets the weights of a model of `models.ease` to the best ones, in closed form.

    They minimise ‖X - X B‖² + l2 ‖B‖² over all B with a diagonal of 0, X being the histories (EASE). With dropout p
    they minimise the mean of that when the model's input is X with a share p of the entries set to 0 and the others
    divided by 1 - p (EDLAE). 3,400 items take seconds, 20,000 minutes and 4.8 GB.

    Args:
        model: A model of `models.ease`, changed in place.
        histories: Sparse (n_users, n_items), finite numbers: the inputs `history` of the training users, such as
            (rating / highest rating)² for each item that a user rated.
        l2: The penalty, above 0. Larger weights in longer histories need a larger one.
        dropout: Share of the entries, from 0 to below 1. Default 0.
        item_features: Sparse (n_items, k), such as `pipelines.Ratings.item_features`: each feature is one more history,
            of the items that have it. Larger values make items of like features more alike. Default None.

    Returns:
        The model itself, with its new weights.

    Raises:
        DataError: If histories or features have another number of items than the model, or a value is not finite.
        ConfigurationError: If l2 or dropout is out of range, or there are more than 20,000 items.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; Steck, "Autoencoders that don't
    overfit towards the Identity", NeurIPS 2020; for item features Jeunen, Van Balen & Goethals, "Closed-Form Models for
    Collaborative Filtering with Side-Information", RecSys 2020.

    Example:
        >>> import numpy as np
        >>> from kmodels import models
        >>> histories = sparse.csr_array(np.array([[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]], "float32"))
        >>> model = fit_ease(models.ease(4), histories, l2=1.0)
        >>> scores = model.predict_on_batch({"history": np.array([[0, 1, 0, 0]], "float32")})
        >>> scores[0, 1:].astype(float).round(3).tolist()
        [0.0, 0.625, 0.2]
    """
    n_items = _n_items(model, histories)
    if item_features is not None and item_features.shape[0] != n_items:
        raise DataError("features of another number of items", expected=f"({n_items}, k)", received=item_features.shape)
    model.get_layer("scores").set_weights([solve_ease(histories, l2, dropout, item_features)])
    return model


def fit_slit(
    model: keras.Model, sequences: sparse.csr_array, *, l2: float, half_life: float, backward: float = 0.0
) -> keras.Model:
    """Sets the weights of a model of `models.ease` to predict the next item of a sequence, in closed form.

    An input is a user's items up to some position, of which one counts half after `half_life` later ones, and the
    target is the item after it: least squares over all positions of all sequences, as SLIT of Choi et al. has them. The
    time is that of a table of all pairs of a user's items, for each user; 3,400 items take seconds.

    Args:
        model: A model of `models.ease`, changed in place.
        sequences: Sparse (n_users, n_items): the entries of a row are a user's items in order, oldest first, each once,
            such as `pipelines.Ratings.interactions` gives for rows in the order of `time_rank`. Their values do
            not matter.
        l2: The penalty, above 0.
        half_life: That of `pipelines.Ratings.interactions`, above 0; histories to be scored have it too, and `power` 0.
        backward: Weight of the same positions with the sequences read from the end, 0 to 1. Items close to each other
            belong together in either order, which matters the more where many have the same time. Default 0.

    Returns:
        The model itself, with its new weights.

    Raises:
        DataError: If there are sequences of another number of items than the model has, or an item stands twice in one.
        ConfigurationError: If l2, half_life or backward is out of range, or there are more than 20,000 items.

    Source: Choi, Kim, Lee, Shim & Lee, "Session-aware Linear Item-Item Models for Session-based Recommendation", WWW
    2021; there a target holds all later items, and sequences are read forward alone.

    Example:
        >>> import numpy as np
        >>> from kmodels import models
        >>> sequences = sparse.csr_array((np.ones(6), [1, 2, 3, 1, 2, 4], [0, 3, 6]), shape=(2, 5))
        >>> model = fit_slit(models.ease(5), sequences, l2=1.0, half_life=1.0)
        >>> scores = model.predict_on_batch({"history": np.array([[0, 1, 0, 0, 0]], "float32")})
        >>> scores[0, 1:].astype(float).round(3).tolist()
        [0.0, 0.632, 0.053, 0.053]
    """
    _n_items(model, sequences)
    model.get_layer("scores").set_weights([solve_slit(sequences, l2, half_life, backward)])
    return model


def _n_items(model: keras.Model, histories: sparse.csr_array) -> int:
    """The number of items of both."""
    n_items = model.output_shape[1]
    if histories.shape[1] != n_items:
        raise DataError(
            "another number of items than the model's", expected=f"(n_users, {n_items})", received=histories.shape
        )
    return n_items
