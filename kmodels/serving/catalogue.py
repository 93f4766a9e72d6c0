"""Every item scored for a user."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kmodels.models.neumf import towers
from kmodels.pipelines import Batches


def catalogue_scores(
    model: keras.Model, users: Batches, items: Batches, *, block: int = 65_536
) -> Callable[[np.ndarray], np.ndarray]:
    """Prepares a fitted NeuMF to score all items for any user.

    The model is cut into what depends on the user alone, on the item alone and on both: the first two run once per
    user and item, so that only the small last part runs for each pair.

    Args:
        model: A model of `models.neumf` or one of its variants.
        users: The user inputs of the model, one row for each row of the users' table, unshuffled.
        items: The item inputs, one row for each row of the items' table, unshuffled.
        block: Pairs scored at a time, which bounds the memory. Default 65536.

    Returns:
        A function from user ids, (n,) integers, to scores, float32 (n, n_items), in the target's unit.

    Example:
        >>> from kmodels.models import neumf
        >>> model = neumf(3, 4, dim=2, hidden=(4,))
        >>> users = Batches({"user_id": np.arange(3, dtype="int32")})
        >>> items = Batches({"item_id": np.arange(4, dtype="int32")})
        >>> catalogue_scores(model, users, items)(np.array([1, 2])).shape
        (2, 4)
    """
    user_tower, item_tower, head = towers(model)
    user_parts = keras.tree.flatten(user_tower.predict(users, verbose=0))
    item_parts = keras.tree.flatten(item_tower.predict(items, verbose=0))
    n_items = len(item_parts[0])

    def score(user_ids: np.ndarray) -> np.ndarray:
        result = np.empty((len(user_ids), n_items), np.float32)
        step = max(1, block // n_items)
        for start in range(0, len(user_ids), step):
            some = user_ids[start : start + step]
            pairs = [np.repeat(part[some], n_items, axis=0) for part in user_parts]
            pairs += [np.tile(part, (len(some), 1)) for part in item_parts]
            result[start : start + step] = head.predict_on_batch(pairs).reshape(len(some), n_items)
        return result

    return score
