"""A synthetic MovieLens whose ratings have a known structure, and what that structure makes possible.

A rating is ``mu + b_user + b_film + age[user] + liking + sigma · eps``, with eps standard normal, rounded to
whole stars from 1 to 5, and ``liking = sum of taste[gender, genre] + p_user · q_film``. Everything but sigma is
drawn from the normal distributions whose standard deviations stand below. What users watch depends on the
same liking: they pick films one after the other, each with a chance proportional to ``popularity · exp(CHOICE ·
liking / its standard deviation)``. People, films and titles are invented.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from kmodels.datasets.simulated import draw_coefficients, draw_side
from kmodels.evaluation import ranking
from kmodels.preprocessing import splits

N_USERS, N_FILMS, RANK = 600, 360, 2
MU, SIGMA = 3.05, 0.60
SD_USER, SD_FILM, SD_AGE, SD_TASTE, SD_FACTOR = 0.30, 0.45, 0.12, 0.20, 1.00
CHOICE = 1.5  # how strongly liking decides who watches what; 0: popularity alone

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
        means: Shape (users, films), every pair's rating before noise and rounding.
        log_weights: Shape (users, films), the logarithm of what the chance that a user picks a film is proportional to.
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
    means: np.ndarray
    log_weights: np.ndarray
    stars: np.ndarray
    timestamp: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    occupation: np.ndarray
    genres: np.ndarray
    film_id: np.ndarray
    titles: list[str]
    zip_codes: list[str]

    @property
    def mean(self) -> np.ndarray:
        """Shape (ratings,), each rating before noise and rounding."""
        return self.means[self.user, self.film]


def plant(seed: int) -> Planted:
    """Draws the whole world from one seed."""
    rng = np.random.default_rng(seed)
    gender = (rng.random(N_USERS) >= _FEMALE_SHARE).astype(np.int64)
    age = rng.choice(len(AGES), N_USERS, p=_AGE_SHARES / _AGE_SHARES.sum())
    occupation = np.where(age == 0, 10, rng.integers(0, 21, N_USERS))  # under 18: K-12 student
    genres = _draw_genres(rng)
    film_id = np.sort(rng.choice(np.arange(1, N_FILMS * 5 // 4), N_FILMS, replace=False))

    b_user = rng.normal(0, SD_USER, N_USERS) + rng.normal(0, SD_AGE, len(AGES))[age]
    b_film = rng.normal(0, SD_FILM, N_FILMS)
    taste = rng.normal(0, SD_TASTE, (2, len(GENRES)))
    # Both sides share the scale, so that the product has the standard deviation SD_FACTOR.
    scale = (SD_FACTOR**2 / RANK) ** 0.25
    p = rng.normal(0, scale, (N_USERS, RANK))
    q = rng.normal(0, scale, (N_FILMS, RANK))
    liking = taste[gender] @ genres.T + p @ q.T
    means = MU + b_user[:, None] + b_film + liking
    popularity = rng.permutation((np.arange(N_FILMS) + 8.0) ** -1.5)
    log_weights = np.log(popularity) + CHOICE * liking / liking.std()
    user, film = _draw_pairs(rng, log_weights)
    noise = SIGMA * rng.standard_normal(len(user))
    stars = np.clip(np.rint(means[user, film] + noise), 1, 5).astype(np.int64)
    return Planted(
        user=user,
        film=film,
        means=means,
        log_weights=log_weights,
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


def _draw_pairs(rng: np.random.Generator, log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws who rated what, in random order: 20 ratings or more per user, both sides heavy-tailed, no pair twice."""
    activity = np.clip(20 + rng.lognormal(3.75, 0.95, N_USERS), 20, N_FILMS * 3 // 4).astype(np.int64)
    # The first n of a ranking by log weight + Gumbel noise are n draws without replacement.
    films = np.argsort(-(log_weights + rng.gumbel(size=log_weights.shape)), axis=1)
    user, place = np.nonzero(np.arange(N_FILMS) < activity[:, None])
    # Best liked first would be an effect of time.
    order = np.lexsort((rng.random(len(user)), user))
    return user, films[user, place][order]


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
    """Computes what is reachable on this world: RMSEs in stars, and the figures of `ranking_limits`.

    Args:
        world: What `plant` drew.
        seed: Of the split (70 % of each user's ratings train, 30 % test) and of the sampler.
        sweeps: Sweeps of the sampler, of which the first quarter is dropped.

    Returns:
        - `oracle`: the generating model itself, which predicts the expectation of the rounded rating; by
          enumeration over all ratings. `oracle_on_test`: the same over the test rows.
        - `learnable`: the posterior mean given the training rows' stars and the true standard deviations. The sampler
          takes the pairs as given: that whoever watches a film probably likes such films, it does not use.
        - `bias`: global mean plus user and film biases, ridge with the true standard deviations.
        - `constant`: the mean of the training ratings.
        - The figures of `ranking_limits`, on a split of its own.
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
    } | ranking_limits(world, seed=seed)


def ranking_limits(world: Planted, *, seed: int = 0) -> dict[str, float]:
    """Computes NDCG@10 over the full catalogue on the random split of `recipes/movielens.py`.

    70 % of each user's ratings train and 15 % validate. The candidates are the films without these, relevant the test
    rows of 4 stars or more.

    Args:
        world: What `plant` drew.
        seed: Of the split.

    Returns:
        - `oracle_ranking`: the generating model, which ranks by `chance_to_be_liked`.
        - `popularity_ranking`: the number of training ratings.
        - `chance_ranking`: no order at all.
    """
    train, validation, test = splits.random_per_user(world.user + 1, world.film_id[world.film], seed=seed)
    liked, seen = test[world.stars[test] >= 4], np.concatenate([train, validation])
    popularity = np.bincount(world.film[train], minlength=N_FILMS)
    scores = {
        "oracle_ranking": chance_to_be_liked(world),
        "popularity_ranking": np.tile(popularity, (N_USERS, 1)),
        "chance_ranking": np.zeros((N_USERS, N_FILMS)),
    }
    users = np.unique(world.user[liked])
    pairs = (world.user[liked], world.film[liked] + 1, world.user[seen], world.film[seen] + 1, N_FILMS + 1)
    return {
        name: ranking.mean_ranking(
            # Item 0 is the unknown one.
            ranking.catalogue_ranking(lambda ids, table=table: np.pad(table[ids], ((0, 0), (1, 0))), users, *pairs)
        )["catalogue_ndcg_at_10"]
        for name, table in scores.items()
    }


def chance_to_be_liked(world: Planted, share: float = 0.15) -> np.ndarray:
    """Chance that a user's test has a film with 4 stars or more, given that the user's other rows do not have it.

    In the clock of `_draw_pairs`, where a film of weight w comes up after an exponential time of mean 1 / w, a user
    has rated a film by the time t with chance 1 - exp(-w t), independently of the others; t is where these chances add
    up to the number of the user's ratings. Of these a `share` is in the test.

    Returns:
        Shape (users, films).
    """
    activity = np.bincount(world.user)
    weights = np.exp(world.log_weights)
    low, high = np.full((2, N_USERS), [[-20.0], [40.0]])  # log t
    for _ in range(60):
        middle = (low + high) / 2
        rated = -np.expm1(-weights * np.exp(middle)[:, None])
        enough = rated.sum(axis=1) >= activity
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    in_test = share * rated / (1 - (1 - share) * rated)
    return in_test * ndtr((world.means - 3.5) / SIGMA)


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
