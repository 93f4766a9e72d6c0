"""Rankers at work: what a model makes of people, and the scores of the whole catalogue that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import keras
import numpy as np
import numpy.typing as npt
from scipy import sparse

from kmodels import training
from kmodels.errors import ConfigurationError, DataError
from kmodels.models.two_tower import FREQUENCY, towers
from kmodels.pipelines import Batches, Ratings
from kmodels.preprocessing import Vocabulary
from kmodels.serving import catalogue

# People whose histories are dense at a time, scores that are held and that are sorted at a time, and columns whose
# maximum is looked at. Few large matrix products wait less for a core that is busy than many small ones do.
_PEOPLE, _SCORES, _SORTED, _GROUP = 64, 2**21, 2**17, 16


class People(NamedTuple):
    """Who asks.

    Attributes:
        users: (n,) raw ids, None for somebody without one.
        ratings: Sparse (n, n_items), what each has rated in the data's unit, oldest first; None for the training rows.
        weights: Gives the same entries as `pipelines.Ratings.interactions` weighs them.
    """

    users: npt.NDArray[Any]
    ratings: sparse.csr_array | None
    weights: Callable[[], sparse.csr_array]


@dataclass(frozen=True)
class Ranker:
    """A model cut in two: what it makes of people, and what it does with that.

    Attributes:
        encode: From people to rows, one for each.
        score: From such rows to the scores of all items, float32 (n, n_items).
        vectors: From people to float32 or sparse (n, dim), whose cosines say who is like whom.
        items: (n_items, dim), whose cosines say which items are alike.
        newcomers: Whether it knows more of a user than an id that had to be trained.
    """

    encode: Callable[[People], Any]
    score: Callable[[Any], npt.NDArray[np.float32]]
    vectors: Callable[[People], Any]
    items: npt.NDArray[np.float32]
    newcomers: bool = True


def ranker_scores(
    model: keras.Model, ratings: Ratings, known: sparse.csr_array | None = None
) -> Callable[[npt.NDArray[np.integer]], npt.NDArray[np.float32]]:
    """Prepares a fitted ranker to score all items for any user, by what its inputs are called.

    | inputs | models | a user is |
    |---|---|---|
    | `history` | `models.ease`, `models.item_autoencoder` | a row of `known` |
    | `sequence` | `models.sasrec` | the items of a row of `known`, in the order of its entries |
    | `user_id`, `item_id` and features | `models.neumf`, `models.two_tower` | a row of `Ratings.user_batches` |

    Args:
        model: The ranker.
        ratings: What it was trained on.
        known: What each user has, sparse (n_users, n_items), as `Ratings.interactions` gives it, weighed as in
            training; for sequences of rows in the order of time. None, the default, takes the training rows.

    Returns:
        A function from user ids, (n,) integers, to scores, float32 (n, n_items); a higher score ranks first, and row 0
        of the items, the unknown, has a score without meaning.

    Raises:
        ConfigurationError: If the model has other inputs.

    Example:
        >>> from kmodels import models
        >>> from kmodels.preprocessing import splits
        >>> import pandas as pd
        >>> user, item = np.divmod(np.arange(40), 10)
        >>> table = pd.DataFrame({"user_id": user, "item_id": item, "rating": 1.0 + item % 5})
        >>> ratings = Ratings.fit(table, splits.random_per_user(user, item, seed=0))
        >>> model = training.fit_ease(models.ease(ratings.n_items), ratings.interactions(), l2=1.0)
        >>> ranker_scores(model, ratings)(np.array([1, 2, 4])).shape
        (3, 11)
    """
    ranker = open_ranker(model, ratings)
    table, users = ratings.interactions() if known is None else known, vocabulary(ratings, "user_id")
    return lambda ids: ranker.score(ranker.encode(People(users.inverse(ids), None, lambda: table[ids])))


def vocabulary(ratings: Ratings, name: str) -> Vocabulary:
    """The encoder of `user_id` or `item_id`."""
    return cast(Vocabulary, ratings.encoders[name])


def open_ranker(model: keras.Model, ratings: Ratings) -> Ranker:
    """Cuts a ranker by what its inputs are called, as `ranker_scores` says."""
    names = {tensor.name for tensor in model.inputs}
    if names == {"history"}:
        ranker = _of_histories(model)
    elif names == {"sequence"}:
        ranker = _of_sequences(model)
    elif {"user_id", "item_id"} <= names:
        ranker = _of_towers(model, ratings) if FREQUENCY in names else _of_pairs(model, ratings)
    else:
        expected = "`history`, `sequence`, or `user_id`, `item_id` and features"
        raise ConfigurationError(f"a ranker's inputs are {expected}. Received: {', '.join(sorted(names))}")
    if len(ranker.items) != ratings.n_items:
        raise ConfigurationError(f"the ranker scores {len(ranker.items)} items, the ratings have {ratings.n_items}")
    return ranker


def _of_histories(model: keras.Model) -> Ranker:
    """Up to the last layer a history becomes a vector; the last layer's kernel has the vectors of the items."""
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.linear:
        raise ConfigurationError(f"a ranker of histories ends in a linear Dense layer. Received: {last.name}")
    kernel, *bias = last.get_weights()

    def score(rows: Any) -> npt.NDArray[np.float32]:
        return rows @ kernel + bias[0] if bias else rows @ kernel

    def encode(people: People) -> npt.NDArray[np.float32]:
        batches = Batches({"history": people.weights()}, batch_size=_PEOPLE)
        return training.predict(inner, batches).reshape(-1, len(kernel))

    if last.input is model.inputs[0]:
        return Ranker(lambda people: people.weights(), score, lambda people: people.weights(), kernel.T)
    inner = keras.Model(model.inputs, last.input)
    return Ranker(encode, score, encode, kernel.T)


