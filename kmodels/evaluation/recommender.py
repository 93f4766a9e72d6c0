"""A recommender's held-out rows evaluated in one call: rating error, ranking, and the baselines to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.evaluation import baselines, ranking, regression
from kmodels.evaluation.ranking_baselines import fit_ranking_baselines

__all__ = ["evaluate", "evaluate_ranking", "rank", "rate"]

Metrics = dict[str, float]
#: From the users, the ratings, the predictions of some rows and their table of `ranking.rated_ranking` to metrics.
MoreMetrics = Callable[[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, pd.DataFrame], Metrics]
#: Pairs of users and items that are ranked at most: at more than 50,000 users of 10,000 items, some users are drawn.
MOST_PAIRS = 2**29


def evaluate(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    ratings: npt.NDArray[np.float32],
    split: Sequence[npt.NDArray[np.int64]],
    predicted: Mapping[str, npt.ArrayLike],
    scores: ranking.Score,
    *,
    n_users: int,
    n_items: int,
    raters: npt.NDArray[np.int64] | None = None,
    scale: tuple[float, float] = (1.0, 5.0),
    liked_only: bool = True,
    more: MoreMetrics | None = None,
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Rates and ranks the held-out rows by a model, and the test rows by each baseline.

    The baselines are those of `baselines.fit_rating_baselines`, and popularity, which only ranks.

    Args:
        users: (rows,) user ids, 0 (unknown) to n_users - 1.
        items: (rows,) item ids, 0 (unknown) to n_items - 1.
        ratings: (rows,) in any unit.
        split: Positions of the training, validation and test rows.
        predicted: "validation" and "test" -> the model's predictions for these rows, in that unit.
        scores: The model's scores of the whole catalogue: user ids (n,) -> (n, n_items), higher ranks first.
        n_users: Rows of the users' table, row 0 included.
        n_items: Rows of the items' table, row 0 included.
        raters: (rows,) integers that tell users apart where unknown users, whose id is 0, have rows too; each of them
            then has a ranking of its own. None, the default, takes `users`.
        scale: Lowest and highest possible rating, see `rate`. Default (1.0, 5.0).
        liked_only: As for `rank`. Default True.
        more: Further metrics of rated rows, see `rate`. Default None.

    Returns:
        First {"test": metrics, "validation": metrics, "baselines": {name: metrics}, "warnings": sentences}, as
        `metrics.json` has them; the catalogue is ranked for known users with a relevant test item that has training
        rows, and training and validation rows are no candidates. Second, the tables of `ranking.rated_ranking` on the
        test rows, of "model" and of each baseline that rates.

    Raises:
        DataError: If arrays differ in length, an id is out of range or a prediction is not finite.

    Example:
        >>> users, items = np.repeat([1, 2, 3], 4), np.tile([1, 2, 3, 4], 3)
        >>> ratings = np.array([5, 4, 1, 5, 4, 5, 2, 4, 5, 5, 1, 4], "float32")
        >>> split = np.array([0, 2, 5, 6, 8, 10]), np.array([1, 4, 9]), np.array([3, 7, 11])
        >>> predicted = {"validation": [4.0, 4.0, 5.0], "test": [5.0, 4.0, 3.0]}
        >>> scores = lambda ids: np.tile([0.0, 1.0, 2.0, 0.0, 3.0], (len(ids), 1))
        >>> results, _ = evaluate(users, items, ratings, split, predicted, scores, n_users=4, n_items=5)
        >>> round(results["test"]["mae"], 3), results["test"]["catalogue_hit_rate_at_10"]
        (0.333, 1.0)
    """
    train, validation, test = split
    owners = users if raters is None else raters
    rating_baselines = baselines.fit_rating_baselines(users, items, ratings, split, n_users=n_users, n_items=n_items)

    def of_rows(rows: npt.NDArray[np.int64], values: npt.ArrayLike) -> tuple[Metrics, pd.DataFrame]:
        return rate(owners[rows], ratings[rows], values, scale=scale, more=more)

    def ranked(score: ranking.Score) -> pd.DataFrame:
        options: dict[str, Any] = {"n_items": n_items, "scale": scale, "liked_only": liked_only}
        return rank(users, items, ratings, split, score, **options)

    of_test, of_model = of_rows(test, predicted["test"])
    per_user = {"model": of_model}
    counts = np.bincount(items[train], minlength=n_items)
    popularity = ranked(lambda ids: np.broadcast_to(counts, (len(ids), n_items)))
    of_baselines = {"popularity": ranking.mean_ranking(popularity)}
    for name, baseline in rating_baselines.items():
        of_baselines[name], per_user[name] = of_rows(test, baseline.predict(users[test], items[test]))
        if name != "global_mean":
            of_baselines[name] |= ranking.mean_ranking(ranked(baseline.scores))
    results = {
        "test": of_test | ranking.mean_ranking(ranked(scores)),
        "validation": of_rows(validation, predicted["validation"])[0],
        "baselines": of_baselines,
        "warnings": _warnings(popularity, n_items),
    }
    return results, per_user


