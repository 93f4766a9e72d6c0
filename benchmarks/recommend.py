"""Time of `serving.Recommender`, compared with NumPy's matrix product and argpartition on the same vectors.

    KERAS_BACKEND=jax python benchmarks/recommend.py               one user of 60,000 items; all of 6,040 x 3,416
    KERAS_BACKEND=jax python benchmarks/recommend.py --rounds 3 --large 500 3000 --all 300 200      a quick look

Models have random weights: two towers, whose scores are a product of two vectors of 64, and a linear ranker of
histories (`models.ease`). NumPy multiplies vectors that lie ready and finds the ten best, unsorted, rated items
included; the recommender takes raw ids, makes each user's vector by the model, leaves rated items out, sorts, and
returns a table of raw ids and titles. Both sides take turns; medians of all rounds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from kmodels import cli

K, DIM, BLOCK = 10, 64, 256


def ratings_of(n_users: int, n_items: int, each: int):
    """Ratings of items that differ in popularity, all of them training rows."""
    from kmodels.pipelines import Ratings
    from kmodels.preprocessing import splits

    rng = np.random.default_rng(0)
    share = 1 / np.arange(20, n_items + 20)
    users, items = rng.integers(0, n_users, n_users * each), rng.choice(n_items, n_users * each, p=share / share.sum())
    # Each user and item at least once, each pair at most once.
    more = np.arange(max(n_users, n_items))
    users, items = np.concatenate([users, more % n_users]), np.concatenate([items, more % n_items])
    users, items = np.divmod(np.unique(users * n_items + items), n_items)
    table = pd.DataFrame({"user_id": users, "item_id": items, "rating": rng.integers(1, 6, len(users)).astype(float)})
    rows = np.arange(len(table))
    return Ratings.fit(table, splits.Split(rows, rows[:0], rows[:0]))


def recommender_of(name: str, ratings):
    from kmodels import models, serving, training

    if name == "two_tower":
        ranker = training.initialize(models.two_tower(ratings.n_users, ratings.n_items, dim=DIM))
    else:
        ranker = models.ease(ratings.n_items)
        size = (ratings.n_items, ratings.n_items)
        ranker.set_weights([np.random.default_rng(0).standard_normal(size, dtype=np.float32)])
    items = pd.DataFrame({"item_id": np.arange(ratings.n_items - 1)})
    return serving.Recommender(
        ratings, ranker=ranker, items=items.assign(title="Title " + items["item_id"].astype(str))
    )


def numpy_best(users: np.ndarray, items: np.ndarray) -> None:
    for start in range(0, len(users), BLOCK):
        scores = users[start : start + BLOCK] @ items.T
        np.argpartition(scores, len(items) - K, axis=1)[:, len(items) - K :]


def medians(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each side, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for name in list(sides) * 2 + list(sides) * rounds:
        start = time.perf_counter()
        sides[name]()
        seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(each[2:])) for name, each in seconds.items()}  # what compiles is left out


def measure(large: tuple[int, int], everybody: tuple[int, int], rounds: int) -> list[dict]:
    rng, results = np.random.default_rng(1), []
    for what, (n_users, n_items), each, names in (
        ("one user", large, 50, ["two_tower"]),
        ("everybody", everybody, 165, ["two_tower", "ease"]),
    ):
        ratings = ratings_of(n_users, n_items, min(each, n_items // 4))
        users, items = (rng.standard_normal((n, DIM), dtype=np.float32) for n in (n_users, n_items + 1))
        for name in names:
            recommender = recommender_of(name, ratings)
            if what == "one user":
                sides = {
                    "kmodels": lambda it=recommender, n=n_users: it.recommend(int(rng.integers(n)), K),
                    "numpy": lambda u=users, i=items: numpy_best(u[:1], i),
                }
            else:
                sides = {
                    "kmodels": lambda it=recommender: [len(block) for block in it.all(K)],
                    "numpy": lambda u=users, i=items: numpy_best(u, i),
                }
            found = medians(sides, rounds * 10 if what == "one user" else rounds)
            results.append({"what": what, "ranker": name, "users": n_users, "items": n_items, **found})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--large", type=int, nargs=2, default=(2000, 60_000), metavar=("USERS", "ITEMS"))
    parser.add_argument("--all", type=int, nargs=2, default=(6040, 3416), metavar=("USERS", "ITEMS"))
    parser.add_argument("--rounds", type=int, default=7, help="of everybody; ten times as many of one user")
    args = parser.parse_args()
    backend = cli.choose_backend()
    print(f"{backend}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}; milliseconds, medians")
    print(f"{'':12s}{'ranker':>12s}{'users':>8s}{'items':>8s}{'kmodels':>10s}{'NumPy':>10s}{'NumPy/kmodels':>15s}")
    for each in measure(tuple(args.large), tuple(args.all), args.rounds):
        ours, theirs = 1000 * each["kmodels"], 1000 * each["numpy"]
        size = f"{each['users']:8,d}{each['items']:8,d}"
        print(f"{each['what']:12s}{each['ranker']:>12s}{size}{ours:10.2f}{theirs:10.2f}{theirs / ours:15.2f}")


if __name__ == "__main__":
    main()
