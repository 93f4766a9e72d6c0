import numpy as np
import pytest

from kmodels.datasets import simulated
from kmodels.errors import ConfigurationError


@pytest.fixture(scope="module")
def world():
    return simulated.low_rank_ratings(800, 400, 30_000, seed=1)


def test_the_shape_is_what_was_asked_for(world):
    table = world.ratings
    assert len(table) == 30_000
    assert table.dtypes.astype(str).to_dict() == {"user_id": "int64", "item_id": "int64", "rating": "float32"}
    assert table["user_id"].agg(["min", "max", "nunique"]).tolist() == [1, 800, 800]
    assert table["item_id"].between(1, 400).all()
    assert not table.duplicated(["user_id", "item_id"]).any()
    assert table["user_id"].is_monotonic_increasing


def test_activity_and_popularity_are_heavy_tailed(world):
    for name in ("user_id", "item_id"):
        counts = world.ratings[name].value_counts()
        assert counts.max() > 4 * counts.median()
        assert counts.min() >= 5


def test_ratings_are_means_plus_noise_of_the_stated_size(world):
    error = world.ratings["rating"].to_numpy(float) - world.mean
    assert error.std() == pytest.approx(0.4, rel=0.02)
    assert error.mean() == pytest.approx(0, abs=0.01)
    # The parts of the mean add up to the stated variance, up to the chance of a few hundred draws.
    assert world.mean.std() == pytest.approx(np.sqrt(0.25**2 + 0.25**2 + 0.5**2), rel=0.15)
    assert world.mean.mean() == pytest.approx(3, abs=0.1)


def test_what_biases_leave_has_the_stated_rank():
    # Small and half full, so that some users have items in common to read whole blocks from.
    world = simulated.low_rank_ratings(40, 30, 600, rank=2, seed=0)
    users, items = world.ratings["user_id"].to_numpy() - 1, world.ratings["item_id"].to_numpy() - 1
    means = np.full((40, 30), np.nan)
    means[users, items] = world.mean
    checked = 0
    # A matrix of biases and rank 2 has rank 4: every 5 × 5 block is singular.
    active = np.argsort(np.isnan(means).sum(axis=1))[:5]
    shared = np.flatnonzero(~np.isnan(means[active]).any(axis=0))
    for start in range(0, len(shared) - 4, 5):
        values = np.linalg.svd(means[np.ix_(active, shared[start : start + 5])], compute_uv=False)
        assert values[4] < 1e-12 < 1e-3 < values[3]
        checked += 1
    assert checked > 0


def test_the_same_seed_gives_the_same_ratings():
    one, other, third = (simulated.low_rank_ratings(50, 40, 600, seed=seed).ratings for seed in (3, 3, 4))
    assert one.equals(other)
    assert not one.equals(third)


def test_a_summary_counts_and_its_checksum_tells_worlds_apart(world):
    found = simulated.summary(world)
    assert found["rows"] == len(world.ratings)
    assert (found["users"], found["items"]) == tuple(world.ratings[name].nunique() for name in ("user_id", "item_id"))
    others = [simulated.summary(simulated.low_rank_ratings(100, 50, 1000, seed=seed)) for seed in (0, 0, 1)]
    assert others[0] == others[1]
    assert others[0]["sha256"] != others[2]["sha256"]


def test_the_floors_stand_in_their_order_and_the_learnable_is_near_what_the_formula_says(world):
    rows = np.random.default_rng(0).permutation(30_000)
    train, test = rows[:24_000], rows[24_000:]
    found = simulated.floors(world, train, test, sweeps=80)
    rating = world.ratings["rating"].to_numpy(float)
    assert found["oracle"] == pytest.approx(np.sqrt(np.mean((rating - world.mean)[test] ** 2)))
    assert found["oracle"] == pytest.approx(0.4, rel=0.03)
    # Every rating tells of a user's and an item's 4 numbers: with n ratings, σ² (1 + 4 / n_user + 4 / n_item) about.
    n_user, n_item = (np.bincount(world.ratings[name].to_numpy()[train]) for name in ("user_id", "item_id"))
    users, items = (world.ratings[name].to_numpy()[test] for name in ("user_id", "item_id"))
    about = 0.4 * np.sqrt(np.mean(1 + 4 / (n_user[users] + 4) + 4 / (n_item[items] + 4)))
    assert found["learnable"] == pytest.approx(about, rel=0.06)
    assert found["learnable"] < 0.8 * np.std(rating[test])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_users": 0}, "n_users must be at least 1"),
        ({"rank": 0}, "rank must be at least 1"),
        ({"n_ratings": 499}, "n_ratings must be from 5 · n_users = 500 to half of all pairs = 2500"),
        ({"n_ratings": 2501}, "Received: n_ratings=2501"),
    ],
)
def test_wrong_settings_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        simulated.low_rank_ratings(**({"n_users": 100, "n_items": 50, "n_ratings": 1000} | arguments))
