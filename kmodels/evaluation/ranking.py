"""Ranking metrics at k, per user, computed for all users at once.

Terms: items are ranked by score for each user, best first; a rating from three quarters up the scale is relevant.

- precision: relevant items among the first k, divided by min(k, items of the user);
- recall: relevant items among the first k, divided by all relevant items of the user;
- hit rate: 1 if there is a relevant item among the first k, otherwise 0;
- reciprocal rank (MRR): 1 / rank of the first relevant item if that is within the first k, otherwise 0;
- average precision (MAP): sum over the relevant items within the first k of the precision down to that item,
  divided by min(k, relevant items of the user);
- NDCG: sum over the first k of gain / log2(rank + 1), divided by that sum for the best possible order of all
  of the user's items (Järvelin & Kekäläinen, 2002; exponential gain of Burges et al., 2005).

Recall, hit rate, MRR, MAP, and NDCG where the best sum is 0, do not exist for a user without relevant items:
they are NaN, and left out of means. Precision is 0 there.

**Ties.** Items of equal score have no order, so each metric is its expected value over all orders of the tied
items, in closed form (McSherry & Najork, 2008: "Computing information retrieval performance measures
efficiently in the presence of tied scores"). A constant predictor gets exactly what a random order gets on
average, and neither the order of the rows nor the numbering of the items matters. For NDCG this is what
scikit-learn's `ndcg_score` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.special import gammaln
from tqdm import tqdm

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError

__all__ = ["catalogue_ranking", "rated_ranking", "sampled_ranking"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: From user ids (n,) to scores of all items (n, n_items).
Score = Callable[[IntArray], npt.ArrayLike]

_BLOCK, _SCORES = 256, 2**26  # the most users, and scores, that are ranked at a time


class _Ties(NamedTuple):
    """For each position of a ranking, the group of equally scored items that it belongs to."""

    rank: npt.NDArray[Any]  # of the position, from 1
    start: npt.NDArray[Any]  # positions before the group
    size: npt.NDArray[Any]  # items in the group
    relevant: npt.NDArray[Any]  # relevant items in the group
    before: npt.NDArray[Any]  # relevant items before the group


def relevant_from(scale: tuple[float, float]) -> float:
    """Lowest rating of a relevant item: three quarters of the way up the scale."""
    low, high = scale
    if not low < high:
        raise ConfigurationError(f"the highest value of a scale must be above its lowest. Received: scale={scale}")
    return low + 0.75 * (high - low)


def rated_ranking(
    users: npt.ArrayLike,
    ratings: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    k: int = 10,
    scale: tuple[float, float] = (1.0, 5.0),
) -> pd.DataFrame:
    """Ranks, for each user, the items the user rated: how well do the scores order the rated items?

    NDCG has gain 2^r - 1, where r is the rating on a scale whose highest value is 5. Relevant are ratings from three
    quarters up the scale: 4 on a scale of 1 to 5.

    Args:
        users: User of each row, shape (rows,), any integers.
        ratings: True ratings, shape (rows,), 0 or more, or not below a negative lowest value of `scale`.
        scores: Predicted scores of any unit, shape (rows,), finite; a higher score ranks first.
        k: Number of positions that count, 1 or more. Default 10.
        scale: Lowest and highest possible rating; where the lowest is negative, it is moved to 0. Default (1.0, 5.0).

    Returns:
        One row per user, indexed by `user_id` in ascending order: `n_items`, `n_relevant` (int64), then
        `precision_at_{k}`, `recall_at_{k}`, `hit_rate_at_{k}`, `ndcg_at_{k}`, `map_at_{k}`, `mrr_at_{k}`
        (float64, 0 to 1 or NaN).

    Raises:
        DataError: No rows, different lengths, missing or infinite values, or a rating below 0 and the scale.
        ConfigurationError: `k` below 1, or a scale whose highest value is not above its lowest.

    Example:
        >>> table = rated_ranking([1, 1, 1, 2], [5, 2, 4, 1], [0.9, 0.8, 0.7, 0.5], k=2)
        >>> table[["n_relevant", "precision_at_2", "recall_at_2", "mrr_at_2"]]
                 n_relevant  precision_at_2  recall_at_2  mrr_at_2
        user_id
        1                 2             0.5          0.5       1.0
        2                 0             0.0          NaN       NaN
    """
    _check_k(k)
    user, rating = checks.ids(users, "users"), checks.numbers(ratings, "ratings")
    score = checks.numbers(scores, "scores")
    checks.same_length(users=user, ratings=rating, scores=score)
    zero = min(scale[0], 0)
    if (lowest := float(rating.min())) < zero:
        row = int(np.argmin(rating)) + 1
        raise DataError("below the scale", row=row, column="ratings", expected=f"{zero:g} or more", received=lowest)
    rows = pd.DataFrame({"user_id": user, "rating": rating, "score": score})
    rows = rows.sort_values(["user_id", "score"], ascending=[True, False], ignore_index=True)
    by_user = rows.groupby("user_id")
    rows["rank"] = by_user.cumcount() + 1
    rows["relevant"] = (rows["rating"] >= relevant_from(scale)).astype(np.int64)
    rows["gain"] = np.exp2((rows["rating"] - zero) * (5 / (scale[1] - zero))) - 1
    rows["before"] = by_user["relevant"].cumsum() - rows["relevant"]
    of_ties = rows.groupby(["user_id", "score"], sort=False)
    first = rows["rank"] <= k
    ties = _Ties(
        rows["rank"][first].to_numpy(),
        (of_ties["rank"].transform("min") - 1)[first].to_numpy(),
        of_ties["rank"].transform("size")[first].to_numpy(),
        of_ties["relevant"].transform("sum")[first].to_numpy(),
        of_ties["before"].transform("min")[first].to_numpy(),
    )
    number, n_items = by_user.ngroup()[first], by_user.size()

    def total(values: npt.ArrayLike) -> FloatArray:
        return np.bincount(number, values, len(n_items)).astype(np.float64)

    # Users keep their order in the table when their rows are sorted anew, so rank and number still fit.
    best_first = rows.sort_values(["user_id", "rating"], ascending=[True, False])["gain"].to_numpy()
    ideal = total(best_first[first] / np.log2(ties.rank + 1))
    gain, n_relevant = of_ties["gain"].transform("mean")[first].to_numpy(), by_user["relevant"].sum()
    table = _metrics(ties, gain, ideal, total, np.asarray(n_items), np.asarray(n_relevant), k)
    return pd.DataFrame(table, index=n_items.index)


def mean_ranking(per_user: pd.DataFrame) -> dict[str, float]:
    """Mean of each metric over the users for whom it exists, of either table; NaN if there is none."""
    means = per_user.drop(columns=["n_items", "n_relevant"]).mean()
    return {str(name): float(value) for name, value in means.items()}


def catalogue_ranking(
    score: Score,
    users: npt.ArrayLike,
    test_users: npt.ArrayLike,
    test_items: npt.ArrayLike,
    seen_users: npt.ArrayLike,
    seen_items: npt.ArrayLike,
    n_items: int,
    *,
    k: int = 10,
) -> pd.DataFrame:
    """Ranks, for each user, all items but those the user has seen: are the liked ones found among all?

    The candidates of a user are the items 1 to `n_items` - 1 without the user's seen rows. NDCG has gain 1 for a
    relevant item. An item the user never rated counts as not relevant, so these figures are far lower than those of
    `rated_ranking` and are to be compared with a popularity baseline.

    Args:
        score: Maps user ids, (b,) int64, to finite scores of all items, (b, n_items); higher is better. b is at most
            256, and 2²⁶ / n_items.
        users: (users,) integers to rank for, each once.
        test_users: (pairs,) users of the relevant pairs, the test rows that are rated highly enough.
        test_items: (pairs,) items of the relevant pairs, 1 to n_items - 1.
        seen_users: (rows,) users of the training and validation rows.
        seen_items: (rows,) items of the training and validation rows, 0 to n_items - 1.
        n_items: Rows of the item table, row 0 (unknown) included.
        k: Number of positions that count, 1 or more. Default 10.

    Returns:
        One row per user in the order of `users`, columns as of `rated_ranking` with ``catalogue_`` in front of the
        metrics' names; `n_items` counts candidates. Pairs of users not in `users` are left out.

    Raises:
        DataError: Ids out of range, a repeated user or relevant pair, a relevant item that the user
            has seen, or scores that are not finite or of another shape.
        ConfigurationError: `k` below 1.

    Example:
        >>> scores = np.array([[0.0, 0.9, 0.1, 0.5]])
        >>> table = catalogue_ranking(lambda users: scores, [7], [7], [3], [7], [1], n_items=4, k=2)
        >>> float(table.loc[7, "catalogue_hit_rate_at_2"]), float(table.loc[7, "catalogue_precision_at_2"])
        (1.0, 0.5)
    """
    _check_k(k)
    user = checks.ids(users, "users")
    index = _distinct(user, "users")
    test = _pairs(index, test_users, test_items, n_items, "test")
    if (test.data > 1).any():
        raise DataError("a relevant pair occurs twice", column="test_items", expected="distinct pairs")
    seen = _pairs(index, seen_users, seen_items, n_items, "seen")
    parts = [
        _rank_block(scores, test[block].nonzero(), seen[block].nonzero(), k)
        for block, scores in _scored_blocks(score, user, n_items)
    ]
    return _joined(parts, index, "catalogue")


def sampled_ranking(
    score: Score,
    test_users: npt.ArrayLike,
    test_items: npt.ArrayLike,
    seen_users: npt.ArrayLike,
    seen_items: npt.ArrayLike,
    n_items: int,
    *,
    negatives: int = 99,
    k: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Ranks, for each user, one held-out item among items drawn at random from those the user has not seen.

    The protocol of He et al. ("Neural Collaborative Filtering", WWW 2017), whose figures are the hit rate and NDCG at
    10 with 99 negatives, the last item of each user being held out. They are not comparable with those of
    `catalogue_ranking`, and may even order rankers differently (Krichene & Rendle, "On Sampled Metrics for Item
    Recommendation", KDD 2020): compare them with published figures of this protocol alone.

    Args:
        score: As for `catalogue_ranking`.
        test_users: (users,) integers from 0, each once.
        test_items: (users,) the held-out item of each, 1 to n_items - 1.
        seen_users: (rows,) users of the training and validation rows.
        seen_items: (rows,) items of the training and validation rows, 0 to n_items - 1.
        n_items: Rows of the item table, row 0 (unknown) included.
        negatives: Items to draw for each user, without replacement; where fewer are unseen, all of them. Default 99.
        k: Number of positions that count, 1 or more. Default 10.
        seed: Seed of the draws, from 0; with it, those of a user depend on the user and what it has seen. Default 0.

    Returns:
        One row per user in the order of `test_users`, columns as of `rated_ranking` with ``sampled_`` in front of the
        metrics' names; `n_items` counts the held-out item and those drawn.

    Raises:
        DataError: Ids out of range, a repeated user, a held-out item that the user has seen, or scores that are not
            finite or of another shape.
        ConfigurationError: `k` or `negatives` below 1.

    Example:
        >>> table = sampled_ranking(lambda users: [[0.0, 0.9, 0.1, 0.5]], [7], [3], [7], [1], 4, negatives=1)
        >>> table[["n_items", "sampled_hit_rate_at_10", "sampled_ndcg_at_10"]]
                 n_items  sampled_hit_rate_at_10  sampled_ndcg_at_10
        user_id
        7              2                     1.0                 1.0
    """
    _check_k(k)
    if negatives < 1:
        raise ConfigurationError(f"negatives must be 1 or more; received {negatives}")
    user, item = checks.ids(test_users, "test_users"), checks.ids(test_items, "test_items", n_items)
    checks.refuse_rows(user < 0, "a user is below 0", "test_users", values=user)
    index = _distinct(user, "test_users")
    checks.same_length(0, test_users=user, test_items=item)
    seen = _pairs(index, seen_users, seen_items, n_items, "seen")
    # For each user 0, the held-out item and those drawn; 0 again where fewer are unseen.
    compared = np.zeros((len(user), 2 + negatives), np.int64)
    compared[:, 1] = item
    for row, (own, held_out) in enumerate(zip(user, item, strict=True)):
        unseen = np.ones(n_items, bool)
        unseen[0] = unseen[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]] = False
        if not unseen[held_out]:
            raise _not_a_candidate(held_out)
        unseen[held_out] = False
        others = np.flatnonzero(unseen)
        rng = np.random.default_rng([seed, own])
        drawn = rng.choice(others, min(negatives, len(others)), replace=False)
        compared[row, 2 : 2 + len(drawn)] = drawn
    parts = []
    for block, scores in _scored_blocks(score, user, n_items):
        some = compared[block]
        first = np.arange(len(some)), np.ones(len(some), np.int64)
        parts.append(_rank_block(np.take_along_axis(scores, some, axis=1), first, (some == 0).nonzero(), k))
    return _joined(parts, index, "sampled")


