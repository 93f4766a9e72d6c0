"""Users that training never saw: half of their ratings at request time, against training anew with that half.

    KERAS_BACKEND=jax python benchmarks/new_users.py --data DIR

Keeps 200 users out. The default ranker is fitted to all other users' ratings, with settings chosen by a random split of
these, and asked for the 200 by `Recommender.recommend_for` with half of each one's ratings. Then it is fitted anew with
that half, with the same settings, and asked by `Recommender.recommend`. Both lists are evaluated on the other half.
"""

import argparse
from types import SimpleNamespace

import numpy as np
import pandas as pd

from kmodels import cli, models, serving, training
from kmodels.datasets import movielens, ratings
from kmodels.evaluation.ranking import relevant_from
from kmodels.pipelines import Ratings
from kmodels.preprocessing import Category, Tags, splits
from kmodels.workflow import rankers

COLUMNS = {"user_columns": {}, "item_columns": {"genres": Tags("|", flag_missing=False), "decade": Category()}}
K = 10


def main(args: argparse.Namespace) -> None:
    data = ratings.filter_ratings(movielens.load(args.data), min_ratings=5)
    table, rows = data.ratings, []
    for seed in range(args.seeds):
        rng = np.random.default_rng(seed)
        kept_out = rng.choice(table["user_id"].unique(), args.users, replace=False)
        new = table["user_id"].isin(kept_out).to_numpy()
        asked = np.zeros(len(table), bool)
        for user in kept_out:
            mine = rng.permutation(np.flatnonzero(table["user_id"] == user))
            asked[mine[: len(mine) // 2]] = True

        settings = chosen(data, table[~new].reset_index(drop=True), seed)
        without, again = (fitted(data, table, np.flatnonzero(train), settings) for train in (~new, ~new | asked))
        catalogue = set(without.ratings.encoders["item_id"].values)
        given = table[asked & table["item_id"].isin(catalogue)].sort_values("timestamp", kind="stable")
        histories = [dict(zip(own["item_id"], own["rating"], strict=True)) for _, own in given.groupby("user_id")]
        requested, retrained = without.recommend_for(histories, K), again.recommend(sorted(kept_out), K)
        hidden = table[new & ~asked & (table["rating"] >= relevant_from(data.scale)) & table["item_id"].isin(catalogue)]
        liked = [set(hidden["item_id"][hidden["user_id"] == user]) for user in sorted(kept_out)]
        found = {"at request time": requested.groupby("person"), "trained anew": retrained.groupby("user_id")}
        rows.append({"seed": seed} | {name: ndcg(lists["item_id"].apply(list), liked) for name, lists in found.items()})
    shown = pd.DataFrame(rows)
    shown["ratio"] = shown["at request time"] / shown["trained anew"]
    cli.show(shown.to_string(index=False, float_format="{:.4f}".format))


def chosen(data: ratings.RatingTables, table: pd.DataFrame, seed: int) -> dict:
    """The settings that validation rows of the users in training choose."""
    split = splits.random_per_user(table["user_id"], table["item_id"], seed=seed)
    encoded = Ratings.fit(table, split, items=data.items, scale=data.scale, **COLUMNS)
    _, settings, _ = rankers.METHODS["edlae"](SimpleNamespace(folder="."), encoded)
    return settings


def fitted(data: ratings.RatingTables, table: pd.DataFrame, train: np.ndarray, settings: dict) -> serving.Recommender:
    """The default ranker fitted to some rows."""
    others = np.setdiff1d(np.arange(len(table)), train)
    split = splits.Split(train, others, others[:0])
    encoded = Ratings.fit(table, split, items=data.items, scale=data.scale, **COLUMNS)
    ranker = training.fit_ease(
        models.ease(encoded.n_items),
        encoded.interactions(power=settings["power"]),
        l2=settings["l2"],
        dropout=settings["dropout"],
        item_features=encoded.item_features() * settings["feature_weight"],
    )
    return serving.Recommender(encoded, ranker=ranker, settings=settings)


def ndcg(lists: pd.Series, liked: list[set]) -> float:
    """Mean NDCG of lists, over those with a liked item."""
    discount = 1 / np.log2(np.arange(2, K + 2))
    values = [
        sum(discount[at] for at, item in enumerate(found) if item in mine) / discount[: min(K, len(mine))].sum()
        for found, mine in zip(lists, liked, strict=True)
        if mine
    ]
    return float(np.mean(values))


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", default="sample", help="what `datasets.movielens.load` takes")
    flags.add_argument("--users", type=int, default=200, help="kept out; default: 200")
    flags.add_argument("--seeds", type=int, default=3, help="default: 3")
    main(flags.parse_args())