def _of_sequences(model: keras.Model) -> Ranker:
    """What the last item of a sequence has become is multiplied by the vectors of the items."""
    if not {"norm", "items"} <= {layer.name for layer in model.layers}:
        raise ConfigurationError("a ranker of sequences has the layers `norm` and `items` of `models.sasrec`")
    (table,), length = model.get_layer("items").get_weights(), model.inputs[0].shape[1]
    states = keras.Model(model.inputs, model.get_layer("norm").output[:, -1])

    def encode(people: People) -> npt.NDArray[np.float32]:
        batches = Batches({"sequence": _last_items(people.weights(), length)}, batch_size=_PEOPLE)
        return training.predict(states, batches).reshape(-1, table.shape[1])

    return Ranker(encode, lambda rows: rows @ table.T, encode, table)


def _last_items(table: sparse.csr_array, length: int) -> npt.NDArray[np.int32]:
    """The last entries of each row, (n, length), padded with 0 at the left."""
    entry = table.indptr[1:, None] - np.arange(length, 0, -1)
    found = entry >= table.indptr[:-1, None]
    result = np.zeros(entry.shape, np.int32)
    result[found] = table.indices[entry[found]]
    return result


def _of_pairs(model: keras.Model, ratings: Ratings) -> Ranker:
    """A model of users and items whose last layers see both."""
    cut = catalogue.cut(model, ratings.item_batches(model))

    def encode(people: People) -> npt.NDArray[np.float32]:
        return cut.encode(ratings.user_batches(model, people.users, people.ratings))

    width, inputs = cut.items.shape[1], set(ratings.user_batches(model)[0][0])
    newcomers = bool(inputs - {"user_id", *ratings.context})
    return Ranker(encode, cut.score, lambda people: encode(people)[:, :width], cut.items, newcomers)


def _of_towers(model: keras.Model, ratings: Ratings) -> Ranker:
    """The vectors of users are multiplied by those of the items."""
    user_tower, item_tower = towers(model)
    items = training.predict(item_tower, ratings.item_batches(item_tower)).reshape(ratings.n_items, -1)

    def encode(people: People) -> npt.NDArray[np.float32]:
        batches = ratings.user_batches(user_tower, people.users, people.ratings)
        return training.predict(user_tower, batches).reshape(-1, items.shape[1])

    return Ranker(encode, lambda rows: rows @ items.T, encode, items, newcomers=len(user_tower.inputs) > 1)


def find(
    ranker: Ranker,
    people: People,
    k: int,
    preference: npt.NDArray[np.integer],
    *,
    seen: sparse.csr_array | None,
    candidates: npt.NDArray[np.integer] | None,
) -> tuple[npt.NDArray[Any], ...]:
    """The k best items of each of some people, as `best` gives them; few scores are held at a time."""
    width, parts = len(preference), []
    rows, step = ranker.encode(people) if len(people.users) else [], max(1, _SCORES // width)
    for start in range(0, len(people.users), step):
        scores = ranker.score(rows[start : start + step])
        scores[:, 0] = -np.inf
        if seen is not None:
            bounds = seen.indptr[start : start + len(scores) + 1]
            of_row = np.repeat(np.arange(len(scores)), np.diff(bounds))
            scores[of_row, seen.indices[bounds[0] : bounds[-1]]] = -np.inf
        if candidates is not None:
            scores[:, np.isin(np.arange(width), candidates, invert=True)] = -np.inf
        row, *others = best(scores, k, preference)
        parts.append((row + start, *others))
    parts = parts or [best(np.empty((0, width), np.float32), k, preference)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def best(scores: npt.NDArray[np.float32], k: int, preference: npt.NDArray[np.integer]) -> tuple[npt.NDArray[Any], ...]:
    """The k highest scores of each row, apart from -inf: row, rank from 1, column and score of each.

    Of equal scores the column of the lower preference comes first.
    """
    n, width = scores.shape
    # The k-th highest of the maxima of groups of columns is no more than the k-th highest score, and few are above it.
    groups = width // _GROUP
    maxima = scores[:, : groups * _GROUP].reshape(n, _GROUP, groups).max(axis=1) if groups >= k else scores
    bound = np.partition(maxima, maxima.shape[1] - k, axis=1)[:, maxima.shape[1] - k]
    if np.isnan(maxima).any() or np.isnan(scores[:, groups * _GROUP :]).any():
        raise DataError("a score is not a number")
    at = np.flatnonzero(scores >= np.maximum(bound, np.finfo(scores.dtype).min)[:, None])
    if n > 1 and len(at) > _SORTED:  # many are equal: to sort them all at a time takes memory
        del at
        upper, lower = best(scores[: n // 2], k, preference), best(scores[n // 2 :], k, preference)
        return tuple(np.concatenate(part) for part in zip(upper, (lower[0] + n // 2, *lower[1:]), strict=True))
    row, column = np.divmod(at, width)
    found = scores[row, column]
    order = np.lexsort((preference[column], -found, row))
    rank = np.arange(1, len(row) + 1) - np.searchsorted(row, row)
    first = rank <= k
    return row[first], rank[first], column[order][first], found[order][first]