def rank_held_out(
    score: Score,
    users: npt.NDArray[Any],
    items: npt.NDArray[Any],
    ratings: npt.NDArray[Any],
    *,
    rows: IntArray,
    seen: IntArray,
    n_items: int,
    scale: tuple[float, float],
    liked_only: bool = True,
    most_users: int | None = None,
) -> pd.DataFrame:
    """The table of `catalogue_ranking` for the users with a relevant one of `rows`; rows of `seen` are no candidates.

    Relevant are ratings from three quarters up the scale, or without `liked_only` all. Of more than `most_users` users
    so many are drawn at random, the same ones at each call.
    """
    # An item without training rows is not in the catalogue, and unknown users share one id.
    known = rows[(items[rows] > 0) & (users[rows] > 0)]
    relevant = known[ratings[known] >= relevant_from(scale)] if liked_only else known
    ranked = np.unique(users[relevant])
    if most_users is not None and len(ranked) > most_users:
        ranked = np.sort(np.random.default_rng(0).choice(ranked, most_users, replace=False))
        seen = seen[np.isin(users[seen], ranked)]
    pairs = users[relevant], items[relevant], users[seen], items[seen]
    return catalogue_ranking(score, ranked, *pairs, n_items)


def _rank_block(
    scores: npt.NDArray[Any], test: tuple[IntArray, IntArray], seen: tuple[IntArray, IntArray], k: int
) -> dict[str, npt.NDArray[Any]]:
    """Metrics of a block; only the scores at the first k positions matter, not which items hold them."""
    n_users, n_items = scores.shape
    scores[:, 0] = -np.inf
    scores[seen] = -np.inf
    row, mine = test[0], scores[test]
    if np.isneginf(mine).any():
        raise _not_a_candidate(test[1][np.argmax(np.isneginf(mine))])
    positions = min(k, n_items)
    top = np.sort(np.partition(scores, n_items - positions, axis=1)[:, n_items - positions :], axis=1)[:, ::-1]
    rank = np.broadcast_to(np.arange(1, positions + 1), top.shape)
    new_group = np.concatenate([np.ones((n_users, 1), bool), top[:, 1:] != top[:, :-1]], axis=1)
    start = np.maximum.accumulate(np.where(new_group, rank - 1, 0), axis=1)
    # A group that ends within the first k has all its items there; the last one may go on below.
    size = (top[:, :, None] == top[:, None, :]).sum(axis=2)
    last = top[:, -1:]
    size = np.where(top == last, (scores == last).sum(axis=1, keepdims=True), size)
    n_relevant = np.bincount(row, minlength=n_users)
    within = mine >= last[row, 0]
    row, mine = row[within], mine[within, None]
    relevant, before = np.zeros(top.shape), np.zeros(top.shape)
    np.add.at(relevant, row, mine == top[row])
    np.add.at(before, row, mine > top[row])
    candidates = n_items - np.bincount(seen[0][seen[1] > 0], minlength=n_users) - 1
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, positions + 1) + 1))])
    ties, ideal = _Ties(rank, start, size, relevant, before), best[np.minimum(n_relevant, positions)]
    return _metrics(ties, relevant / size, ideal, lambda values: values.sum(axis=1), candidates, n_relevant, k)


