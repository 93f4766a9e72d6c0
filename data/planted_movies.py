"""Synthetic films in TMDB's format whose profit follows a known rule, and what that rule makes possible.

A film makes a profit with probability ``1 / (1 + exp(-score))``, where

    score = intercept + 1.2 b - 0.6 b² - 0.6 ((runtime - 115) / 25)² + sum of genre effects
            + 1.5 [horror and budget below 6.3 million] + director effect,      b = log10(budget) - 7.3

and the intercept makes 0.72 the mean probability. Everything that is drawn is drawn independently of everything else.
People and titles are invented.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

N_FILMS, N_DIRECTORS = 4_400, 120
SHARE_PROFITABLE, SD_GENRE, SD_DIRECTOR = 0.72, 0.50, 0.35
GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Family",
    "Fantasy",
    "History",
    "Horror",
    "Music",
    "Mystery",
    "Romance",
    "Science Fiction",
    "Thriller",
    "War",
    "Western",
)
_GENRE_SHARES = np.array([24, 16, 5, 36, 14, 2, 48, 11, 9, 4, 11, 4, 7, 19, 11, 27, 3, 2], float)
_HORROR = GENRES.index("Horror")
# TMDB's own numbers of the genres mean nothing here; these are positions times ten.
_GENRE_IDS = [10 * (i + 1) for i in range(len(GENRES))]
#: Shares of the films whose runtime, genres and director are missing, whatever the film.
_MISSING = {"runtime": 0.03, "genres": 0.03, "director": 0.04, "rating": 0.02}
#: Films beside the 4,400 that have no budget, no revenue, or stand in the file twice.
_NO_BUDGET, _NO_REVENUE, _REPEATED = 110, 170, 6

_ADJECTIVES = (
    "Ashen Bitter Copper Daring Early Faithful Glass Hidden Iron Jealous Kind Late "
    "Merry Narrow Old Plain Ragged Secret Tender Upper Vain Wooden Young Zealous"
)
_NOUNS = (
    "Anchor Bell Castle Desert Engine Forest Gate Hour Inn Jury Key Letter "
    "Mirror Night Ocean Parade Queen Road Shadow Tower Uncle Valley Winter Year"
)
_FIRST = "Ada Bo Cleo Dag Edda Finn Greta Hugo Ida Jon Kaia Lars Mona Nils Olga Per Rosa Sven Tea Ulf"
_LAST = "Abel Berg Crane Dorn Eklund Frost Gray Holm Ivers Jarl Krone Lund Moor North Oake Pohl Quist Rask Stone Thorn"


@dataclass(frozen=True)
class Planted:
    """A drawn world of films.

    Args:
        log_budget: Shape (films,), log10 of the budget.
        runtime: Shape (films,), whole minutes.
        genres: Shape (films, 18), True where the film has the genre.
        director: Shape (films,), 0-based.
        missing: Name of a column -> shape (films,), True where the file does not tell.
        probability: Shape (films,), of a profit, given everything.
        profitable: Shape (films,), whether it came out so.
        intercept: Of the rule.
        genre_effect: Shape (18,).
        director_effect: Shape (directors,).
        director_share: Shape (directors,), share of the films that each makes.
    """

    log_budget: np.ndarray
    runtime: np.ndarray
    genres: np.ndarray
    director: np.ndarray
    missing: dict[str, np.ndarray]
    probability: np.ndarray
    profitable: np.ndarray
    intercept: float
    genre_effect: np.ndarray
    director_effect: np.ndarray
    director_share: np.ndarray


def draw_runtime(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws whole minutes, 108 ± 20, kept within 60 … 240."""
    return np.clip(np.rint(rng.normal(108, 20, size)), 60, 240)


def draw_genres(rng: np.random.Generator, size: int) -> np.ndarray:
    """Gives each film one to three genres, common ones more often."""
    count = rng.choice([1, 2, 3], size, p=[0.3, 0.4, 0.3])
    order = np.argsort(-(np.log(_GENRE_SHARES) + rng.gumbel(size=(size, len(GENRES)))), axis=1)
    return np.argsort(order, axis=1) < count[:, None]


def score(
    log_budget: np.ndarray, runtime: np.ndarray, genres: np.ndarray, directed: np.ndarray, genre_effect: np.ndarray
) -> np.ndarray:
    """The log-odds by the rule above, less the intercept; `directed` is the effect of each film's director."""
    b = log_budget - 7.3
    cheap_horror = genres[..., _HORROR] & (log_budget < 6.8)
    return (
        1.2 * b - 0.6 * b**2 - 0.6 * ((runtime - 115) / 25) ** 2 + genres @ genre_effect + 1.5 * cheap_horror + directed
    )


