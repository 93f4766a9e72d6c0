"""Writes a synthetic data set of MovieLens-1M's size, shape and file format, for timing.

    python benchmarks/generate_movielens.py DIR

Everything is synthetic; only the quantiles of activity and popularity, the age groups and the frequencies of
the genres resemble MovieLens-1M. A rating is a mean plus a user's effect, a film's effect, a product of two
small taste vectors and noise, rounded to whole stars from 1 to 5, so that a model has something to learn.
It serves the benchmarks; errors on it say nothing about errors on the real data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

MIN_PER_USER = 20
# Quantiles of MovieLens-1M: ratings per user and per rated film.
QUANTILES = (0.0, 0.08, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
USER_ACTIVITY = (20, 24, 44, 96, 208, 400, 900, 2314)
FILM_POPULARITY = (1, 5, 33, 123.5, 350, 729, 1784, 3428)
# Drawing without replacement saturates the popular films; the exponent makes up for what that flattens, and
# leaves about 290 of 3,706 films with fewer than five ratings, as in MovieLens-1M.
POPULARITY_EXPONENT = 1.0655

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


def _draw_pairs(rng: np.random.Generator, counts: IntArray, movies: int) -> tuple[IntArray, IntArray]:
    """User and film positions of all ratings, sorted by user, each pair at most once.

    Films are drawn by popularity without replacement: each film gets an exponential waiting time at a rate of
    its popularity, and a user rates those that come first.
    """
    popularity = np.interp((np.arange(movies) + 0.5) / movies, QUANTILES, FILM_POPULARITY)
    log_weight = rng.permutation(np.log(popularity)).astype(np.float32) * np.float32(POPULARITY_EXPONENT)
    chosen = []
    for start in range(0, len(counts), 512):
        block = counts[start : start + 512]
        waiting = rng.standard_exponential((len(block), movies), dtype=np.float32)
        ranked = np.argsort(np.log(np.maximum(waiting, np.float32(1e-30))) - log_weight, axis=1)
        chosen.append(ranked[np.arange(movies) < block[:, None]])
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(chosen)


def _draw_ratings(rng: np.random.Generator, user: IntArray, movie: IntArray, sizes: tuple[int, int]) -> IntArray:
    users, movies = sizes
    user_taste = rng.normal(size=(users, RANK)) * SD_TASTE / np.sqrt(RANK)
    movie_taste = rng.normal(size=(movies, RANK))
    score = MEAN + rng.normal(0, SD_USER, users)[user] + rng.normal(0, SD_FILM, movies)[movie]
    score += np.einsum("rk,rk->r", user_taste[user], movie_taste[movie])
    score += rng.normal(0, SD_NOISE, len(user))
    return np.clip(np.rint(score), 1, 5).astype(np.int64)


def _draw_times(rng: np.random.Generator, user: IntArray, users: int) -> IntArray:
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


def _movie_lines(rng: np.random.Generator, ids: IntArray) -> list[str]:
    names, shares = np.array(list(GENRE_SHARES)), np.array(list(GENRE_SHARES.values()))
    has = rng.random((len(ids), len(names))) < shares
    has[np.arange(len(ids)), rng.choice(len(names), len(ids), p=shares / shares.sum())] = True
    years = 2000 - np.minimum(rng.exponential(14, len(ids)).astype(np.int64), 80)
    # The accent is one byte in latin-1: a reader that takes the file for UTF-8 fails.
    return [
        f"{number}::Café No. {number} ({year})::{'|'.join(names[row])}"
        for number, year, row in zip(ids, years, has, strict=True)
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
    if movies < MIN_PER_USER or not MIN_PER_USER * users <= ratings <= users * max(movies // 2, MIN_PER_USER):
        raise ValueError(
            f"expected at least {MIN_PER_USER} films, and from {MIN_PER_USER} ratings per user to half of "
            f"all pairs; received users={users}, movies={movies}, ratings={ratings}"
        )
    rng = np.random.default_rng(seed)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    ids = np.sort(rng.choice(np.arange(1, movies + movies // 15 + 1), movies, replace=False))
    user, movie = _draw_pairs(rng, _user_counts(rng, users, movies, ratings), movies)
    columns = (
        user + 1,
        ids[movie],
        _draw_ratings(rng, user, movie, (users, movies)),
        _draw_times(rng, user, users),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    tables = {
        "ratings.dat": [f"{a}::{b}::{c}::{d}" for a, b, c, d in rows],
        "users.dat": _user_lines(rng, users),
        "movies.dat": _movie_lines(rng, ids),
    }
    for name, lines in tables.items():
        (target / name).write_text("\n".join(lines) + "\n", encoding="latin-1", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write synthetic data of MovieLens-1M's size and format.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write into; made if absent")
    parser.add_argument("--users", type=int, default=6040, help="number of users (default: %(default)s)")
    parser.add_argument("--movies", type=int, default=3706, help="number of films (default: %(default)s)")
    parser.add_argument("--ratings", type=int, default=1_000_209, help="number of ratings (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default: %(default)s)")
    given = parser.parse_args()
    start = time.perf_counter()
    write_ml1m_like(given.folder, users=given.users, movies=given.movies, ratings=given.ratings, seed=given.seed)
    print(f"{given.ratings:,} ratings written to {given.folder} in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
