"""A fitted NeuMF cut into what depends on users, on items and on both: scores of all items, and vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from kmodels import training
from kmodels.models.neumf import towers
from kmodels.pipelines import Batches

Array: TypeAlias = npt.NDArray[np.float32]
Parts: TypeAlias = Sequence[Array]

_ITEMS = 4096  # scored at a time: what is computed of some users stays in the processor's cache


def catalogue_scores(
    model: keras.Model, users: Batches, items: Batches, *, block: int = 65_536
) -> Callable[[np.ndarray], np.ndarray]:
    """Prepares a fitted NeuMF to score all items for any user.

    The model is cut into what depends on the user alone, on the item alone and on both: the first two run once per
    user and item, so that only the small last part runs for each pair. Where that has one hidden layer at most and no
    batch normalisation, the layer is a sum of a user's half, an item's half and a product of matrices, in NumPy.

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

    encode: Callable[[Batches], Array]
    score: Callable[[Array], Array]
    items: Array


def cut(model: keras.Model, items: Batches, *, block: int = 65_536) -> Cut:
    """Cuts a fitted NeuMF into what depends on users, on items and on both."""
    user_tower, item_tower, head = towers(model)
    widths = [tensor.shape[1] for tensor in user_tower.outputs]
    item_parts = keras.tree.flatten(item_tower.predict(items, verbose=0))
    joined = keras.ops.concatenate(user_tower.outputs, axis=1) if len(widths) > 1 else user_tower.outputs[0]
    tower = keras.Model(user_tower.inputs, joined)
    if _has_one_layer(model):
        of_parts = _by_halves(model, user_tower, item_tower, item_parts, block)
    else:
        of_parts = _by_head(head, item_parts, block)

    def encode(users: Batches) -> Array:
        return training.predict(tower, users).reshape(-1, sum(widths))

    def score(rows: Array) -> Array:
        return of_parts(np.split(rows, np.cumsum(widths)[:-1], axis=1))

    return Cut(encode, score, item_parts[0])


def _by_head(head: keras.Model, item_parts: Parts, block: int) -> Callable[[Parts], Array]:
    """The last part of the model, run for each pair."""
    n_items = len(item_parts[0])

    def score(user_parts: Parts) -> Array:
        result = np.empty((len(user_parts[0]), n_items), np.float32)
        step = max(1, block // n_items)
        for start in range(0, len(result), step):
            some = [part[start : start + step] for part in user_parts]
            pairs = [np.repeat(part, n_items, axis=0) for part in some]
            pairs += [np.tile(part, (len(some[0]), 1)) for part in item_parts]
            result[start : start + step] = head.predict_on_batch(pairs).reshape(len(some[0]), n_items)
        return result

    return score


def _has_one_layer(model: keras.Model) -> bool:
    """Whether what follows the two vectors has one hidden layer at most, and nothing between it and the output."""
    names = {layer.name for layer in model.layers}
    return {"joined", "output"} <= names and not names & {"gmf", "mlp_1_bn", "mlp_2", "product_output"}


def _by_halves(
    model: keras.Model, user_tower: keras.Model, item_tower: keras.Model, item_parts: Parts, block: int
) -> Callable[[Parts], Array]:
    """The last part of the model as products of matrices.

    A hidden unit is relu(a + b + (w ⊙ u) · v): a is the user's half, b the item's, and w weighs the product of their
    vectors u and v. The model's other terms are the user's, the item's or u · v.
    """
    names = {layer.name for layer in model.layers}
    is_hidden = "mlp_1" in names
    kernel, bias = model.get_layer("mlp_1" if is_hidden else "output").get_weights()
    last, constant = model.get_layer("output").get_weights() if is_hidden else (np.ones((1, 1), np.float32), 0)
    joined = model.get_layer("joined").input
    bounds = np.cumsum([tensor.shape[1] for tensor in joined])[:-1]
    rows = {id(tensor): some for tensor, some in zip(joined, np.split(kernel, bounds), strict=True)}
    of_user, of_item = ([rows.pop(id(each), None) for each in tower.outputs] for tower in (user_tower, item_tower))
    dim, n_items = item_parts[0].shape[1], len(item_parts[0])
    (of_product,) = rows.values() or [np.zeros((dim, len(bias)), np.float32)]
    item_half, item_terms = _half(item_parts, of_item, len(bias))
    vectors = np.concatenate([item_parts[0], np.ones((n_items, 1), np.float32)], axis=1).T
    dot, size, sign = np.float32("dot" in names), np.abs(last[:, 0]), np.sign(last[:, 0])

    libraries = ThreadpoolController()

    def score(user_parts: Parts) -> Array:
        half, terms = _half(user_parts, of_user, len(bias))
        result = np.empty((len(half), n_items), np.float32)
        # relu(x) · w = sign(w) · relu(x · |w|): the user's half, the item's half and the product in one matrix product.
        left = np.empty((len(bias), len(half), dim + 2), np.float32)
        left[:, :, :dim] = user_parts[0] * (of_product * size).T[:, None]
        left[:, :, dim] = ((half + bias) * size).T
        left[:, :, dim + 1] = size[:, None]

        def fill(some: slice, those: slice) -> None:
            found = np.matmul(user_parts[0][some] * dot, vectors[:dim, those])
            found += terms[some, None] + constant
            found += item_terms[those]
            right = np.empty((dim + 2, found.shape[1]), np.float32)
            right[:-1] = vectors[:, those]
            x = np.empty_like(found)
            for unit in range(len(bias)):
                right[-1] = item_half[those, unit]
                np.matmul(left[unit, some], right, out=x)
                if is_hidden:
                    np.maximum(x, 0, out=x)
                (np.add if sign[unit] > 0 else np.subtract)(found, x, out=found)
            result[some, those] = found

        width = min(n_items, _ITEMS)
        height = max(1, block // width)
        starts = product(range(0, len(half), height), range(0, n_items, width))
        # Threads of our own share more than the matrix products.
        with libraries.limit(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            [*pool.map(lambda at: fill(slice(at[0], at[0] + height), slice(at[1], at[1] + width)), starts)]
        return result

    return score


def _half(parts: Parts, rows: Sequence[Array | None], units: int) -> tuple[Array, Array]:
    """What the parts of users, or of items, add to each hidden unit, (n, units), and to the output, (n,)."""
    half, terms = np.zeros((len(parts[0]), units), np.float32), np.zeros(len(parts[0]), np.float32)
    for part, each in zip(parts, rows, strict=True):
        if each is None:
            terms += part[:, 0]
        else:
            half += part @ each
    return half, terms