def _metrics(
    ties: _Ties,
    gain: FloatArray,
    ideal: FloatArray,
    total: Callable[[npt.NDArray[Any]], FloatArray],
    n_items: IntArray,
    n_relevant: IntArray,
    k: int,
) -> dict[str, npt.NDArray[Any]]:
    """Expected metrics from the first k positions of each user; `total` sums over a user's positions."""
    chance = ties.relevant / ties.size
    position = ties.rank - ties.start
    # Given a relevant item in this position, those expected in the positions of the group before it.
    earlier = (position - 1) * (ties.relevant - 1) / np.maximum(ties.size - 1, 1)
    precision_here = chance * (ties.before + 1 + earlier) / ties.rank
    first_here = _none_so_far(ties, position - 1) - _none_so_far(ties, position)
    found, some = total(chance), np.where(n_relevant > 0, 1.0, np.nan)
    return {
        "n_items": n_items,
        "n_relevant": n_relevant,
        f"precision_at_{k}": found / _or_nan(np.minimum(k, n_items)),
        f"recall_at_{k}": found / _or_nan(n_relevant),
        f"hit_rate_at_{k}": total(first_here) * some,
        f"ndcg_at_{k}": total(gain / np.log2(ties.rank + 1)) / _or_nan(ideal),
        f"map_at_{k}": total(precision_here) / _or_nan(np.minimum(k, n_relevant)),
        f"mrr_at_{k}": total(first_here / ties.rank) * some,
    }


