"""Ratings drawn from known factors and known noise, and the lowest errors that are possible on them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError

__all__ = ["low_rank_ratings"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


# Standard deviations of the noise, of a user's and an item's bias, and of the products p_user · q_item.
_NOISE, _SD_BIAS, _SD_PRODUCT = 0.4, 0.25, 0.5


@dataclass(frozen=True, eq=False)
class SimulatedRatings:
    """Ratings, and what they were drawn from.

    Attributes:
        ratings: Columns user_id and item_id (int64, from 1) and rating (float32), one row per rating, ordered by user
            and item.
        mean: (rows,) each rating without its noise.
        rank: Width of the factors.
    """

    ratings: pd.DataFrame
    mean: Floats
    rank: int


def low_rank_ratings(
    n_users: int = 5000, n_items: int = 2000, n_ratings: int = 200_000, *, rank: int = 3, seed: int = 0
) -> SimulatedRatings:
    """Draws ratings 3 + b_user + b_item + p_user · q_item + ε from normal distributions.

    The biases have standard deviation 0.25, the products 0.5 and the noise ε 0.4. Ratings are neither rounded nor cut
    off at 1 and 5, so that the error of the generating model is the noise itself; 99 of 100 lie between 1 and 5.
    Activity of users and popularity of items are heavy-tailed; nobody rates an item twice.

    Args:
        n_users: Number of users. Default 5000.
        n_items: Number of items. Default 2000.
        n_ratings: Number of ratings, at least 5 for each user and at most half of all pairs. Default 200000.
        rank: Width of the factors p and q. Default 3.
        seed: Seed of all draws. Default 0.

    Returns:
        The ratings and their means.

    Raises:
        ConfigurationError: If a size or the rank is below 1, or the number of ratings does not fit.

    Example:
        >>> data = low_rank_ratings(100, 50, 1000)
        >>> len(data.ratings), data.ratings.columns.tolist()
        (1000, ['user_id', 'item_id', 'rating'])
        >>> round(float((data.ratings["rating"] - data.mean).std()), 1)
        0.4
    """
    for name, value in (("n_users", n_users), ("n_items", n_items), ("rank", rank)):
        if value < 1:
            raise ConfigurationError(f"{name} must be at least 1. Received: {name}={value}")
    if not 5 * n_users <= n_ratings <= n_users * n_items // 2:
        raise ConfigurationError(
            f"n_ratings must be from 5 · n_users = {5 * n_users} to half of all pairs = {n_users * n_items // 2}. "
            f"Received: n_ratings={n_ratings}"
        )
    rng = np.random.default_rng(seed)
    user, item = _draw_pairs(rng, n_users, n_items, n_ratings)
    scale = _scale(rank)
    mean = 3 + rng.normal(0, _SD_BIAS, n_users)[user] + rng.normal(0, _SD_BIAS, n_items)[item]
    p, q = rng.normal(0, scale, (n_users, rank)), rng.normal(0, scale, (n_items, rank))
    mean = mean + (p[user] * q[item]).sum(axis=1)
    rating = (mean + rng.normal(0, _NOISE, n_ratings)).astype(np.float32)
    table = pd.DataFrame({"user_id": user + 1, "item_id": item + 1, "rating": rating})
    return SimulatedRatings(table, mean, rank)


def summary(data: SimulatedRatings) -> dict[str, Any]:
    """The counts of a report: rows, users, items, sha256 (of the columns' bytes), rank and noise."""
    table = data.ratings
    return {
        "rows": len(table),
        "users": int(table["user_id"].nunique()),
        "items": int(table["item_id"].nunique()),
        "sha256": hashlib.sha256(b"".join(table[name].to_numpy().tobytes() for name in table)).hexdigest(),
        "rank": data.rank,
        "noise": _NOISE,
    }


def floors(
    data: SimulatedRatings, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64], *, sweeps: int = 200
) -> dict[str, float]:
    """Lowest RMSE on the test rows: of the generating model (oracle), and of the best estimate from training rows.

    The latter (learnable) is the posterior mean given the true standard deviations, found by Gibbs sampling, of which
    the first quarter of the sweeps is dropped (Salakhutdinov and Mnih, "Bayesian Probabilistic Matrix Factorization
    using Markov Chain Monte Carlo", ICML 2008).
    """
    rating = data.ratings["rating"].to_numpy(np.float64)
    user, item = (data.ratings[name].to_numpy() - 1 for name in ("user_id", "item_id"))
    posterior = _posterior_mean(data, user, item, rating, train, test, sweeps)
    errors = {"oracle": data.mean[test] - rating[test], "learnable": posterior - rating[test]}
    return {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}


