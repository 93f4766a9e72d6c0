"""Baselines of rankings: popularity, item-based nearest neighbours, EASE and implicit alternating least squares.

Each is fitted to training rows of encoded ids (1 to size - 1; rows of the unknown id 0 are left out), with settings
chosen on validation rows alone: by the mean NDCG@10 over the catalogue, where training rows are no candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kmodels import checks
from kmodels.errors import ConfigurationError
from kmodels.evaluation import ranking
from kmodels.evaluation.item_weights import solve_ease

__all__ = ["fit_ranking_baselines"]

Float32 = npt.NDArray[np.float32]
Settings = dict[str, Any]
Grid = Mapping[str, Sequence[Any]]

_WEEK = 7 * 24 * 3600
_MOST_BYTES = 2**30  # of tables of all pairs of items
_BLOCK = 2**24  # numbers in a table of a block of rows
_SWEEPS, _PATIENCE = 30, 3  # of alternating least squares
_MOST_USERS = 2000  # whose validation rows choose for all

# Each search starts from the middle.
_WEIGHTS = ("rated", "rating", "rating_squared", "liked")
_WEEKS: Grid = {"weeks": (1, 2, 4, 8, 13, 26, 52)}
_KNN: Grid = {"weight": _WEIGHTS, "neighbours": (25, 50, 100, 200, 400), "shrinkage": (0, 5, 10, 20, 50)}
_EASE: Grid = {"weight": _WEIGHTS, "l2": (25, 50, 100, 200, 400, 800, 1600)}
_ALS: Grid = {
    "regularisation": (3, 10, 20, 30, 50, 100, 300),
    "alpha": (1, 3, 10),
    "weight": _WEIGHTS,
    "dimension": (8, 16, 32, 64),
}


@dataclass(frozen=True, eq=False)
class RankingBaseline:
    """Scores of all items for any user; the highest rank first."""

    n_users: int
    score: Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]  # of ids that are in range
    settings: Settings  # what was chosen, such as {"weeks": 4}
    score_histories: Callable[[sparse.csr_array], npt.NDArray[Any]] | None = None  # (n, n_items) -> (n, n_items)

    def scores(self, users: npt.ArrayLike) -> npt.NDArray[Any]:
        """Scores (n, n_items) of all items given user ids (n,), 0 to n_users - 1."""
        return self.score(checks.ids(users, "users", self.n_users))

    def with_histories(self, tables: Mapping[str, sparse.csr_array]) -> Self:
        """The same weights for other histories, by the weight of their rows."""
        score = self.score_histories
        if score is None:
            return self
        histories = tables[self.settings["weight"]]
        return replace(self, score=lambda ids: score(histories[ids]))


Quality = Callable[[RankingBaseline], float]


def fit_ranking_baselines(
    users: npt.NDArray[Any],
    items: npt.NDArray[Any],
    ratings: npt.NDArray[Any],
    split: Sequence[npt.NDArray[np.int64]],
    *,
    n_users: int,
    n_items: int,
    scale: tuple[float, float] = (1.0, 5.0),
    timestamps: npt.NDArray[Any] | None = None,
    liked_only: bool = True,
) -> tuple[dict[str, RankingBaseline], dict[str, str]]:
    """Fits the baselines of a ranker to the training rows, with settings chosen on the validation rows.

    Once all is fitted and chosen, the histories that are scored hold training and validation rows: what is known by the
    time of the test.

    The settings of a baseline are searched one after the other, on the validation rows of at most 2,000 users, who are
    drawn where there are more. One of them is the weight of a training row: "rated" is 1; "liked" is 1 for a rating
    from three quarters up the scale and 0 for others; "rating" goes from 0.2 for the lowest rating to 1 for the
    highest, and "rating_squared" is the square of that.

    Args:
        users: (rows,) user ids, 0 (unknown) to n_users - 1.
        items: (rows,) item ids, 0 (unknown) to n_items - 1.
        ratings: (rows,) ratings on the scale.
        split: Positions of the training and the validation rows; further parts are not looked at.
        n_users: Rows of the users' table, row 0 included.
        n_items: Rows of the items' table, row 0 included.
        scale: Lowest and highest possible rating. Default (1.0, 5.0).
        timestamps: (rows,) seconds, for `recent_popularity`. Default None.
        liked_only: Whether validation rows below three quarters of the scale are irrelevant. Default True.

    Returns:
        First the baselines, each with `scores(user_ids) -> (n, n_items)` and `settings`:

        - `popularity`: training rows of the item;
        - `recent_popularity`: those of the last `weeks` before the latest training row;
        - `item_knn`: sums of cosines between items, divided by the norms plus `shrinkage`, over the user's items that
          are among an item's `neighbours` (Sarwar et al., "Item-Based Collaborative Filtering", WWW 2001);
        - `ease`: weights between items by ridge regression of strength `l2` (Steck, "Embarrassingly Shallow
          Autoencoders", WWW 2019);
        - `implicit_als`: factors of users and items, confidence 1 + alpha · weight (Hu, Koren & Volinsky,
          "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008).

        Second, name -> reason of those left out: `recent_popularity` without timestamps; `item_knn` and `ease` where
        tables of all pairs of items take more than 1 GiB (more than 16,384 and 9,459 items).

    Raises:
        DataError: No rows, different lengths, ids out of range, missing ratings or times, or a validation row that
            repeats a user and item.

    Example:
        >>> users, items = np.repeat([1, 2, 3], 4), np.tile([1, 2, 3, 4], 3)
        >>> ratings = np.array([5, 4, 1, 5, 4, 5, 2, 4, 5, 5, 1, 4])
        >>> split = np.array([0, 2, 5, 6, 8, 10]), np.array([1, 4, 9])
        >>> fitted, left_out = fit_ranking_baselines(users, items, ratings, split, n_users=4, n_items=5)
        >>> fitted["popularity"].scores([3]).tolist(), left_out
        ([[0, 2, 1, 3, 0]], {'recent_popularity': 'the ratings have no timestamps'})
    """
    train, validation = split[:2]
    user, item = checks.ids(users[train], "users", n_users), checks.ids(items[train], "items", n_items)
    rating, shape = checks.numbers(ratings[train], "ratings"), (n_users, n_items)
    checks.same_length(users=user, items=item, ratings=rating)
    known = (user > 0) & (item > 0)
    time = None if timestamps is None else checks.numbers(timestamps[train], "timestamps")[known]
    tables, item = tables_of(user, item, rating, scale, shape), item[known]
    some = np.random.default_rng(0).permutation(np.unique(users[validation]))[:_MOST_USERS]
    rows = validation[np.isin(users[validation], some)]
    held_out: dict[str, Any] = {"rows": rows, "seen": train, "n_items": n_items}
    held_out |= {"scale": scale, "liked_only": liked_only}

    def quality(fitted: RankingBaseline) -> float:
        table = ranking.rank_held_out(fitted.score, users, items, ratings, **held_out)
        return float(table["catalogue_ndcg_at_10"].mean()) if len(table) else 0.0

    fits: dict[str, tuple[Callable[..., RankingBaseline], Grid]] = {
        "popularity": (partial(fit_popularity, item, shape), {}),
        "recent_popularity": (partial(fit_popularity, item, shape, time), _WEEKS),
        "item_knn": (partial(fit_item_knn, tables, lru_cache(1)(lambda weight: co_occurrence(tables[weight]))), _KNN),
        "ease": (partial(fit_ease, tables), _EASE),
        "implicit_als": (partial(fit_implicit_als, tables, quality), _ALS),
    }
    fitted, left_out = {}, {}
    for name, (fit, grid) in fits.items():
        try:
            fitted[name] = tune(fit, grid, quality)
        except ConfigurationError as error:
            left_out[name] = str(error)
    later = np.concatenate([train, validation])
    histories = tables_of(users[later], items[later], ratings[later], scale, shape)
    return {name: each.with_histories(histories) for name, each in fitted.items()}, left_out


def tune(fit: Callable[..., RankingBaseline], grid: Grid, quality: Quality) -> RankingBaseline:
    """The best fit found by changing one setting after the other, from the middle of the grid on."""
    chosen = {name: values[(len(values) - 1) // 2] for name, values in grid.items()}
    best = fit(**chosen)
    highest = quality(best)
    for name, values in grid.items():
        for value in [value for value in values if value != chosen[name]]:
            other = fit(**chosen | {name: value})
            if (reached := quality(other)) > highest:
                best, highest = other, reached
        chosen[name] = best.settings[name]
    return best


def training_weights(ratings: npt.NDArray[np.float64], scale: tuple[float, float]) -> dict[str, npt.NDArray[Any]]:
    """Weights of rows, 0 to 1, by the name of a setting; a row of weight 0 does not count."""
    low, high = scale
    rating = 0.2 + 0.8 * (ratings - low) / (high - low)
    weights = {"rated": np.ones(len(ratings)), "rating": rating, "rating_squared": rating**2}
    return weights | {"liked": ratings >= ranking.relevant_from(scale)}


def tables_of(
    users: npt.NDArray[Any],
    items: npt.NDArray[Any],
    ratings: npt.NDArray[Any],
    scale: tuple[float, float],
    shape: tuple[int, int],
) -> dict[str, sparse.csr_array]:
    """Histories of rows without unknown ids, float32 (n_users, n_items), by the weight of the rows."""
    tables = {}
    for name, weight in training_weights(np.asarray(ratings, np.float64), scale).items():
        counts = (weight > 0) & (users > 0) & (items > 0)
        pairs = users[counts], items[counts]
        tables[name] = sparse.coo_array((weight[counts].astype(np.float32), pairs), shape=shape).tocsr()
    return tables


def fit_popularity(
    item: npt.NDArray[np.int64],
    shape: tuple[int, int],
    time: npt.NDArray[np.float64] | None = None,
    *,
    weeks: int | None = None,
) -> RankingBaseline:
    """Counts the rows of each item, or those of the last weeks."""
    settings = {}
    if weeks is not None:
        if time is None:
            raise ConfigurationError("the ratings have no timestamps")
        item, settings = item[time >= time.max(initial=0) - weeks * _WEEK], {"weeks": weeks}
    counts = np.bincount(item, minlength=shape[1])
    return RankingBaseline(shape[0], lambda ids: np.broadcast_to(counts, (len(ids), shape[1])), settings)


def fit_item_knn(
    tables: Mapping[str, sparse.csr_array],
    co_occurrence: Callable[[str], Float32],
    *,
    weight: str,
    neighbours: int,
    shrinkage: float,
) -> RankingBaseline:
    """Sums, over a user's items that are among the neighbours of an item, of weight · similarity."""
    histories, similar = tables[weight], nearest_items(co_occurrence(weight), neighbours, shrinkage)
    settings = {"weight": weight, "neighbours": neighbours, "shrinkage": shrinkage}

    def score(some: sparse.csr_array) -> npt.NDArray[Any]:
        return (some @ similar).toarray()

    return RankingBaseline(histories.shape[0], lambda ids: score(histories[ids]), settings, score)


def co_occurrence(histories: sparse.csr_array) -> Float32:
    """Products of the columns of all pairs of items, float32 (n_items, n_items)."""
    n_items = histories.shape[1]
    _check_size(n_items, 4)
    by_item, step = histories.T.tocsr(), max(1, _BLOCK // n_items)
    found = np.empty((n_items, n_items), np.float32)
    for at in range(0, n_items, step):
        found[at : at + step] = (by_item[at : at + step] @ histories).toarray()
    return found


def nearest_items(products: Float32, neighbours: int, shrinkage: float) -> sparse.csr_array:
    """Similarity product / (norm · norm + shrinkage) of each column's item to its neighbours, sparse.

    Where several are as similar as the last neighbour, all of them are kept.
    """
    n_items, norms, parts = len(products), np.sqrt(np.diagonal(products)), []
    step = max(1, _BLOCK // n_items)
    for at in range(0, n_items, step):
        block = products[at : at + step]
        scale = np.outer(norms[at : at + step], norms) + np.float32(shrinkage)
        similar = np.divide(block, scale, out=np.zeros_like(block), where=block > 0)
        np.fill_diagonal(similar[:, at:], 0)
        if neighbours < n_items:
            least = np.partition(similar, n_items - neighbours, axis=1)[:, [n_items - neighbours]]
            similar[similar < least] = 0
        parts.append(sparse.csr_array(similar))
    return sparse.vstack(parts).T.tocsr()


def fit_ease(tables: Mapping[str, sparse.csr_array], *, weight: str, l2: float) -> RankingBaseline:
    """The user's history times the weights of EASE."""
    histories = tables[weight]
    _check_size(histories.shape[1], 12)
    weights = solve_ease(histories, l2)

    def score(some: sparse.csr_array) -> npt.NDArray[Any]:
        return some @ weights

    settings = {"weight": weight, "l2": l2}
    return RankingBaseline(histories.shape[0], lambda ids: score(histories[ids]), settings, score)


def fit_implicit_als(
    tables: Mapping[str, sparse.csr_array],
    quality: Quality,
    *,
    weight: str,
    dimension: int,
    regularisation: float,
    alpha: float,
) -> RankingBaseline:
    """User factors · item factors after the best sweep."""
    settings = {"weight": weight, "dimension": dimension, "regularisation": regularisation, "alpha": alpha}
    sweeps = alternate(tables[weight], dimension, regularisation, alpha)
    best, highest = None, 0.0
    for sweep, (users, items) in zip(range(1, _SWEEPS + 1), sweeps, strict=False):
        chosen, fold_in = settings | {"sweeps": sweep}, partial(_fold_in, items, regularisation, alpha)
        fitted = RankingBaseline(len(users), partial(_products, users, items), chosen, fold_in)
        reached = quality(fitted)
        if best is None or reached > highest:
            best, highest = fitted, reached
        elif sweep - best.settings["sweeps"] >= _PATIENCE:
            break
    assert best is not None  # there is at least one sweep
    return best


def _products(users: Float32, items: Float32, ids: npt.NDArray[np.int64]) -> Float32:
    return users[ids] @ items.T


def _fold_in(items: Float32, regularisation: float, alpha: float, histories: sparse.csr_array) -> Float32:
    return solve_factors(histories, items, regularisation, alpha) @ items.T


def alternate(
    histories: sparse.csr_array, dimension: int, regularisation: float, alpha: float
) -> Iterator[tuple[Float32, Float32]]:
    """Factors of users and items after each sweep of alternating least squares, without end."""
    by_item = histories.T.tocsr()
    items = np.random.default_rng(0).normal(0, 0.1, (by_item.shape[0], dimension)).astype(np.float32)
    while True:
        users = solve_factors(histories, items, regularisation, alpha)
        items = solve_factors(by_item, users, regularisation, alpha)
        yield users, items


def solve_factors(table: sparse.csr_array, others: Float32, regularisation: float, alpha: float) -> Float32:
    """The factors x of each row that minimise Σ c (p - x · y)² + λ |x|² over all factors y of the other side.

    Entries have p = 1 and c = 1 + alpha · weight, all other pairs p = 0 and c = 1.
    """
    n_rows, width = table.shape[0], others.shape[1]
    more, solved = np.float32(alpha) * table.data, np.empty((n_rows, width), np.float32)
    shared = others.T @ others + np.float32(regularisation) * np.eye(width, dtype=np.float32)
    step = max(1, _BLOCK // width**2)
    for at in range(0, n_rows, step):
        part = solved[at : at + step]
        matrices, right = np.empty((len(part), width, width), np.float32), np.empty_like(part)
        for row in range(len(part)):
            entries = slice(table.indptr[at + row], table.indptr[at + row + 1])
            mine, extra = others[table.indices[entries]], more[entries]
            matrices[row] = shared + (mine.T * extra) @ mine
            right[row] = (1 + extra) @ mine
        part[:] = np.linalg.solve(matrices, right[:, :, None])[:, :, 0]
    return solved


def _check_size(n_items: int, bytes_per_pair: int) -> None:
    """Refuses a catalogue for which tables of all pairs of items take too much memory."""
    if (needed := bytes_per_pair * n_items**2) > _MOST_BYTES:
        raise ConfigurationError(
            f"tables of all pairs of {n_items:,} items take {needed / 2**30:.1f} GiB, more than a baseline may: "
            f"{_MOST_BYTES / 2**30:g} GiB"
        )