def _none_so_far(ties: _Ties, positions: npt.NDArray[Any]) -> FloatArray:
    """Chance of nothing relevant before the group nor in its first positions: C(n - positions, r) / C(n, r)."""
    left = ties.size - positions
    enough = (left >= ties.relevant) & (ties.before == 0)
    spare = np.where(enough, left - ties.relevant, 0)
    log = (gammaln(left + 1) - gammaln(spare + 1)) + (gammaln(ties.size - ties.relevant + 1) - gammaln(ties.size + 1))
    return np.where(enough, np.exp(np.where(enough, log, 0.0)), 0.0)


def _or_nan(count: npt.NDArray[Any]) -> FloatArray:
    """The divisor, with NaN for 0."""
    return np.where(count > 0, count, np.nan)


def _not_a_candidate(item: np.int64) -> DataError:
    message = "a relevant item is unknown or has been seen by its user"
    return DataError(message, column="test_items", expected="an item that is a candidate", received=int(item))


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigurationError(f"k must be 1 or more; received {k}")


def _distinct(user: IntArray, name: str) -> pd.Index:
    """The users as an index."""
    index = pd.Index(user, name="user_id")
    if not index.is_unique:
        raise DataError("a user occurs twice", column=name, received=int(user[index.duplicated()][0]))
    return index


