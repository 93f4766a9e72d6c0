"""MovieLens-1M rating prediction in PyTorch's fast ways, with a clock on each phase.

    python benchmarks/pytorch_tuned.py DIR --epochs 5 --batch-size 512 --json OUT

This is the second baseline of `movielens_workflow.py`: the network, the training and the metrics of
`pytorch_notebook.py`, written as somebody does who knows where PyTorch and pandas lose time. The files are read by
pandas' C engine; the split and the ranking metrics have no loop over users; all tensors are on hand, a batch is indexed
by a piece of a permutation without a `DataLoader`; Adam is fused. `torch.compile` is left out: on a CPU of two cores,
one thread, it trains at 0.75 times the speed without it, after half a minute of compiling.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_notebook as notebook
import torch

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def load(folder: str | Path) -> Tables:
    """Reads the three files: ratings, users, movies. Between two colons is an empty field; titles have colons too."""
    columns = {
        "ratings.dat": ["UserID", "MovieID", "Rating", "Timestamp"],
        "users.dat": ["UserID", "Gender", "Age", "Occupation", "Zip-code"],
    }
    ratings, users = (
        pd.read_csv(Path(folder) / file, sep=":", header=None, usecols=range(0, 2 * len(names), 2)).set_axis(
            names, axis=1
        )
        for file, names in columns.items()
    )
    lines = (Path(folder) / "movies.dat").read_text("latin-1").splitlines()
    movies = pd.DataFrame([line.split("::") for line in lines], columns=["MovieID", "Title", "Genres"])
    return ratings, users, movies.astype({"MovieID": np.int64})


def split(data: pd.DataFrame) -> Tables:
    """Shuffles each user's ratings and cuts them at 70 % and 85 %: train, validation, test."""
    user = data["user"].to_numpy()
    rows = np.lexsort((np.random.default_rng(notebook.SEED).random(len(user)), user))
    counts = np.bincount(user)
    place = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    first, second = (np.repeat((share * counts).astype(np.int64), counts) for share in (0.70, 0.85))
    masks = place < first, (place >= first) & (place < second), place >= second
    train, validation, test = (data.iloc[rows[mask]].reset_index(drop=True) for mask in masks)
    return train, validation, test


class Batches:
    """Batches of tensors that are all on hand, by pieces of a permutation or in order."""

    def __init__(self, data: pd.DataFrame, batch_size: int, shuffle: bool = False) -> None:
        movie, first = np.unique(data["movie"], return_index=True)
        genres = np.array(data["GenreList"].iloc[first].tolist(), np.float32)
        self.tensors = {
            "user": torch.tensor(data["user"].to_numpy()),
            "movie": torch.tensor(data["movie"].to_numpy()),
            "user_features": torch.tensor(data[notebook.USER_FEATURES].to_numpy(np.float32)),
            "genres": torch.tensor(genres[np.searchsorted(movie, data["movie"])]),
            "rating": torch.tensor(data["Target"].to_numpy(np.float32)),
        }
        self.batch_size, self.shuffle = batch_size, shuffle

    def __iter__(self) -> Iterator[notebook.Batch]:
        rows = len(self.tensors["rating"])
        order = torch.randperm(rows) if self.shuffle else torch.arange(rows)
        for batch in order.split(self.batch_size):
            yield {name: tensor[batch] for name, tensor in self.tensors.items()}


def rank(results: pd.DataFrame) -> dict[str, float]:
    """The two ranking figures of the notebook, of all users at once."""
    ranked = results.sort_values(["user", "Prediction"], ascending=[True, False])
    place = ranked.groupby("user").cumcount().to_numpy()
    user, rating = (ranked[name].to_numpy()[place < 10] for name in ("user", "Rating"))
    discount = np.log2(place[place < 10] + 2)
    best_first = np.lexsort((-rating, user))
    liked, dcg, ideal = (
        np.bincount(user, values) for values in (rating >= 4, rating / discount, rating[best_first] / discount)
    )
    seen = ideal > 0
    return {
        "precision_at_10_of_ten_slots": float((liked[seen] / 10).mean()),
        "ndcg_at_10_retrieved_ideal": float((dcg[seen] / ideal[seen]).mean()),
    }


if __name__ == "__main__":
    notebook.main(load=load, split=split, batches=Batches, rank=rank, fused=True)
