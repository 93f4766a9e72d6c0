"""MovieLens-1M rating prediction as an ordinary PyTorch notebook does it, with a clock on each phase.

    python benchmarks/pytorch_notebook.py DIR --epochs 5 --batch-size 512 --json OUT

This is the first baseline of `movielens_workflow.py`: pandas' Python engine for the '::' files, a loop over the users
for the split, a `Dataset` that holds ready tensors, indexes them row by row and makes one tensor per row, of the list
of genres, a `DataLoader` without worker processes, a loop over the users for the ranking metrics. It was written
independently for this comparison, in the common idiom of such notebooks: nothing in it is slowed down on purpose, and
nothing is tuned; `pytorch_tuned.py` is the same workflow in PyTorch's fast ways. It imports nothing of kmodels. It runs
on the CPU, and there is no early stopping, so that all sides train the same epochs.

The clock counts reading, preparing and splitting, training with validation and a copy of the best weights, and the test
metrics: RMSE, MAE, R², and the two ranking figures of such notebooks. Imports are not counted; nothing is drawn.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

SEED = 42
USER_FEATURES = ["Gender", "Age", "Occupation"]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
Batch = dict[str, torch.Tensor]


def load(folder: str | Path) -> Tables:
    """Reads the three files: ratings, users, movies."""
    names = {
        "ratings.dat": ["UserID", "MovieID", "Rating", "Timestamp"],
        "users.dat": ["UserID", "Gender", "Age", "Occupation", "Zip-code"],
        "movies.dat": ["MovieID", "Title", "Genres"],
    }
    ratings, users, movies = (
        pd.read_csv(Path(folder) / file, sep="::", engine="python", encoding="latin-1", names=columns)
        for file, columns in names.items()
    )
    return ratings, users, movies


def prepare(ratings: pd.DataFrame, users: pd.DataFrame, movies: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Filters, adds the features and joins; returns the table and the number of genres.

    The column `GenreList` has a list of 0 and 1 for each row; the rows of a film share theirs.
    """
    user_counts = ratings["UserID"].value_counts()
    movie_counts = ratings["MovieID"].value_counts()
    ratings = ratings[
        ratings["UserID"].isin(user_counts[user_counts >= 5].index)
        & ratings["MovieID"].isin(movie_counts[movie_counts >= 5].index)
    ].copy()

    time = pd.to_datetime(ratings["Timestamp"], unit="s")
    ratings["Year"] = time.dt.year
    ratings["Month"] = time.dt.month
    ratings["DayOfWeek"] = time.dt.day_of_week
    ratings["Target"] = ratings["Rating"] / 5.0

    users = users.copy()
    users["Gender"] = users["Gender"].map({"F": 0, "M": 1})
    genres = movies["Genres"].str.get_dummies("|")
    movies = movies.assign(GenreList=genres.to_numpy().tolist())

    data = ratings.merge(users, on="UserID").merge(movies, on="MovieID")
    user_index = {user: i for i, user in enumerate(data["UserID"].unique())}
    movie_index = {movie: i for i, movie in enumerate(data["MovieID"].unique())}
    data["user"] = data["UserID"].map(user_index)
    data["movie"] = data["MovieID"].map(movie_index)
    return data, genres.shape[1]


def split(data: pd.DataFrame) -> Tables:
    """Shuffles each user's ratings and cuts them at 70 % and 85 %: train, validation, test."""
    rng = np.random.default_rng(SEED)
    train_parts, validation_parts, test_parts = [], [], []
    for _, group in data.groupby("user"):
        indices = group.index.to_numpy().copy()
        rng.shuffle(indices)
        first, second = int(0.70 * len(indices)), int(0.85 * len(indices))
        train_parts.append(indices[:first])
        validation_parts.append(indices[first:second])
        test_parts.append(indices[second:])
    train, validation, test = (
        data.loc[np.concatenate(parts)].reset_index(drop=True) for parts in (train_parts, validation_parts, test_parts)
    )
    return train, validation, test


class RatingsDataset(Dataset[Batch]):
    """One rating per item, as a dict of five tensors; all but the genres are ready."""

    def __init__(self, data: pd.DataFrame) -> None:
        self.users = torch.tensor(data["user"].to_numpy(), dtype=torch.long)
        self.movies = torch.tensor(data["movie"].to_numpy(), dtype=torch.long)
        self.ratings = torch.tensor(data["Target"].to_numpy(), dtype=torch.float32)
        self.user_features = torch.tensor(data[USER_FEATURES].to_numpy(), dtype=torch.float32)
        self.genres = data["GenreList"].tolist()

    def __len__(self) -> int:
        return len(self.ratings)

    def __getitem__(self, idx: int) -> Batch:
        return {
            "user": self.users[idx],
            "movie": self.movies[idx],
            "user_features": self.user_features[idx],
            "genres": torch.tensor(self.genres[idx], dtype=torch.float32),
            "rating": self.ratings[idx],
        }


