"""Baselines of ratings: global mean, biases and matrix factorization.

Each is fitted to training rows of encoded ids (1 to size - 1; row 0 of every table is the unknown and stays zero),
with settings chosen on validation rows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kmodels.evaluation import _columns
from kmodels.evaluation.regression import rmse

__all__ = ["fit_rating_baselines"]

FloatArray = npt.NDArray[np.float64]
Rows = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class RatingBaseline:
    """Prediction mean + user_bias[u] + item_bias[i] + user_factors[u] · item_factors[i].

    Predictions are clipped to the range of the training ratings; scores are not, so that clipping makes no ties.

    Attributes:
        mean: Mean training rating.
        lowest: Lowest training rating; predictions are not below it.
        highest: Highest training rating; predictions are not above it.
        user_bias: (n_users,) float64; 0 for users without training rows.
        item_bias: (n_items,) float64, likewise.
        user_factors: (n_users, dimension) float64; the dimension is 0 for the simpler baselines.
        item_factors: (n_items, dimension) float64.
        settings: What was chosen, such as `{"regularisation": 5.0}`.
    """

    mean: float
    lowest: float
    highest: float
    user_bias: FloatArray
    item_bias: FloatArray
    user_factors: FloatArray
    item_factors: FloatArray
    settings: dict[str, float]

    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Predicts ratings (rows,), float64, from `lowest` to `highest`, given user and item ids (rows,)."""
        user = _columns.ids(users, "users", len(self.user_bias))
        item = _columns.ids(items, "items", len(self.item_bias))
        _columns.same_length(users=user, items=item)
        product = np.einsum("rd,rd->r", self.user_factors[user], self.item_factors[item])
        rating = self.mean + self.user_bias[user] + self.item_bias[item] + product
        return np.clip(rating, self.lowest, self.highest)

    def scores(self, users: npt.ArrayLike) -> FloatArray:
        """Predicts ratings before clipping, (n, n_items) float64, of all items given user ids (n,)."""
        user = _columns.ids(users, "users", len(self.user_bias))
        bias = self.user_bias[user][:, None] + self.item_bias
        return self.mean + bias + self.user_factors[user] @ self.item_factors.T


class Train(NamedTuple):
    """Training rows as sparse tables (n_users, n_items): how many ratings, and their sum above the mean."""

    mean: float
    lowest: float
    highest: float
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
    train, held_out = ((users[rows], items[rows], ratings[rows]) for rows in split[:2])
    tables = training_tables(*train, n_users, n_items)
    return {
        "global_mean": fit_global_mean(tables),
        "biases": fit_biases(tables, held_out),
        "matrix_factorization": fit_matrix_factorization(tables, held_out),
    }


def fit_global_mean(train: Train) -> RatingBaseline:
    """Predicts the mean training rating for every row."""
    n_users, n_items = train.counts.shape
    return _baseline(train, np.zeros((n_users, 1)), np.zeros((n_items, 1)), {})


def fit_biases(
    train: Train, validation: Rows | None = None, *, regularisations: Sequence[float] = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
) -> RatingBaseline:
    """Minimises Σ (r - mean - b_u - b_i)² + λ (Σ b_u² + Σ b_i²) by turns; λ is chosen on the validation rows."""
    n_users, n_items = train.counts.shape
    user_count, item_count = train.counts.sum(axis=1), train.counts.sum(axis=0)
    user_sum, item_sum = train.sums.sum(axis=1), train.sums.sum(axis=0)
    active_users, active_items = user_count > 0, item_count > 0
    by_item = train.counts.T.tocsr()
    best, best_error = None, np.inf
    for regularisation in regularisations:
        user_bias, item_bias = np.zeros(n_users), np.zeros(n_items)
        for _ in range(1000):
            before = user_bias, item_bias
            user_bias = (user_sum - train.counts @ item_bias) / (user_count + regularisation)
            item_bias = (item_sum - by_item @ user_bias) / (item_count + regularisation)
            # Moving a constant from one side to the other changes only the penalty, and turns would take very
            # long to find its least: where both sides have the same sum.
            shift = (item_bias.sum() - user_bias.sum()) / max(active_users.sum() + active_items.sum(), 1)
            user_bias, item_bias = user_bias + shift * active_users, item_bias - shift * active_items
            moved = max(np.abs(user_bias - before[0]).max(), np.abs(item_bias - before[1]).max())
            if moved <= 1e-6:
                break
        settings = {"regularisation": float(regularisation)}
        fitted = _baseline(train, user_bias[:, None], item_bias[:, None], settings)
        error = _error(fitted, validation)
        if best is None or error < best_error:
            best, best_error = fitted, error
    assert best is not None  # the grid is not empty
    return best


