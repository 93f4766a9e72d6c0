"""Writes a synthetic data set of MovieLens's shape and file format, of a million ratings or many more, for timing.

    python benchmarks/generate_movielens.py DIR
    python benchmarks/generate_movielens.py DIR --format csv --users 162541 --movies 59047 --ratings 25000000
    python benchmarks/generate_movielens.py DIR --format parquet --users 162541 --movies 59047 --ratings 25000000

Everything is synthetic; only the quantiles of activity and popularity, the age groups and the frequencies of
the genres resemble MovieLens-1M. A rating is a mean plus a user's effect, a film's effect, a product of two
small taste vectors and noise of a known standard deviation, rounded to whole stars from 1 to 5, so that a model has
something to learn and the best possible prediction is known. Errors on it say nothing about errors on the real data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

IntArray = npt.NDArray[np.int64]

MIN_PER_USER = 20
# Quantiles of MovieLens-1M: ratings per user and per rated film.
QUANTILES = (0.0, 0.08, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
USER_ACTIVITY = (20, 24, 44, 96, 208, 400, 900, 2314)
FILM_POPULARITY = (1, 5, 33, 123.5, 350, 729, 1784, 3428)
# Drawing without replacement saturates the popular films; the exponent makes up for what that flattens, and
# leaves about 290 of 3,706 films with fewer than five ratings, as in MovieLens-1M.
POPULARITY_EXPONENT = 1.0655

# Where a user rates more than this share of all films, or the table of all pairs is small, every film gets a waiting
# time; else films are drawn one by one, and again where the user has the film already. The law is the same.
RACING_SHARE, SMALL = 1 / 32, 2**25
BLOCK_USERS, BLOCK_ROWS = 512, 2**20
FILE_ROWS, GROUP_ROWS = 2**22, 2**17

MEAN, SD_USER, SD_FILM, SD_TASTE, SD_NOISE, RANK = 3.6, 0.42, 0.55, 0.35, 0.85, 4
GENRE_SHARES = {
    "Action": 0.130,
    "Adventure": 0.073,
    "Animation": 0.027,
    "Children's": 0.065,
    "Comedy": 0.309,
    "Crime": 0.054,
    "Documentary": 0.033,
    "Drama": 0.413,
    "Fantasy": 0.018,
    "Film-Noir": 0.011,
    "Horror": 0.088,
    "Musical": 0.029,
    "Mystery": 0.027,
    "Romance": 0.121,
    "Sci-Fi": 0.071,
    "Thriller": 0.127,
    "War": 0.037,
    "Western": 0.018,
}
AGES = (1, 18, 25, 35, 45, 50, 56)
AGE_SHARES = (0.037, 0.183, 0.347, 0.197, 0.091, 0.082, 0.063)
FIRST_TIME, LAST_TIME = 956_703_932, 1_046_454_590  # April 2000 to February 2003, UTC


def _user_counts(rng: np.random.Generator, users: int, movies: int, ratings: int) -> IntArray:
    """Ratings per user: the activity quantiles, scaled to the wanted sum within 20 and `movies`."""
    surplus = np.interp((np.arange(users) + 0.5) / users, QUANTILES, USER_ACTIVITY) - MIN_PER_USER
    low, high = 0.0, 1.0

    def counts(factor: float) -> IntArray:
        return np.minimum(MIN_PER_USER + surplus * factor, movies).astype(np.int64)

    while counts(high).sum() < ratings:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if counts(middle).sum() <= ratings else (low, middle)
    result = counts(low)
    while (missing := ratings - int(result.sum())) > 0:
        result[np.flatnonzero(result < movies)[:missing]] += 1
    return rng.permutation(result)


class Drawn(NamedTuple):
    """Ratings, sorted by user; `expected` is the mean of a rating given all effects, the best possible prediction."""

    film_ids: IntArray
    user: npt.NDArray[np.int32]
    movie: npt.NDArray[np.int32]
    stars: npt.NDArray[np.int8]
    expected: npt.NDArray[np.float32]
    timestamp: IntArray | None


def draw(rng: np.random.Generator, users: int, movies: int, ratings: int, *, timed: bool = True) -> Drawn:
    """Draws all ratings; `user` and `movie` are positions from 0, each pair comes once at most.

    Drawing the times takes three fifths of the memory; the rest is 13 bytes a rating, and 4 more for a moment.
    """
    if movies < MIN_PER_USER or not MIN_PER_USER * users <= ratings <= users * max(movies // 2, MIN_PER_USER):
        raise ValueError(
            f"expected at least {MIN_PER_USER} films, and from {MIN_PER_USER} ratings per user to half of "
            f"all pairs; received users={users}, movies={movies}, ratings={ratings}"
        )
    ids = np.sort(rng.choice(np.arange(1, movies + movies // 15 + 1), movies, replace=False))
    user, movie = _draw_pairs(rng, _user_counts(rng, users, movies, ratings), movies)
    stars, expected = _draw_ratings(rng, user, movie, (users, movies))
    return Drawn(ids, user, movie, stars, expected, _draw_times(rng, user, users) if timed else None)


def _draw_pairs(
    rng: np.random.Generator, counts: IntArray, movies: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """User and film positions of all ratings, sorted by user, each pair at most once.

    Films are drawn by popularity without replacement.
    """
    popularity = np.interp((np.arange(movies) + 0.5) / movies, QUANTILES, FILM_POPULARITY)
    log_weight = rng.permutation(np.log(popularity)).astype(np.float32) * np.float32(POPULARITY_EXPONENT)
    racing = (counts > movies * RACING_SHARE) | (len(counts) * movies <= SMALL)
    chosen = []
    for start in range(0, len(counts), BLOCK_USERS):
        block, races = counts[start : start + BLOCK_USERS], racing[start : start + BLOCK_USERS]
        films = np.empty(block.sum(), np.int32)
        by_race = np.repeat(races, block)
        films[by_race] = _race(rng, block[races], log_weight)
        films[~by_race] = _draw_by_turns(rng, block[~races], log_weight)
        chosen.append(films)
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts), np.concatenate(chosen)


def _race(rng: np.random.Generator, counts: IntArray, log_weight: npt.NDArray[np.float32]) -> IntArray:
    """Each film gets an exponential waiting time at a rate of its weight; a user rates those that come first."""
    movies = len(log_weight)
    waiting = rng.standard_exponential((len(counts), movies), dtype=np.float32)
    ranked = np.argsort(np.log(np.maximum(waiting, np.float32(1e-30))) - log_weight, axis=1)
    return ranked[np.arange(movies) < counts[:, None]]


def _draw_by_turns(rng: np.random.Generator, counts: IntArray, log_weight: npt.NDArray[np.float32]) -> IntArray:
    """A user draws as many films as are missing; those that the user has already are drawn anew."""
    movies, missing = len(log_weight), counts
    cumulative = np.cumsum(np.exp(log_weight, dtype=np.float64))
    pairs = np.empty(0, np.int64)
    while missing.any():
        films = np.searchsorted(cumulative, rng.random(missing.sum()) * cumulative[-1], side="right")
        owners = np.repeat(np.arange(len(counts)), missing)
        pairs = np.sort(np.concatenate([pairs, owners * movies + films]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # `np.unique` hashes, and is several times slower
        missing = counts - np.bincount(pairs // movies, minlength=len(counts))
    return pairs % movies


def _draw_ratings(
    rng: np.random.Generator, user: npt.NDArray[np.int32], movie: npt.NDArray[np.int32], sizes: tuple[int, int]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Stars and their expectations: 1 + the sum over k = 1 … 4 of the probability of more than k stars."""
    users, movies = sizes
    user_taste = rng.normal(size=(users, RANK)) * SD_TASTE / np.sqrt(RANK)
    movie_taste = rng.normal(size=(movies, RANK))
    user_effect, movie_effect = rng.normal(0, SD_USER, users), rng.normal(0, SD_FILM, movies)
    stars, expected = np.empty(len(user), np.int8), np.empty(len(user), np.float32)
    for start in range(0, len(user), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        of_user, of_movie = user[rows], movie[rows]
        score = MEAN + user_effect[of_user] + movie_effect[of_movie]
        score += np.einsum("rk,rk->r", user_taste[of_user], movie_taste[of_movie])
        expected[rows] = 1 + sum(ndtr((score - stars_ - 0.5) / SD_NOISE) for stars_ in range(1, 5))
        stars[rows] = np.clip(np.rint(score + rng.normal(0, SD_NOISE, len(score))), 1, 5)
    return stars, expected


def _draw_times(rng: np.random.Generator, user: npt.NDArray[np.int32], users: int) -> IntArray:
    """Most of a user's ratings fall in one evening; one in ten comes later, up to the end of the period."""
    span = LAST_TIME - FIRST_TIME
    first = FIRST_TIME + (rng.beta(1, 3, users) * span * 0.99).astype(np.int64)
    time_ = first[user] + rng.integers(0, 4 * 3600, len(user))
    later = np.flatnonzero(rng.random(len(user)) < 0.1)
    time_[later] += (rng.random(len(later)) * (LAST_TIME - time_[later])).astype(np.int64)
    return np.minimum(time_, LAST_TIME)


def _user_lines(rng: np.random.Generator, users: int) -> list[str]:
    genders = np.where(rng.random(users) < 0.283, "F", "M")
    ages = rng.choice(AGES, users, p=AGE_SHARES)
    jobs, zips = rng.integers(0, 21, users), rng.integers(1000, 99951, users)
    return [
        f"{number}::{gender}::{age}::{job}::{zip_:05d}"
        for number, (gender, age, job, zip_) in enumerate(zip(genders, ages, jobs, zips, strict=True), 1)
    ]


def _movie_rows(rng: np.random.Generator, ids: IntArray) -> list[tuple[int, str, str]]:
    """Number, title and genres of each film."""
    names, shares = np.array(list(GENRE_SHARES)), np.array(list(GENRE_SHARES.values()))
    has = rng.random((len(ids), len(names))) < shares
    has[np.arange(len(ids)), rng.choice(len(names), len(ids), p=shares / shares.sum())] = True
    years = 2000 - np.minimum(rng.exponential(14, len(ids)).astype(np.int64), 80)
    # The accent is one byte in latin-1: a reader that takes the file for UTF-8 fails.
    return [
        (number, f"Café No. {number} ({year})", "|".join(names[row]))
        for number, year, row in zip(ids.tolist(), years, has, strict=True)
    ]


def write_ml1m_like(
    folder: str | Path, *, users: int = 6040, movies: int = 3706, ratings: int = 1_000_209, seed: int = 0
) -> None:
    """Writes `ratings.dat`, `users.dat` and `movies.dat` in MovieLens-1M's format ('::', latin-1).

    Activity and popularity are heavy-tailed, every user has at least 20 ratings, and no pair of user and film
    comes twice. At the default size and seed 3,416 films have five ratings or more, as in MovieLens-1M. The
    ratings are sorted by user; film numbers have gaps, and a few films have no rating.

    Args:
        folder: Where to write; made if absent. Files of these names are overwritten.
        users: Number of users, numbered from 1.
        movies: Number of films in `movies.dat`, at least 20.
        ratings: Number of ratings, from 20 per user to half of all pairs.
        seed: Seed of all draws; the same seed gives the same files.

    Raises:
        ValueError: The numbers of users, films and ratings do not go together.
    """
    rng = np.random.default_rng(seed)
    drawn = draw(rng, users, movies, ratings)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    columns = drawn.user + 1, drawn.film_ids[drawn.movie], drawn.stars, drawn.timestamp
    rows = zip(*(column.tolist() for column in columns), strict=True)
    tables = {
        "ratings.dat": [f"{a}::{b}::{c}::{d}" for a, b, c, d in rows],
        "users.dat": _user_lines(rng, users),
        "movies.dat": [f"{a}::{b}::{c}" for a, b, c in _movie_rows(rng, drawn.film_ids)],
    }
    for name, lines in tables.items():
        (target / name).write_text("\n".join(lines) + "\n", encoding="latin-1", newline="\n")


def write_csv_like(folder: str | Path, *, users: int, movies: int, ratings: int, seed: int = 0) -> None:
    """Writes `ratings.csv` and `movies.csv` in the format of the releases from 20 million ratings on.

    The data is of the same law as that of `write_ml1m_like`. `expected.npy`, float32 (ratings,), has the best possible
    prediction of each rating in the order of the file: its error is the lowest that a model can have.
    """
    rng = np.random.default_rng(seed)
    drawn = draw(rng, users, movies, ratings)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    np.save(target / "expected.npy", drawn.expected)
    films = pd.DataFrame(_movie_rows(rng, drawn.film_ids), columns=["movieId", "title", "genres"])
    films.to_csv(target / "movies.csv", index=False, lineterminator="\n")
    with (target / "ratings.csv").open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, ratings, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            columns: dict[str, npt.NDArray[Any]] = {
                "userId": drawn.user[rows] + 1,
                "movieId": drawn.film_ids[drawn.movie[rows]],
                "rating": drawn.stars[rows],
                "timestamp": drawn.timestamp[rows],
            }
            pd.DataFrame(columns).to_csv(file, index=False, header=start == 0, lineterminator="\n")


def write_parquet_like(folder: str | Path, *, users: int, movies: int, ratings: int, seed: int = 0) -> None:
    """Writes files of 2**22 ratings in Parquet, row groups of 2**17, sorted by user.

    The ratings are those of `write_csv_like`: columns `user_id` (int32), `item_id` (int64) and `rating` (float32),
    without times, and `expected` (float32), the best possible prediction of each.
    """
    import pyarrow
    from pyarrow import parquet

    drawn = draw(np.random.default_rng(seed), users, movies, ratings, timed=False)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, ratings, FILE_ROWS)):
        rows = slice(start, start + FILE_ROWS)
        columns = {
            "user_id": drawn.user[rows] + np.int32(1),
            "item_id": drawn.film_ids[drawn.movie[rows]],
            "rating": drawn.stars[rows].astype(np.float32),
            "expected": drawn.expected[rows],
        }
        parquet.write_table(pyarrow.table(columns), target / f"{number:03}.parquet", row_group_size=GROUP_ROWS)


WRITERS = {"ml-1m": write_ml1m_like, "csv": write_csv_like, "parquet": write_parquet_like}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write synthetic data of MovieLens's shape and format.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write into; made if absent")
    parser.add_argument("--format", choices=WRITERS, default="ml-1m", help="of the files (default: %(default)s)")
    parser.add_argument("--users", type=int, default=6040, help="number of users (default: %(default)s)")
    parser.add_argument("--movies", type=int, default=3706, help="number of films (default: %(default)s)")
    parser.add_argument("--ratings", type=int, default=1_000_209, help="number of ratings (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default: %(default)s)")
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in ("users", "movies", "ratings", "seed")}
    start = time.perf_counter()
    WRITERS[given.format](given.folder, **sizes)
    print(f"{given.ratings:,} ratings written to {given.folder} in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