class NeuMFEnhanced(nn.Module):
    """User and movie embeddings and two projected feature vectors, then 128, 64 and one unit."""

    def __init__(self, n_users: int, n_movies: int, n_genres: int) -> None:
        super().__init__()
        self.user_embedding = nn.Embedding(n_users, 32)
        self.movie_embedding = nn.Embedding(n_movies, 32)
        self.user_features = nn.Linear(len(USER_FEATURES), 32)
        self.genres = nn.Linear(n_genres, 16)
        self.mlp = nn.Sequential(
            nn.Linear(32 + 32 + 32 + 16, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(128, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(64, 1),
        )

    def forward(self, batch: Batch) -> torch.Tensor:
        """Predicted rating / 5 of each row of a batch, shape (rows,)."""
        parts = [
            self.user_embedding(batch["user"]),
            self.movie_embedding(batch["movie"]),
            self.user_features(batch["user_features"]),
            self.genres(batch["genres"]),
        ]
        return self.mlp(torch.cat(parts, dim=1)).squeeze(1)


def count_parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def make_model(n_users: int, n_movies: int, n_genres: int) -> NeuMFEnhanced:
    """Builds the network and checks its size: 326,193 parameters for 6,040 users, 3,416 movies, 18 genres."""
    model = NeuMFEnhanced(n_users, n_movies, n_genres)
    embeddings = 32 * (n_users + n_movies)
    projections = (3 * 32 + 32) + (n_genres * 16 + 16)
    hidden = (112 * 128 + 128) + 2 * 128 + (128 * 64 + 64) + 2 * 64 + (64 + 1)
    assert count_parameters(model) == embeddings + projections + hidden
    return model


def make_loader(data: pd.DataFrame, batch_size: int, shuffle: bool = False) -> DataLoader[Batch]:
    return DataLoader(RatingsDataset(data), batch_size, shuffle=shuffle, num_workers=0)


def train_epoch(
    model: nn.Module, loader: Iterable[Batch], criterion: nn.Module, optimizer: torch.optim.Optimizer
) -> float:
    model.train()
    total, rows = 0.0, 0
    for batch in loader:
        optimizer.zero_grad()
        loss = criterion(model(batch), batch["rating"])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch["rating"])
        rows += len(batch["rating"])
    return total / rows


def validate(model: nn.Module, loader: Iterable[Batch], criterion: nn.Module) -> float:
    model.eval()
    total, rows = 0.0, 0
    with torch.no_grad():
        for batch in loader:
            loss = criterion(model(batch), batch["rating"])
            total += loss.item() * len(batch["rating"])
            rows += len(batch["rating"])
    return total / rows


def fit(
    model: nn.Module, train: Iterable[Batch], validation: Iterable[Batch], epochs: int, *, fused: bool = False
) -> list[dict[str, float]]:
    """Trains, leaves the weights of the best validation loss in the model; returns one record per epoch."""
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5, fused=fused)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    best_loss, best_weights = float("inf"), copy.deepcopy(model.state_dict())
    history = []
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        train_loss = train_epoch(model, train, criterion, optimizer)
        trained = time.perf_counter()
        validation_loss = validate(model, validation, criterion)
        scheduler.step(validation_loss)
        if validation_loss < best_loss:
            best_loss, best_weights = validation_loss, copy.deepcopy(model.state_dict())
        end = time.perf_counter()
        history.append(
            {
                "loss": train_loss,
                "val_loss": validation_loss,
                "train_s": trained - start,
                "validate_s": end - trained,
                "epoch_s": end - start,
            }
        )
        print(
            f"epoch {epoch}/{epochs}: loss {train_loss:.4f}, val_loss {validation_loss:.4f}, {end - start:.1f} s",
            flush=True,
        )
    model.load_state_dict(best_weights)
    return history


def rank(results: pd.DataFrame) -> dict[str, float]:
    """The two ranking figures over the items that a user rated in the test part, by a loop over the users.

    Precision always divides by ten, and the ideal order of the NDCG is the ten retrieved items re-sorted.
    """
    precisions, ndcgs = [], []
    for _, group in results.groupby("user"):
        top = group.sort_values("Prediction", ascending=False).head(10)
        gains = top["Rating"].to_numpy()
        precisions.append((gains >= 4).sum() / 10)
        discounts = np.log2(np.arange(2, len(gains) + 2))
        dcg = (gains / discounts).sum()
        ideal = (np.sort(gains)[::-1] / discounts).sum()
        ndcgs.append(dcg / ideal)
    return {
        "precision_at_10_of_ten_slots": float(np.mean(precisions)),
        "ndcg_at_10_retrieved_ideal": float(np.mean(ndcgs)),
    }