def _pairs(index: pd.Index, users: npt.ArrayLike, items: npt.ArrayLike, n_items: int, name: str) -> sparse.csr_array:
    """How often each pair stands, (len(index), n_items); those of other users left out."""
    user, item = checks.ids(users, f"{name}_users"), checks.ids(items, f"{name}_items", n_items)
    checks.same_length(0, **{f"{name}_users": user, f"{name}_items": item})
    position = index.get_indexer(pd.Index(user))
    known = position >= 0
    pairs = (position[known], item[known])
    return sparse.coo_array((np.ones(len(pairs[0])), pairs), shape=(len(index), n_items)).tocsr()


def _scored_blocks(score: Score, user: IntArray, n_items: int) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """The scores of some users at a time, at least one block."""
    step = max(1, min(_BLOCK, _SCORES // n_items))
    with tqdm(total=len(user), desc="ranking", unit="user", delay=2, leave=False) as progress:
        for at in range(0, max(len(user), 1), step):
            ids = user[at : at + step]
            scores = score(ids) if len(ids) else np.zeros((0, n_items))
            yield slice(at, at + step), _checked_scores(scores, (len(ids), n_items))
            progress.update(len(ids))


def _joined(parts: Sequence[Mapping[str, npt.NDArray[Any]]], index: pd.Index, prefix: str) -> pd.DataFrame:
    """The metrics of blocks as one table, their names with the prefix."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table = pd.DataFrame(columns, index=index)
    return table.rename(columns=lambda name: name if name.startswith("n_") else f"{prefix}_{name}")


def _checked_scores(values: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """A copy of the scores, since the caller's array is not ours to write to; float32 stays, others become float64."""
    array = np.asarray(values)
    scores = np.array(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)
    if scores.shape != shape:
        raise DataError("scores are of another shape", expected=str(shape), received=str(scores.shape))
    if not np.isfinite(scores).all():
        raise DataError("a score is missing or infinite")
    return scores