def evaluate_ranking(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    ratings: npt.NDArray[np.float32],
    split: Sequence[npt.NDArray[np.int64]],
    scores: Mapping[str, ranking.Score],
    *,
    n_users: int,
    n_items: int,
    scale: tuple[float, float] = (1.0, 5.0),
    timestamps: npt.NDArray[Any] | None = None,
    liked_only: bool = True,
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Ranks the whole catalogue for the held-out rows by a ranker, and for the test rows by each baseline.

    The rankings are those of `rank`, the baselines those of `ranking_baselines.fit_ranking_baselines`. For the test, a
    user's history may hold training and validation rows: what is known by then, and no candidate.

    Args:
        users: (rows,) user ids, 0 (unknown) to n_users - 1.
        items: (rows,) item ids, 0 (unknown) to n_items - 1.
        ratings: (rows,) in any unit.
        split: Positions of the training, validation and test rows.
        scores: "validation" and "test" -> a function from user ids (n,) to scores (n, n_items), higher ranks first,
            that knows the rows before that part.
        n_users: Rows of the users' table, row 0 included.
        n_items: Rows of the items' table, row 0 included.
        scale: Lowest and highest possible rating; relevant are ratings from three quarters up. Default (1.0, 5.0).
        timestamps: (rows,) seconds, for the popularity of the last weeks. Default None.
        liked_only: As for `rank`; the baselines are chosen likewise. Default True.

    Returns:
        First {"test": metrics, "validation": metrics, "baselines": {name: metrics on the test}, "baseline_settings":
        {name: what was chosen}, "left_out": {name of a baseline: why it cannot be had}, "warnings": sentences}; metrics
        are means over users.
        Second, the tables of `rank` on the test rows, of "model" and of each baseline.

    Raises:
        DataError: If arrays differ in length, an id is out of range, a rating is missing or a score is not finite.

    Example:
        >>> users, items = np.repeat([1, 2, 3], 4), np.tile([1, 2, 3, 4], 3)
        >>> ratings = np.array([5, 4, 1, 5, 4, 5, 2, 4, 5, 5, 1, 4], "float32")
        >>> split = np.array([0, 2, 5, 6, 8, 10]), np.array([1, 4, 9]), np.array([3, 7, 11])
        >>> scores = lambda ids: np.tile([0.0, 1.0, 2.0, 0.0, 3.0], (len(ids), 1))
        >>> both = {"validation": scores, "test": scores}
        >>> results, per_user = evaluate_ranking(users, items, ratings, split, both, n_users=4, n_items=5)
        >>> results["test"]["catalogue_mrr_at_10"], per_user["ease"]["n_items"].tolist()
        (1.0, [1, 1, 1])
    """
    sizes: dict[str, Any] = {"n_items": n_items, "scale": scale, "liked_only": liked_only}
    fitted, left_out = fit_ranking_baselines(
        users, items, ratings, split, n_users=n_users, timestamps=timestamps, **sizes
    )

    def ranked(score: ranking.Score, part: str = "test") -> pd.DataFrame:
        return rank(users, items, ratings, split, score, part=part, **sizes)

    per_user = {"model": ranked(scores["test"])} | {name: ranked(each.scores) for name, each in fitted.items()}
    metrics = {name: ranking.mean_ranking(table) for name, table in per_user.items()}
    results = {
        "test": metrics.pop("model"),
        "validation": ranking.mean_ranking(ranked(scores["validation"], "validation")),
        "baselines": metrics,
        "baseline_settings": {name: each.settings for name, each in fitted.items()},
        "left_out": left_out,
        "warnings": _warnings(per_user["model"], n_items),
    }
    return results, per_user


def rank(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    ratings: npt.NDArray[np.float32],
    split: Sequence[npt.NDArray[np.int64]],
    scores: ranking.Score,
    *,
    n_items: int,
    scale: tuple[float, float] = (1.0, 5.0),
    liked_only: bool = True,
    part: str = "test",
) -> pd.DataFrame:
    """Ranks the whole catalogue for the users with a relevant item in a part of the split.

    Users and items without training rows are left out; rows of the parts before are no candidates. Where users and
    items make more than `MOST_PAIRS` = 2²⁹ pairs, as many users are ranked as make no more, drawn at random.

    Args:
        users: (rows,) user ids, 0 for the unknown.
        items: (rows,) item ids, 0 for the unknown.
        ratings: (rows,) in any unit.
        split: Positions of the training, validation and test rows.
        scores: User ids (n,) -> scores (n, n_items), higher ranks first.
        n_items: Rows of the items' table, row 0 included.
        scale: Lowest and highest possible rating, see `rate`. Default (1.0, 5.0).
        liked_only: Whether only items rated from three quarters up the scale are relevant. False makes every item of
            the part relevant, as is usual where it is the last one of its user. Default True.
        part: "test", or "validation", where only training rows come before. Default "test".

    Returns:
        The table of `ranking.catalogue_ranking`.

    Example:
        >>> users, items = np.repeat([1, 2], 3), np.tile([1, 2, 3], 2)
        >>> ratings, split = np.full(6, 5.0), (np.array([0, 3]), np.array([1, 4]), np.array([2, 5]))
        >>> table = rank(users, items, ratings, split, lambda ids: np.zeros((len(ids), 4)), n_items=4)
        >>> table["n_items"].tolist(), table["catalogue_ndcg_at_10"].tolist()
        ([1, 1], [1.0, 1.0])
    """
    train, validation, test = split
    rows, seen = (test, np.concatenate([train, validation])) if part == "test" else (validation, train)
    options: dict[str, Any] = {"n_items": n_items, "scale": scale, "liked_only": liked_only}
    options |= {"most_users": max(1, MOST_PAIRS // n_items)}
    return ranking.rank_held_out(scores, users, items, ratings, rows=rows, seen=seen, **options)


def _warnings(ranked: pd.DataFrame, n_items: int) -> list[str]:
    """What a reader must know of the users of a table of `rank`."""
    if len(ranked) < MOST_PAIRS // n_items:
        return []
    return [f"all items are ranked for {len(ranked):,} users, drawn at random of those with a relevant test item"]


def rate(
    users: npt.ArrayLike,
    ratings: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    scale: tuple[float, float] = (1.0, 5.0),
    more: MoreMetrics | None = None,
) -> tuple[Metrics, pd.DataFrame]:
    """Evaluates predictions of some rows: rating errors, and how the rows of each user are ranked.

    Args:
        users: (rows,) user ids.
        ratings: (rows,) in any unit.
        predicted: (rows,) predictions of them.
        scale: Lowest and highest possible rating. The normalised error is divided by the highest absolute value; gains
            and what counts as relevant are those of `ranking.rated_ranking`. Default (1.0, 5.0).
        more: From users, ratings, predictions and the table of `ranking.rated_ranking` to further metrics. Default
            None.

    Returns:
        The metrics, those of ranking as means over users, and the table of `ranking.rated_ranking`.

    Example:
        >>> metrics, _ = rate([1, 1, 2], [5.0, 3.0, 4.0], [4.5, 3.0, 4.0])
        >>> round(metrics["rmse"], 3), metrics["ndcg_at_10"]
        (0.289, 1.0)
    """
    per_user = ranking.rated_ranking(users, ratings, predicted, scale=scale)
    metrics = regression.regression_metrics(ratings, predicted)
    metrics |= {"rmse_normalised": metrics["rmse"] / max(map(abs, scale))} | ranking.mean_ranking(per_user)
    return metrics | (more(users, ratings, predicted, per_user) if more else {}), per_user


def lenient_ranking(
    users: npt.ArrayLike, ratings: npt.ArrayLike, predicted: npt.ArrayLike, per_user: pd.DataFrame
) -> Metrics:
    """Two flattering figures of published notebooks, as `more` takes them, to compare with their values alone.

    `precision_at_10_of_ten_slots` gives shorter lists ten ranks too; `ndcg_at_10_retrieved_ideal` compares with the
    best order of the ten items retrieved, not of all.
    """
    user, rating = np.unique(users, return_inverse=True)[1], np.asarray(ratings, np.float64)
    counts = np.bincount(user)
    rank = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    ten, weight = rank < 10, 1 / np.log2(rank[rank < 10] + 2)
    retrieved = np.lexsort((-np.asarray(predicted), user))[ten]
    best = retrieved[np.lexsort((-rating[retrieved], user[retrieved]))]
    gain, ideal = (np.bincount(user[rows], rating[rows] * weight) for rows in (retrieved, best))
    slots = per_user["precision_at_10"] * per_user["n_items"].clip(upper=10) / 10
    return {
        "precision_at_10_of_ten_slots": float(slots.mean()),
        "ndcg_at_10_retrieved_ideal": float(np.mean(gain / ideal)),
    }