def plant(seed: int, films: int = N_FILMS) -> Planted:
    """Draws a world from one seed."""
    rng = np.random.default_rng(seed)
    activity = (np.arange(N_DIRECTORS) + 10.0) ** -0.8
    share = activity / activity.sum()
    genre_effect = rng.normal(0, SD_GENRE, len(GENRES))
    director_effect = rng.normal(0, SD_DIRECTOR, N_DIRECTORS)
    log_budget = np.clip(rng.normal(7.3, 0.6, films), 5.0, 8.6)
    runtime, genres = draw_runtime(rng, films), draw_genres(rng, films)
    director = rng.choice(N_DIRECTORS, films, p=share)
    scores = score(log_budget, runtime, genres, director_effect[director], genre_effect)
    intercept = brentq(lambda shift: expit(scores + shift).mean() - SHARE_PROFITABLE, -10, 10)
    probability = expit(scores + intercept)
    return Planted(
        log_budget=log_budget,
        runtime=runtime,
        genres=genres,
        director=director,
        missing={name: rng.random(films) < rate for name, rate in _MISSING.items()},
        probability=probability,
        profitable=rng.random(films) < probability,
        intercept=float(intercept),
        genre_effect=genre_effect,
        director_effect=director_effect,
        director_share=share,
    )


def observed_probability(world: Planted, *, draws: int = 2_000, seed: int = 0) -> np.ndarray:
    """Each film's probability of a profit given what the file tells: the mean over what it does not tell."""
    rng = np.random.default_rng(seed)
    result = world.probability.copy()
    gaps = world.missing
    for i in np.flatnonzero(gaps["runtime"] | gaps["genres"] | gaps["director"]):
        runtime = draw_runtime(rng, draws) if gaps["runtime"][i] else world.runtime[i]
        genres = draw_genres(rng, draws) if gaps["genres"][i] else world.genres[i]
        director = rng.choice(N_DIRECTORS, draws, p=world.director_share) if gaps["director"][i] else world.director[i]
        directed = world.director_effect[director]
        scores = score(world.log_budget[i], runtime, genres, directed, world.genre_effect)
        result[i] = expit(scores + world.intercept).mean()
    return result


def expected_auc(score: np.ndarray, probability: np.ndarray) -> float:
    """The AUC that a score has on average when each film makes a profit with its probability; no draws needed."""
    order = np.argsort(score, kind="stable")
    _, group = np.unique(score[order], return_inverse=True)
    gain, loss = np.bincount(group, probability[order]), np.bincount(group, 1 - probability[order])
    below = np.cumsum(loss) - loss
    # A film is not compared with itself; among equal scores half of the pairs count.
    own = (probability * (1 - probability)).sum()
    pairs = probability.sum() * (1 - probability).sum() - own
    return float(((gain * (below + loss / 2)).sum() - own / 2) / pairs)


def floors(world: Planted, *, folds: int = 5, seed: int = 0) -> dict[str, float]:
    """Computes what is reachable.

    Returns:
        - `bayes_accuracy`, `bayes_auc`: of the rule itself, given what the file tells; expectations, not of one draw.
        - `oracle_accuracy`, `oracle_auc`: the same scores against the profits that came out.
        - `learnable_accuracy`, `learnable_auc`: the rule's form with its effects estimated from four fifths of the
          films (the mode of their posterior under the true standard deviations), on the other fifth, five times;
          expectations over the profits that could have come out there.
        - `majority_accuracy`: the share of the larger class.
    """
    p, y = observed_probability(world), world.profitable
    design, precision = _design(world)
    fold = np.random.default_rng(seed).permutation(np.arange(len(y)) % folds)
    auc, right = [], []
    for i in range(folds):
        train = fold != i
        learnt = expit(design[~train] @ _posterior_mode(design[train], y[train], precision))
        auc.append(expected_auc(learnt, p[~train]))
        right.append(np.where(learnt > 0.5, p[~train], 1 - p[~train]).mean())
    return {
        "bayes_accuracy": float(np.maximum(p, 1 - p).mean()),
        "bayes_auc": expected_auc(p, p),
        "oracle_accuracy": float(((p > 0.5) == y).mean()),
        "oracle_auc": expected_auc(p, y.astype(float)),
        "learnable_accuracy": float(np.mean(right)),
        "learnable_auc": float(np.mean(auc)),
        "majority_accuracy": float(max(y.mean(), 1 - y.mean())),
    }


def _design(world: Planted) -> tuple[np.ndarray, np.ndarray]:
    """The rule's columns as far as the file tells them, and each coefficient's prior precision."""
    b = world.log_budget - 7.3
    time = np.where(world.missing["runtime"], 0, ((world.runtime - 115) / 25) ** 2)
    genres = world.genres & ~world.missing["genres"][:, None]
    horror = genres[:, _HORROR] & (world.log_budget < 6.8)
    directors = np.eye(N_DIRECTORS)[world.director] * ~world.missing["director"][:, None]
    known = np.column_stack([np.ones(len(b)), b, b**2, time, world.missing["runtime"], horror])
    precision = [0.01] * known.shape[1] + [SD_GENRE**-2] * len(GENRES) + [SD_DIRECTOR**-2] * N_DIRECTORS
    return np.hstack([known, genres, directors]), np.array(precision)