def evaluate(
    model: nn.Module, loader: Iterable[Batch], test: pd.DataFrame, rank: Callable[[pd.DataFrame], dict[str, float]]
) -> dict[str, float]:
    """Errors in stars, and what `rank` makes of each row's user, rating and prediction."""
    model.eval()
    predictions = []
    with torch.no_grad():
        for batch in loader:
            predictions.extend(model(batch).numpy())
    results = test[["user", "Rating"]].copy()
    results["Prediction"] = np.array(predictions) * 5.0
    return {
        "rmse": math.sqrt(mean_squared_error(results["Rating"], results["Prediction"])),
        "mae": float(mean_absolute_error(results["Rating"], results["Prediction"])),
        "r2": float(r2_score(results["Rating"], results["Prediction"])),
        **rank(results),
    }


def peak_rss_mib() -> float:
    """Peak resident memory of this process in MiB; the kernel counts in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def run(
    folder: str | Path,
    epochs: int = 5,
    batch_size: int = 512,
    *,
    load: Callable[[str | Path], Tables] = load,
    split: Callable[[pd.DataFrame], Tables] = split,
    batches: Callable[..., Iterable[Batch]] = make_loader,
    rank: Callable[[pd.DataFrame], dict[str, float]] = rank,
    fused: bool = False,
) -> dict[str, Any]:
    """Runs the whole workflow on a folder in MovieLens-1M's format.

    Args:
        folder: Holds `ratings.dat`, `users.dat` and `movies.dat`.
        epochs: Number of epochs, 1 or more.
        batch_size: Rows per batch, in training and evaluation.
        load: Reads the folder; this and the next three by default in the notebook's way.
        split: Cuts the table into training, validation and test rows.
        batches: Makes the batches of a part, given the batch size and whether to shuffle.
        rank: Computes the two ranking figures.
        fused: Whether Adam updates all weights in one operation. Default False.

    Returns:
        `seconds` (load, prepare, split, fit, evaluate, total; imports not counted, making the data sets
        and the model counted in fit), `rows` (train, validation, test), `parameters`, `history` (losses and
        seconds of each epoch), `test` (RMSE and MAE in stars), `peak_rss_mib` and `settings`.
    """
    torch.manual_seed(SEED)
    marks = [time.perf_counter()]
    ratings, users, movies = load(folder)
    marks.append(time.perf_counter())
    data, n_genres = prepare(ratings, users, movies)
    marks.append(time.perf_counter())
    train, validation, test = split(data)
    marks.append(time.perf_counter())
    train_loader = batches(train, batch_size, shuffle=True)
    validation_loader, test_loader = batches(validation, batch_size), batches(test, batch_size)
    model = make_model(data["user"].nunique(), data["movie"].nunique(), n_genres)
    history = fit(model, train_loader, validation_loader, epochs, fused=fused)
    marks.append(time.perf_counter())
    metrics = evaluate(model, test_loader, test, rank)
    marks.append(time.perf_counter())

    phases = ("load", "prepare", "split", "fit", "evaluate")
    seconds = dict(zip(phases, np.diff(marks).tolist(), strict=True))
    return {
        "seconds": {**seconds, "total": marks[-1] - marks[0]},
        "rows": {"train": len(train), "validation": len(validation), "test": len(test)},
        "parameters": count_parameters(model),
        "history": history,
        "test": metrics,
        "peak_rss_mib": peak_rss_mib(),
        "settings": {
            "epochs": epochs,
            "batch_size": batch_size,
            "torch": torch.__version__,
            "torch_threads": torch.get_num_threads(),
        },
    }


def main(**ways: Any) -> None:
    parser = argparse.ArgumentParser(description="Time MovieLens-1M's workflow in PyTorch.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder in MovieLens-1M's format")
    parser.add_argument("--epochs", type=int, default=5, help="number of epochs (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=512, help="rows per batch (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file to write the result to")
    given = parser.parse_args()
    result = run(given.folder, given.epochs, given.batch_size, **ways)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for phase, seconds in result["seconds"].items():
        print(f"{phase:10} {seconds:8.2f} s")
    trained = sum(epoch["train_s"] for epoch in result["history"])
    print(f"training   {result['rows']['train'] * given.epochs / trained:8,.0f} rows/s, validation not counted")
    print(f"peak memory {result['peak_rss_mib']:,.0f} MiB, {result['parameters']:,} parameters")
    print(", ".join(f"{name} {value:.4f}" for name, value in result["test"].items()))


if __name__ == "__main__":
    main()
