"""A fitted NeuMF cut into what depends on users, on items and on both: scores of all items, and vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from kmodels import training
from kmodels.models.neumf import towers
from kmodels.pipelines import Batches


def catalogue_scores(
    model: keras.Model, users: Batches, items: Batches, *, block: int = 65_536
) -> Callable[[np.ndarray], np.ndarray]:
    """Prepares a fitted NeuMF to score all items for any user.

    The model is cut into what depends on the user alone, on the item alone and on both: the first two run once per
    user and item, so that only the small last part runs for each pair.

    Args:
        model: A model of `models.neumf`.
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
    encode, score, _ = cut(model, items, block=block)
    parts = encode(users)
    return lambda user_ids: score(parts[user_ids])


class Cut(NamedTuple):
    """From users to rows of numbers, the vector first; from such rows to scores; and the vectors of the items."""

    encode: Callable[[Batches], npt.NDArray[np.float32]]
    score: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
    items: npt.NDArray[np.float32]


def cut(model: keras.Model, items: Batches, *, block: int = 65_536) -> Cut:
    """Cuts a fitted NeuMF into what depends on users, on items and on both."""
    user_tower, item_tower, head = towers(model)
    widths = [tensor.shape[1] for tensor in user_tower.outputs]
    bounds = np.cumsum(widths)[:-1]
    item_parts = keras.tree.flatten(item_tower.predict(items, verbose=0))
    n_items = len(item_parts[0])
    joined = keras.ops.concatenate(user_tower.outputs, axis=1) if len(widths) > 1 else user_tower.outputs[0]
    tower = keras.Model(user_tower.inputs, joined)

    def encode(users: Batches) -> npt.NDArray[np.float32]:
        return training.predict(tower, users).reshape(-1, sum(widths))

    def score(rows: np.ndarray) -> npt.NDArray[np.float32]:
        result = np.empty((len(rows), n_items), np.float32)
        step = max(1, block // n_items)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            pairs = [np.repeat(part, n_items, axis=0) for part in np.split(some, bounds, axis=1)]
            pairs += [np.tile(part, (len(some), 1)) for part in item_parts]
            result[start : start + step] = head.predict_on_batch(pairs).reshape(len(some), n_items)
        return result

    return Cut(encode, score, item_parts[0])