def fit_matrix_factorization(
    train: Train,
    validation: Rows | None = None,
    *,
    regularisations: Sequence[float] = (4.0, 6.0, 8.0, 11.0, 15.0),
    dimensions: Sequence[int] = (8, 16),
    sweeps: int = 30,
) -> RatingBaseline:
    """Fits mean + b_u + b_i + p_u · q_i by alternating least squares; λ, then the dimension by validation rows."""

    def fit(dimension: int, regularisation: float) -> tuple[float, RatingBaseline]:
        return _alternate(train, dimension, regularisation, sweeps, validation)

    found = [fit(dimensions[0], regularisation) for regularisation in regularisations]
    chosen = min(found, key=lambda it: it[0])[1].settings["regularisation"]
    found += [fit(dimension, chosen) for dimension in dimensions[1:]]
    return min(found, key=lambda it: it[0])[1]


def _alternate(
    train: Train, dimension: int, regularisation: float, sweeps: int, validation: Rows | None
) -> tuple[float, RatingBaseline]:
    """The least validation error and its sweep (the last without such rows); three worse ones end the search."""
    by_item, item_sums = train.counts.T.tocsr(), train.sums.T.tocsr()
    items = np.random.default_rng(0).normal(0, 0.1, (by_item.shape[0], dimension + 1))
    items[:, -1] = 0
    best: tuple[float, RatingBaseline] | None = None
    for sweep in range(1, sweeps + 1):
        users = _half_sweep(train.counts, train.sums, items, regularisation)
        items = _half_sweep(by_item, item_sums, users, regularisation)
        settings = {"regularisation": float(regularisation), "dimension": dimension, "sweeps": sweep}
        fitted = _baseline(train, users, items, settings)
        current = _error(fitted, validation)
        if best is None or not current >= best[0]:
            best = current, fitted
        elif sweep - best[1].settings["sweeps"] >= 3:
            break
    assert best is not None  # there is at least one sweep
    return best


def _half_sweep(
    counts: sparse.csr_array, sums: sparse.csr_array, others: FloatArray, regularisation: float
) -> FloatArray:
    """Solves the ridge regression of every row on (factors, 1) of the other side; zero for a row without ratings."""
    n_rows, width = counts.shape[0], others.shape[1]
    design = np.concatenate([others[:, :-1], np.ones((len(others), 1))], axis=1)
    # Only the lower triangle of each symmetric matrix is summed, in blocks of rows to bound memory.
    i, j = np.tril_indices(width)
    products = design[:, i] * design[:, j]
    right = sums @ design - counts @ (others[:, -1:] * design)
    n_ratings = counts.sum(axis=1)
    solved = np.empty((n_rows, width))
    diagonal = np.arange(width)
    for at in range(0, n_rows, 4096):
        block = slice(at, at + 4096)
        entries = counts[block] @ products
        matrices = np.empty((len(entries), width, width))
        matrices[:, i, j] = matrices[:, j, i] = entries
        # Between a constant penalty and one in proportion to the row's ratings: better than either on MovieLens-100K.
        penalty = np.repeat(regularisation * (1 + n_ratings[block, None] / 200), width, axis=1)
        penalty[:, -1] = regularisation / 4
        matrices[:, diagonal, diagonal] += penalty
        solved[block] = np.linalg.solve(matrices, right[block, :, None])[:, :, 0]
    return solved


def training_tables(
    users: npt.ArrayLike, items: npt.ArrayLike, ratings: npt.ArrayLike, n_users: int, n_items: int
) -> Train:
    """The training rows, checked."""
    user, item = _columns.ids(users, "users", n_users), _columns.ids(items, "items", n_items)
    rating = _columns.numbers(ratings, "ratings")
    _columns.same_length(users=user, items=item, ratings=rating)
    mean = float(rating.mean())
    known = (user > 0) & (item > 0)  # so that row 0 stays zero
    pairs, shape = (user[known], item[known]), (n_users, n_items)
    counts = sparse.coo_array((np.ones(len(pairs[0])), pairs), shape=shape).tocsr()
    sums = sparse.coo_array((rating[known] - mean, pairs), shape=shape).tocsr()
    return Train(mean, float(rating.min()), float(rating.max()), counts, sums)


def _baseline(train: Train, users: FloatArray, items: FloatArray, settings: dict[str, float]) -> RatingBaseline:
    """From (factors, bias) of users and items."""
    return RatingBaseline(
        mean=train.mean,
        lowest=train.lowest,
        highest=train.highest,
        user_bias=users[:, -1],
        item_bias=items[:, -1],
        user_factors=users[:, :-1],
        item_factors=items[:, :-1],
        settings=settings,
    )


def _error(fitted: RatingBaseline, validation: Rows | None) -> float:
    """RMSE on the validation rows; NaN without any."""
    if validation is None:
        return float("nan")
    users, items, ratings = validation
    return rmse(ratings, fitted.predict(users, items))