def _scale(rank: int) -> float:
    """Standard deviation of one factor: both sides share it, which makes the products have theirs."""
    return float((_SD_PRODUCT**2 / rank) ** 0.25)


def _draw_pairs(rng: np.random.Generator, n_users: int, n_items: int, n_ratings: int) -> tuple[Ints, Ints]:
    """Draws who rates what: five items or more per user, both sides heavy-tailed, no pair twice."""
    wanted, surplus = n_ratings - 5 * n_users, rng.lognormal(0, 0.9, n_users)
    room = max(n_items * 3 // 4, -(-n_ratings // n_users)) - 5
    # The others make up for what the limit cuts off.
    for _ in range(100):
        surplus = np.minimum(surplus * wanted / surplus.sum(), room)
    counts = 5 + np.floor(surplus).astype(np.int64)
    open_users = np.flatnonzero(counts < room + 5)
    counts[rng.permutation(open_users)[: n_ratings - counts.sum()]] += 1
    weight = np.log(rng.permutation((np.arange(n_items) / n_items * 100 + 5.0) ** -1.0))
    chosen = []
    for start in range(0, n_users, 512):
        some = counts[start : start + 512]
        # The first n of a ranking by log weight + Gumbel noise are n draws without replacement.
        ranking = np.argsort(-(weight + rng.gumbel(size=(len(some), n_items))), axis=1)
        chosen += [np.sort(row[:count]) for row, count in zip(ranking, some, strict=True)]
    return np.repeat(np.arange(n_users), counts), np.concatenate(chosen)


def _posterior_mean(
    data: SimulatedRatings, user: Ints, item: Ints, rating: Floats, train: Ints, test: Ints, sweeps: int
) -> Floats:
    rng = np.random.default_rng(0)
    scale = _scale(data.rank)
    # The order of the items' half sweeps; the users' rows must be ascending too.
    train = train[np.argsort(user[train], kind="stable")]
    of_user, of_item, known = user[train], item[train], rating[train]
    by_item = np.argsort(of_item, kind="stable")
    n_users, n_items = int(user.max()) + 1, int(item.max()) + 1
    x_user = np.concatenate([np.zeros((n_users, 1)), rng.normal(0, scale, (n_users, data.rank))], axis=1)
    x_item = np.concatenate([np.zeros((n_items, 1)), rng.normal(0, scale, (n_items, data.rank))], axis=1)
    prior = np.array([_SD_BIAS] + [scale] * data.rank)

    def both(users: Ints, items: Ints) -> Floats:
        product = np.einsum("ij,ij->i", x_user[users, 1:], x_item[items, 1:])
        return x_user[users, 0] + x_item[items, 0] + product

    total, kept = np.zeros(len(test)), 0
    for sweep in range(sweeps):
        left = known - both(of_user, of_item)
        middle = rng.normal(left.mean(), _NOISE / np.sqrt(len(known)))
        above = known - middle
        x_user = draw_side(rng, of_user, x_item[of_item], above, prior, n_users, _NOISE)
        x_item = draw_side(rng, of_item[by_item], x_user[of_user[by_item]], above[by_item], prior, n_items, _NOISE)
        if sweep >= sweeps // 4:
            total += middle + both(user[test], item[test])
            kept += 1
    return total / kept


def draw_side(
    rng: np.random.Generator, group: Ints, other: Floats, target: Floats, prior: Floats, size: int, noise: float
) -> Floats:
    """Draws bias and factors of every user (or item) given the other side; `group` is ascending.

    Each is a linear regression of its ratings, less the others' biases, on (1, the others' factors).
    """
    design = other.copy()
    target = target - other[:, 0]
    design[:, 0] = 1
    counts = np.bincount(group, minlength=size)
    first = (np.cumsum(counts) - counts)[counts > 0]
    gram = np.zeros((size, design.shape[1], design.shape[1]))
    right = np.zeros((size, design.shape[1]))
    gram[counts > 0] = np.add.reduceat(design[:, :, None] * design[:, None, :], first, axis=0)
    right[counts > 0] = np.add.reduceat(design * target[:, None], first, axis=0)
    return draw_coefficients(rng, gram, right, prior, noise)


def draw_coefficients(rng: np.random.Generator, gram: Floats, right: Floats, prior: Floats, noise: float) -> Floats:
    """Draws the coefficients (n, d) of n linear regressions from their posteriors; `prior` has the deviations (d,)."""
    precision = gram / noise**2 + np.diag(prior**-2)
    root = np.linalg.cholesky(precision)
    mean = np.linalg.solve(precision, right[..., None] / noise**2)
    deviation = np.linalg.solve(root.transpose(0, 2, 1), rng.normal(size=(*right.shape, 1)))
    drawn: Floats = np.asarray(mean + deviation, np.float64)[..., 0]
    return drawn