def _posterior_mode(x: np.ndarray, y: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Logistic regression with a normal prior on each coefficient, by Newton's method."""
    w = np.zeros(x.shape[1])
    for _ in range(12):
        p = expit(x @ w)
        gradient = x.T @ (y - p) - precision * w
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
        w = w + np.linalg.solve(hessian, gradient)
    return w


def write(folder: Path, with_floors: bool, seed: int = 2022) -> None:
    """Writes tmdb_5000_movies.csv and tmdb_5000_credits.csv, and floors.json if asked for."""
    world = plant(seed)
    films, credits = _rows(world, np.random.default_rng(seed + 1))
    for name, rows in (("tmdb_5000_movies.csv", films), ("tmdb_5000_credits.csv", credits)):
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (folder / name).write_bytes(text.getvalue().encode())
    if with_floors:
        found = {name: round(value, 4) for name, value in floors(world).items()}
        (folder / "floors.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for name, value in found.items():
            print(f"{name:18} {value:.4f}")


def _rows(world: Planted, rng: np.random.Generator) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The lines of both files: the films, those without an amount among them, and a few films twice at the end."""
    films, credits = [], []
    extra = plant(int(rng.integers(2**31)), _NO_BUDGET + _NO_REVENUE)
    kinds = ["whole"] * N_FILMS + ["no budget"] * _NO_BUDGET + ["no revenue"] * _NO_REVENUE
    titles, names = _draw_titles(rng, len(kinds)), _draw_names(rng)
    ids = rng.permutation(np.arange(1, 3 * len(kinds)))[: len(kinds)].tolist()
    for place in rng.permutation(len(kinds)).tolist():
        kind = kinds[place]
        source, i = (world, place) if kind == "whole" else (extra, place - N_FILMS)
        film, credit = _film(source, i, ids[place], titles[place], names, rng)
        if kind == "no budget":
            film["budget"] = 0
        elif kind == "no revenue":
            film["revenue"] = 0
        films.append(film)
        credits.append(credit)
    again = [i for i, film in enumerate(films) if film["budget"] and film["revenue"]][:_REPEATED]
    return films + [films[i] for i in again], credits


def _film(
    world: Planted, i: int, film_id: int, title: str, names: list[str], rng: np.random.Generator
) -> tuple[dict[str, object], dict[str, object]]:
    """One film's line in each file."""
    budget = int(np.rint(10 ** world.log_budget[i]))
    profitable = bool(world.profitable[i])
    factor = 1 + rng.lognormal(0, 1) if profitable else rng.uniform(0.02, 0.98)
    revenue = int(np.ceil(budget * factor)) if profitable else int(budget * factor)
    gaps = {name: bool(world.missing[name][i]) for name in world.missing}
    genres = (
        [] if gaps["genres"] else [{"id": _GENRE_IDS[j], "name": GENRES[j]} for j in np.flatnonzero(world.genres[i])]
    )
    # Only known after release: both lean on how the film did.
    rating = np.clip(rng.normal(5.9 + 0.7 * profitable, 0.8), 1, 10)
    votes = int(rng.lognormal(0.8 * np.log(revenue) - 7, 0.6))
    day = np.datetime64("2016-12-31") - int(min(rng.exponential(4_000), 20_000))
    film: dict[str, object] = {
        "id": film_id,
        "title": title,
        "genres": json.dumps(genres),
        "budget": budget,
        "revenue": revenue,
        "runtime": "" if gaps["runtime"] else int(world.runtime[i]),
        "release_date": str(day),
        "vote_average": "" if gaps["rating"] else f"{rating:.1f}",
        "vote_count": votes,
    }
    crew = [{"job": "Director", "name": names[world.director[i]]}]
    if gaps["director"]:
        crew = []
    if rng.random() < 0.3:
        crew.insert(0, {"job": "Producer", "name": names[int(rng.integers(N_DIRECTORS))]})
    return film, {"movie_id": film_id, "title": title, "crew": json.dumps(crew)}


def _draw_titles(rng: np.random.Generator, size: int) -> list[str]:
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    picks = rng.choice(len(adjectives) * len(nouns) ** 2, size, replace=False)
    n = len(nouns)
    return [f"{adjectives[k // n**2]} {nouns[k // n % n]} of the {nouns[k % n]}" for k in picks.tolist()]


def _draw_names(rng: np.random.Generator) -> list[str]:
    first, last = _FIRST.split(), _LAST.split()
    picks = rng.choice(len(first) * len(last), N_DIRECTORS, replace=False)
    return [f"{first[k // len(last)]} {last[k % len(last)]}" for k in picks.tolist()]
