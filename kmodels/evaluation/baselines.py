"""Baselines of ratings: global mean, biases and matrix factorization.

Each is fitted to training rows of encoded ids (1 to size - 1; row 0 of every table is the unknown and stays zero),
with settings chosen on validation rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kmodels import checks
from kmodels.evaluation.regression import rmse

__all__ = ["fit_rating_baselines"]

FloatArray = npt.NDArray[np.float64]

#: Regularisation of the biases, of which the best on validation is chosen.
STRENGTHS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
_VANISHED = 1e-3  # below that, factors do not grow again
_SWEEPS, _PATIENCE = 30, 3  # of alternating least squares, at most and without a better one


@dataclass(frozen=True, eq=False)
class RatingBaseline:
    """Prediction mean + user bias + item bias + user factors · item factors.

    Predictions are clipped to the range of the training ratings; scores are not, so that clipping makes no ties.
    """

    mean: float  # training rating
    bounds: tuple[float, float]  # lowest and highest training rating
    users: FloatArray  # (n_users, dimension + 1): factors, then the bias; 0 for users without training rows
    items: FloatArray  # (n_items, dimension + 1), likewise
    settings: dict[str, float]  # what was chosen, such as {"regularisation": 5.0}

    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Predicts ratings (rows,), float64, within `bounds`, given user and item ids (rows,)."""
        user = self.users[checks.ids(users, "users", len(self.users))]
        item = self.items[checks.ids(items, "items", len(self.items))]
        checks.same_length(users=user, items=item)
        product = np.einsum("rd,rd->r", user[:, :-1], item[:, :-1])
        return np.clip(self.mean + user[:, -1] + item[:, -1] + product, *self.bounds)

    def scores(self, users: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Predicts ratings before clipping, (n, n_items) float32, of all items given user ids (n,)."""
        user = self.users[checks.ids(users, "users", len(self.users))]
        left = np.concatenate([user[:, :-1], self.mean + user[:, -1:], np.ones((len(user), 1))], axis=1)
        right = np.concatenate([self.items[:, :-1], np.ones((len(self.items), 1)), self.items[:, -1:]], axis=1)
        return left.astype(np.float32) @ right.astype(np.float32).T


class Train(NamedTuple):
    """Training rows as sparse tables (n_users, n_items): how many ratings, and their sum above the mean."""

    mean: float
    bounds: tuple[float, float]
    counts: sparse.csr_array
    sums: sparse.csr_array


def fit_rating_baselines(
    users: npt.NDArray[Any],
    items: npt.NDArray[Any],
    ratings: npt.NDArray[Any],
    split: Sequence[npt.NDArray[np.int64]],
    *,
    n_users: int,
    n_items: int,
) -> dict[str, RatingBaseline]:
    """Fits the baselines of a recommender to the training rows, with settings chosen on the validation rows.

    Args:
        users: (rows,) user ids, 0 (unknown) to n_users - 1.
        items: (rows,) item ids, 0 (unknown) to n_items - 1.
        ratings: (rows,) ratings of any scale.
        split: Positions of the training and the validation rows; further parts are not looked at.
        n_users: Rows of the users' table, row 0 included.
        n_items: Rows of the items' table, row 0 included.

    Returns:
        `global_mean`; `biases`, a bias for each user and item by ridge regression (Koren, Bell & Volinsky, 2009);
        `matrix_factorization`, with factors by alternating least squares (Zhou et al., 2008).

    Raises:
        DataError: No rows, different lengths, ids out of range, or missing ratings.

    Example:
        >>> users, items = np.repeat([1, 2, 3], 4), np.tile([1, 2, 3, 4], 3)
        >>> ratings = np.array([5, 4, 1, 5, 4, 5, 2, 4, 5, 5, 1, 4])
        >>> split = np.array([0, 2, 5, 6, 8, 10]), np.array([1, 4, 9])
        >>> fitted = fit_rating_baselines(users, items, ratings, split, n_users=4, n_items=5)
        >>> fitted["global_mean"].predict([3], [2]).tolist(), fitted["biases"].settings
        ([3.1666666666666665], {'regularisation': 2.0})
    """
    train, (user, item, rating) = ((users[rows], items[rows], ratings[rows]) for rows in split[:2])
    tables = training_tables(*train, n_users, n_items)

    def error(fitted: RatingBaseline) -> float:
        return rmse(rating, fitted.predict(user, item))

    biases = [fit_biases(tables, STRENGTHS[0])]
    for strength in STRENGTHS[1:]:
        biases.append(fit_biases(tables, strength, biases[-1]))
    return {
        "global_mean": RatingBaseline(
            tables.mean, tables.bounds, np.zeros((n_users, 1)), np.zeros((n_items, 1)), settings={}
        ),
        "biases": min(biases, key=error),
        "matrix_factorization": fit_matrix_factorization(tables, error),
    }


def fit_biases(train: Train, regularisation: float, start: RatingBaseline | None = None) -> RatingBaseline:
    """Minimises Σ (r - mean - b_u - b_i)² + λ (Σ b_u² + Σ b_i²) by turns, which may start with another fit's biases."""
    counts = train.counts.astype(np.float64)
    by_item = counts.T.tocsr()
    user_count, item_count = counts.sum(axis=1), counts.sum(axis=0)
    user_sum, item_sum = (train.sums.sum(axis=axis, dtype=np.float64) for axis in (1, 0))
    active_users, active_items = user_count > 0, item_count > 0
    user_bias, item_bias = np.zeros(len(user_count)), np.zeros(len(item_count))
    if start is not None:
        user_bias, item_bias = start.users[:, -1], start.items[:, -1]
    for _ in range(1000):
        before = user_bias, item_bias
        user_bias = (user_sum - counts @ item_bias) / (user_count + regularisation)
        item_bias = (item_sum - by_item @ user_bias) / (item_count + regularisation)
        # Moving a constant from one side to the other changes only the penalty, and turns would take very long to
        # find its least: where both sides have the same sum.
        shift = (item_bias.sum() - user_bias.sum()) / max(active_users.sum() + active_items.sum(), 1)
        user_bias, item_bias = user_bias + shift * active_users, item_bias - shift * active_items
        if max(np.abs(user_bias - before[0]).max(), np.abs(item_bias - before[1]).max()) <= 1e-6:
            break
    settings = {"regularisation": regularisation}
    return RatingBaseline(train.mean, train.bounds, user_bias[:, None], item_bias[:, None], settings)


def fit_matrix_factorization(
    train: Train,
    error: Callable[[RatingBaseline], float],
    *,
    regularisations: Sequence[float] = (4.0, 6.0, 8.0, 11.0, 15.0),
    dimensions: Sequence[int] = (8, 16),
) -> RatingBaseline:
    """Fits mean + b_u + b_i + p_u · q_i by alternating least squares; λ, then the dimension by the least error.

    λ goes up from the middle of its values and then down for as long as the error falls. Each fit starts with the
    factors of the best one before, and ends three sweeps after its own best.
    """
    least, best = np.inf, None

    def improve(dimension: int, regularisation: float) -> bool:
        nonlocal least, best
        start, waited = best, 0
        for fitted in islice(alternate(train, dimension, regularisation, start), _SWEEPS):
            if (reached := error(fitted)) < least:
                least, best, waited = reached, fitted, 0
            else:
                waited += 1
                if waited == _PATIENCE:
                    break
        return best is not start

    middle = (len(regularisations) - 1) // 2
    improve(dimensions[0], regularisations[middle])
    for others in (regularisations[middle + 1 :], regularisations[:middle][::-1]):
        for value in others:
            if not improve(dimensions[0], value):
                break
    assert best is not None  # there is at least one sweep, and its error is a number
    for dimension in dimensions[1:]:
        improve(dimension, best.settings["regularisation"])
    return best


def alternate(
    train: Train, dimension: int, regularisation: float, start: RatingBaseline | None = None
) -> Iterator[RatingBaseline]:
    """The fit after each sweep of alternating least squares, without end; it may start with another fit's factors.

    The further factors of a larger dimension are at random, and so are all where the other's have vanished.
    """
    by_item, item_sums = train.counts.T.tocsr(), train.sums.T.tocsr()
    items = np.random.default_rng(0).normal(0, 0.1, (by_item.shape[0], dimension + 1)).astype(np.float32)
    items[:, -1] = 0
    if start is not None and np.abs(start.items[:, :-1]).max() > _VANISHED:
        known = min(start.items.shape[1] - 1, dimension)
        items[:, :known], items[:, -1] = start.items[:, :known], start.items[:, -1]
    before = 0 if start is None else start.settings["sweeps"]
    for sweep in count(before + 1):
        users = _half_sweep(train.counts, train.sums, items, regularisation)
        items = _half_sweep(by_item, item_sums, users, regularisation)
        settings = {"regularisation": regularisation, "dimension": dimension, "sweeps": sweep}
        tables = users.astype(np.float64), items.astype(np.float64)
        yield RatingBaseline(train.mean, train.bounds, *tables, settings)


def _half_sweep(
    counts: sparse.csr_array, sums: sparse.csr_array, others: npt.NDArray[np.float32], regularisation: float
) -> npt.NDArray[np.float32]:
    """Solves the ridge regression of every row on (factors, 1) of the other side; zero for a row without ratings."""
    n_rows, width = counts.shape[0], others.shape[1]
    design = np.concatenate([others[:, :-1], np.ones((len(others), 1), np.float32)], axis=1)
    # Only the lower triangle of each symmetric matrix is summed, in blocks of rows to bound memory.
    i, j = np.tril_indices(width)
    products = design[:, i] * design[:, j]
    right = sums @ design - counts @ (others[:, -1:] * design)
    n_ratings = np.diff(counts.indptr).astype(np.float32)
    solved = np.empty((n_rows, width), np.float32)
    diagonal = np.arange(width)
    for at in range(0, n_rows, 4096):
        block = slice(at, at + 4096)
        entries = counts[block] @ products
        matrices = np.empty((len(entries), width, width), np.float32)
        matrices[:, i, j] = matrices[:, j, i] = entries
        # Between a constant penalty and one in proportion to the row's ratings: better than either on MovieLens-100K.
        penalty = np.repeat(np.float32(regularisation) * (1 + n_ratings[block, None] / 200), width, axis=1)
        penalty[:, -1] = regularisation / 4
        matrices[:, diagonal, diagonal] += penalty
        solved[block] = np.linalg.solve(matrices, right[block, :, None])[:, :, 0]
    return solved


def training_tables(
    users: npt.ArrayLike, items: npt.ArrayLike, ratings: npt.ArrayLike, n_users: int, n_items: int
) -> Train:
    """The training rows, checked."""
    user, item = checks.ids(users, "users", n_users), checks.ids(items, "items", n_items)
    rating = checks.numbers(ratings, "ratings")
    checks.same_length(users=user, items=item, ratings=rating)
    mean = float(rating.mean())
    known = (user > 0) & (item > 0)  # so that row 0 stays zero
    pairs, shape = (user[known], item[known]), (n_users, n_items)
    counts = sparse.coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=shape).tocsr()
    sums = sparse.coo_array(((rating[known] - mean).astype(np.float32), pairs), shape=shape).tocsr()
    return Train(mean, (float(rating.min()), float(rating.max())), counts, sums)
