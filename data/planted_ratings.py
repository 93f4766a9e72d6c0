"""A synthetic MovieLens whose ratings have a known structure, and what that structure makes possible.

A rating is ``mu + b_user + b_film + age[user] + sum of taste[gender, genre] + p_user · q_film + sigma ·
eps``, with eps standard normal, rounded to whole stars from 1 to 5. Everything but sigma is drawn from the
normal distributions whose standard deviations stand below. People, films and titles are invented.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from kmodels.datasets.simulated import draw_coefficients, draw_side

N_USERS, N_FILMS, RANK = 600, 360, 3
MU, SIGMA = 3.45, 0.60
SD_USER, SD_FILM, SD_AGE, SD_TASTE, SD_FACTOR = 0.30, 0.45, 0.12, 0.20, 0.70

GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
# Rough shares in MovieLens-1M: films by genre (a film may have several), women, users by age band.
_GENRE_SHARES = np.array([13, 7, 3, 6, 31, 5, 3, 41, 2, 1, 9, 3, 3, 12, 7, 13, 4, 2], float)
_FEMALE_SHARE = 0.28
AGES = np.array([1, 18, 25, 35, 45, 50, 56])
_AGE_SHARES = np.array([0.04, 0.18, 0.35, 0.20, 0.09, 0.08, 0.06])
_FIRST_DAY, _LAST_DAY = 956_700_000, 1_046_400_000  # 25 April 2000 to 28 February 2003

_ADJECTIVES = (
    "Amber Broken Crimson Distant Electric Forgotten Gentle Hollow Idle Jaded Kindred Lonely "
    "Marble Northern Open Paper Quiet Restless Silver Twilight Undying Velvet Wandering Yellow"
)
_NOUNS = (
    "Archive Bridge Compass Detective Empire Ferry Garden Harbour Island Journey Kingdom Lantern "
    "Machine Neighbour Orchard Promise Quarry River Station Tailor Umbrella Voyage Window Zephyr"
)


@dataclass(frozen=True)
class Planted:
    """A drawn world: who rated what, what the model says of it, and what came out.

    Args:
        user: Shape (ratings,), 0-based position of the user, ascending.
        film: Shape (ratings,), 0-based position of the film.
        mean: Shape (ratings,), the rating before noise and rounding.
        stars: Shape (ratings,), whole stars from 1 to 5.
        timestamp: Shape (ratings,), seconds since 1970.
        gender: Shape (users,), 0 woman, 1 man.
        age: Shape (users,), position in `AGES`.
        occupation: Shape (users,), code 0 to 20.
        genres: Shape (films, 18), True where the film has the genre.
        film_id: Shape (films,), ids with gaps, ascending.
        titles: One per film, with the year in parentheses.
        zip_codes: One per user.
    """

    user: np.ndarray
    film: np.ndarray
    mean: np.ndarray
    stars: np.ndarray
    timestamp: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    occupation: np.ndarray
    genres: np.ndarray
    film_id: np.ndarray
    titles: list[str]
    zip_codes: list[str]


def plant(seed: int) -> Planted:
    """Draws the whole world from one seed."""
    rng = np.random.default_rng(seed)
    gender = (rng.random(N_USERS) >= _FEMALE_SHARE).astype(np.int64)
    age = rng.choice(len(AGES), N_USERS, p=_AGE_SHARES / _AGE_SHARES.sum())
    occupation = np.where(age == 0, 10, rng.integers(0, 21, N_USERS))  # under 18: K-12 student
    genres = _draw_genres(rng)
    film_id = np.sort(rng.choice(np.arange(1, N_FILMS * 5 // 4), N_FILMS, replace=False))
    user, film = _draw_pairs(rng)

    b_user = rng.normal(0, SD_USER, N_USERS) + rng.normal(0, SD_AGE, len(AGES))[age]
    b_film = rng.normal(0, SD_FILM, N_FILMS)
    taste = rng.normal(0, SD_TASTE, (2, len(GENRES)))
    # Both sides share the scale, so that the product has the standard deviation SD_FACTOR.
    scale = (SD_FACTOR**2 / RANK) ** 0.25
    p = rng.normal(0, scale, (N_USERS, RANK))
    q = rng.normal(0, scale, (N_FILMS, RANK))
    mean = (
        MU
        + b_user[user]
        + b_film[film]
        + (taste[gender[user]] * genres[film]).sum(axis=1)
        + (p[user] * q[film]).sum(axis=1)
    )
    stars = np.clip(np.rint(mean + rng.normal(0, SIGMA, len(mean))), 1, 5).astype(np.int64)
    return Planted(
        user=user,
        film=film,
        mean=mean,
        stars=stars,
        timestamp=_draw_times(rng, user),
        gender=gender,
        age=age,
        occupation=occupation,
        genres=genres,
        film_id=film_id,
        titles=_draw_titles(rng),
        zip_codes=[f"{code:05d}" for code in rng.integers(1000, 99_951, N_USERS)],
    )


def _draw_genres(rng: np.random.Generator) -> np.ndarray:
    """Gives each film one to three genres, common ones more often."""
    count = rng.choice([1, 2, 3], N_FILMS, p=[0.5, 0.35, 0.15])
    order = np.argsort(-(np.log(_GENRE_SHARES) + rng.gumbel(size=(N_FILMS, len(GENRES)))), axis=1)
    rank = np.argsort(order, axis=1)
    return rank < count[:, None]


def _draw_pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws who rated what: 20 ratings or more per user, both sides heavy-tailed, no pair twice."""
    activity = np.clip(20 + rng.lognormal(3.75, 0.95, N_USERS), 20, N_FILMS * 3 // 4).astype(np.int64)
    popularity = rng.permutation((np.arange(N_FILMS) + 12.0) ** -1.25)
    # The first n of a ranking by log weight + Gumbel noise are n draws without replacement.
    ranking = np.argsort(-(np.log(popularity) + rng.gumbel(size=(N_USERS, N_FILMS))), axis=1)
    chosen = np.arange(N_FILMS) < activity[:, None]
    user, _ = np.nonzero(chosen)
    return user, ranking[chosen]


def _draw_times(rng: np.random.Generator, user: np.ndarray) -> np.ndarray:
    """Draws timestamps: users join over three years, rate a film a minute and come back now and then."""
    joined = rng.integers(_FIRST_DAY, _LAST_DAY - 400 * 86_400, N_USERS)
    gaps = rng.exponential(60, len(user)) + 2
    returns = rng.random(len(user)) < 0.01
    gaps = gaps + returns * rng.exponential(20 * 86_400, len(user))
    total = np.cumsum(gaps)
    first = np.searchsorted(user, np.arange(N_USERS))
    since = total - total[first][user]
    return np.minimum(joined[user] + since, _LAST_DAY).astype(np.int64)


def _draw_titles(rng: np.random.Generator) -> list[str]:
    """Draws one invented title per film, no two alike."""
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    picks = rng.choice(len(adjectives) * len(nouns), N_FILMS, replace=False)
    years = 2000 - np.minimum(rng.exponential(12, N_FILMS).astype(int), 75)
    return [
        f"The {adjectives[pick // len(nouns)]} {nouns[pick % len(nouns)]} ({year})"
        for pick, year in zip(picks.tolist(), years.tolist(), strict=True)
    ]


def expected_stars(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Enumerates the five outcomes of rounding `mean + SIGMA · eps` to 1 … 5.

    Returns:
        Expectation and variance of the stars, both of the shape of `mean`.
    """
    # P(stars > k) for k = 1 … 4; E = 1 + the sum of these, E² from (k + 1)² - k² = 2k + 1.
    above = ndtr((mean[..., None] - np.arange(1.5, 5)) / SIGMA)
    expectation = 1 + above.sum(axis=-1)
    square = 1 + (above * np.array([3, 5, 7, 9])).sum(axis=-1)
    return expectation, square - expectation**2


def random_split(user: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Puts a random `share` of each user's ratings into training; returns True for those."""
    order = np.lexsort((np.random.default_rng(seed).random(len(user)), user))
    counts = np.bincount(user)
    place = np.empty(len(user))
    place[order] = np.arange(len(user)) - (np.cumsum(counts) - counts)[user[order]]
    return place < np.rint(share * counts)[user]


def floors(world: Planted, *, seed: int = 0, sweeps: int = 400) -> dict[str, float]:
    """Computes what is reachable on this world, each as an RMSE in stars.

    Args:
        world: What `plant` drew.
        seed: Of the split (70 % of each user's ratings train, 30 % test) and of the sampler.
        sweeps: Sweeps of the sampler, of which the first quarter is dropped.

    Returns:
        - `oracle`: the generating model itself, which predicts the expectation of the rounded rating; by
          enumeration over all ratings. `oracle_on_test`: the same over the test rows.
        - `learnable`: the posterior mean given the training rows and the true standard deviations. On average
          over such worlds, no estimator does better.
        - `bias`: global mean plus user and film biases, ridge with the true standard deviations.
        - `constant`: the mean of the training ratings.
    """
    train = random_split(world.user, 0.7, seed)
    test = ~train
    truth = world.stars[test]

    def rmse(predicted: np.ndarray | float) -> float:
        return float(np.sqrt(np.mean((predicted - truth) ** 2)))

    variance = expected_stars(world.mean)[1]
    return {
        "oracle": float(np.sqrt(variance.mean())),
        "oracle_on_test": float(np.sqrt(variance[test].mean())),
        "learnable": rmse(_posterior_mean(world, train, seed, sweeps)),
        "bias": rmse(_bias_baseline(world, train)),
        "constant": rmse(world.stars[train].mean()),
    }


def _bias_baseline(world: Planted, train: np.ndarray) -> np.ndarray:
    """Fits regularised user and film biases by alternating ridge regression; predicts the other rows."""
    user, film, stars = world.user[train], world.film[train], world.stars[train].astype(float)
    mu, b_user, b_film = stars.mean(), np.zeros(N_USERS), np.zeros(N_FILMS)
    # What the biases do not explain is noise to them.
    noise = SIGMA**2 + SD_FACTOR**2 + 1 / 12
    for _ in range(30):
        left = np.bincount(user, stars - mu - b_film[film], N_USERS)
        b_user = left / (np.bincount(user, minlength=N_USERS) + noise / SD_USER**2)
        left = np.bincount(film, stars - mu - b_user[user], N_FILMS)
        b_film = left / (np.bincount(film, minlength=N_FILMS) + noise / SD_FILM**2)
    return np.clip(mu + b_user[world.user[~train]] + b_film[world.film[~train]], 1, 5)


def _posterior_mean(world: Planted, train: np.ndarray, seed: int, sweeps: int) -> np.ndarray:
    """Predicts the other rows by Gibbs sampling of all that is planted, given only the standard deviations.

    The unrounded rating is sampled too (Albert and Chib, "Bayesian Analysis of Binary and Polychotomous
    Response Data", JASA 88, 1993), so rounding and clipping are part of the model and not an approximation.
    """
    rng = np.random.default_rng(seed)
    # One row of known facts per rating: 1, the age band, and the genres on the side of the user's gender.
    facts = np.zeros((len(world.user), 1 + len(AGES) + 2 * len(GENRES)))
    facts[:, 0] = 1
    facts[np.arange(len(facts)), 1 + world.age[world.user]] = 1
    for side in (0, 1):
        start = 1 + len(AGES) + side * len(GENRES)
        facts[:, start : start + len(GENRES)] = world.genres[world.film] & (world.gender[world.user] == side)[:, None]
    # The global mean has a prior too wide to matter.
    deviations = np.concatenate([[10.0], np.full(len(AGES), SD_AGE), np.full(2 * len(GENRES), SD_TASTE)])
    scale = (SD_FACTOR**2 / RANK) ** 0.25
    prior_user = np.array([SD_USER] + [scale] * RANK)
    prior_film = np.array([SD_FILM] + [scale] * RANK)

    user, film, known = world.user[train], world.film[train], facts[train]
    low = np.where(world.stars[train] == 1, -np.inf, world.stars[train] - 0.5)
    high = np.where(world.stars[train] == 5, np.inf, world.stars[train] + 0.5)
    by_film = np.argsort(film, kind="stable")
    gram = known.T @ known
    w = np.zeros(len(deviations))
    w[0] = world.stars[train].mean()
    x_user = np.concatenate([np.zeros((N_USERS, 1)), rng.normal(0, scale, (N_USERS, RANK))], axis=1)
    x_film = np.concatenate([np.zeros((N_FILMS, 1)), rng.normal(0, scale, (N_FILMS, RANK))], axis=1)
    total = np.zeros((~train).sum())
    for sweep in range(sweeps):
        fixed = known @ w
        both = x_user[user, 0] + x_film[film, 0] + (x_user[user, 1:] * x_film[film, 1:]).sum(axis=1)
        latent = _draw_truncated(rng, fixed + both, low, high)
        w = draw_coefficients(rng, gram[None], (known.T @ (latent - both))[None], deviations, SIGMA)[0]
        fixed = known @ w
        x_user = draw_side(rng, user, x_film[film], latent - fixed, prior_user, N_USERS, SIGMA)
        left = (latent - fixed)[by_film]
        x_film = draw_side(rng, film[by_film], x_user[user[by_film]], left, prior_film, N_FILMS, SIGMA)
        if sweep >= sweeps // 4:
            u, f = world.user[~train], world.film[~train]
            mean = facts[~train] @ w + x_user[u, 0] + x_film[f, 0] + (x_user[u, 1:] * x_film[f, 1:]).sum(axis=1)
            total += expected_stars(mean)[0]
    return total / (sweeps - sweeps // 4)


def _draw_truncated(rng: np.random.Generator, mean: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Draws normal values of standard deviation SIGMA between two bounds."""
    # Mirrored where the interval lies above the mean: there the distribution function is too close to 1.
    flip = np.where(low + high > 2 * mean, -1.0, 1.0)
    a, b = (low - mean) / SIGMA * flip, (high - mean) / SIGMA * flip
    below, above = ndtr(np.minimum(a, b)), ndtr(np.maximum(a, b))
    level = below + rng.random(len(mean)) * (above - below)
    return mean + SIGMA * flip * ndtri(np.maximum(level, 1e-300))
