"""The bundled samples: made again byte for byte, and with the floors that data/README.md states."""

import importlib.util
import json
import subprocess
import sys
from math import erf, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix, hstack
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score

from kmodels.preprocessing import splits

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLE = DATA / "movielens-sample"


@pytest.fixture(scope="module")
def planted():
    spec = importlib.util.spec_from_file_location("planted_ratings", DATA / "planted_ratings.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def world(planted):
    return planted.plant(seed=2003)


@pytest.fixture(scope="module")
def floors():
    return json.loads((SAMPLE / "floors.json").read_text())


def test_making_the_sample_again_gives_the_same_bytes(tmp_path):
    command = [sys.executable, str(DATA / "make_samples.py"), "movielens", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    made = tmp_path / "movielens-sample"
    assert sorted(file.name for file in made.iterdir()) == ["movies.dat", "ratings.dat", "users.dat"]
    for file in made.iterdir():
        assert file.read_bytes() == (SAMPLE / file.name).read_bytes(), file.name


def test_another_seed_gives_another_world(planted, world):
    assert not np.array_equal(planted.plant(seed=2004).stars[:100], world.stars[:100])


def test_shape_of_the_sample(world):
    per_user, per_film = np.bincount(world.user), np.bincount(world.film)
    assert len(np.unique(world.user * 1000 + world.film)) == len(world.user) == 50_676
    assert per_user.min() >= 20
    assert per_film.min() >= 10
    # Heavy tails: the busiest tenth gives far more than a tenth.
    for counts in (per_user, per_film):
        busiest = np.sort(counts)[::-1][: len(counts) // 10]
        assert busiest.sum() > 0.2 * counts.sum()
    assert set(world.stars) == {1, 2, 3, 4, 5}
    dates = world.timestamp.astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
    assert set(dates) == {2000, 2001, 2002}
    assert len(set(world.titles)) == 360


def test_oracle_agrees_with_monte_carlo(planted, world, floors):
    rng = np.random.default_rng(5)
    draws = np.stack(
        [
            np.clip(np.floor(world.mean + planted.SIGMA * rng.standard_normal(len(world.mean)) + 0.5), 1, 5)
            for _ in range(60)
        ]
    )
    # The variance of 60 draws, mean unknown, averaged over 50,676 rows: its standard error is about .0004.
    simulated = np.sqrt(draws.var(axis=0, ddof=1).mean())
    assert simulated == pytest.approx(floors["oracle"], abs=0.0015)
    assert draws.mean() == pytest.approx(planted.expected_stars(world.mean)[0].mean(), abs=0.002)
    # And the ratings in the file are one such draw.
    residual = world.stars - planted.expected_stars(world.mean)[0]
    assert np.sqrt(np.mean(residual**2)) == pytest.approx(floors["oracle"], abs=0.006)


def test_expected_stars_by_hand(planted):
    # Far off the scale it is certain; in the middle, 3 is most likely, 2 and 4 are one off, 1 and 5 two.
    expectation, variance = planted.expected_stars(np.array([50.0, -50.0, 3.0]))
    assert expectation == pytest.approx([5, 1, 3])
    assert variance[:2] == pytest.approx([0, 0], abs=1e-12)
    one = erf(0.5 / planted.SIGMA / sqrt(2))
    two = erf(1.5 / planted.SIGMA / sqrt(2))
    assert variance[2] == pytest.approx((two - one) * 1 + (1 - two) * 4)


def test_stated_baselines_are_those_of_the_files(planted, world, floors):
    train = planted.random_split(world.user, 0.7, 0)
    shares = np.bincount(world.user, train) / np.bincount(world.user)
    assert shares.min() > 0.67
    assert shares.max() < 0.73
    stars, test = world.stars, ~train
    assert floors["constant"] == pytest.approx(np.sqrt(np.mean((stars[test] - stars[train].mean()) ** 2)), abs=1e-4)
    # Independent of the alternating fit: one ridge regression on indicator columns.
    rows = np.arange(len(stars))
    one = np.ones(len(stars))
    # Columns divided by the inverse deviation: one penalty then fits both.
    columns = hstack(
        [
            coo_matrix((one / scale, (rows, ids)), shape=(len(stars), size))
            for ids, size, scale in (
                (world.user, planted.N_USERS, 1 / planted.SD_USER),
                (world.film, planted.N_FILMS, 1 / planted.SD_FILM),
            )
        ]
    ).tocsr()
    noise = planted.SIGMA**2 + planted.SD_FACTOR**2 + 1 / 12
    # The mean is taken off beforehand there, so here too.
    model = Ridge(alpha=noise, fit_intercept=False, solver="lsqr", tol=1e-10)
    model.fit(columns[train], stars[train] - stars[train].mean())
    predicted = np.clip(model.predict(columns[test]) + stars[train].mean(), 1, 5)
    assert floors["bias"] == pytest.approx(np.sqrt(np.mean((predicted - stars[test]) ** 2)), abs=2e-4)


def test_learnable_floor(planted, world, floors):
    # A short chain is enough to see the stated figure; the stated one is of 400 sweeps.
    again = planted.floors(world, sweeps=24)
    assert again["learnable"] == pytest.approx(floors["learnable"], abs=0.03)
    assert again["learnable"] > floors["learnable"] > floors["oracle_on_test"]
    oracle = floors["oracle_on_test"] ** 2
    assert floors["learnable"] ** 2 - oracle < 0.11 * (floors["bias"] ** 2 - oracle)


# --- the order of the catalogue


@pytest.fixture(scope="module")
def rows(world):
    """Users, films and stars of the split that `recipes/movielens.py` makes of the files with seed 0, by part."""
    fields = np.loadtxt(SAMPLE / "ratings.dat", delimiter=":", usecols=(0, 2, 4), dtype=np.int64)
    split = splits.random_per_user(fields[:, 0], fields[:, 1], seed=0)
    films = np.searchsorted(world.film_id, fields[:, 1])
    parts = split._asdict().items()
    return {part: (fields[index, 0] - 1, films[index], fields[index, 2]) for part, index in parts}


@pytest.fixture(scope="module")
def ndcg(planted, rows):
    """NDCG@10 of a table of scores by scikit-learn, which averages over ties too."""
    seen, liked = np.zeros((2, planted.N_USERS, planted.N_FILMS), bool)
    for part in ("train", "validation"):
        seen[rows[part][:2]] = True
    user, film, stars = rows["test"]
    liked[user, film] = stars >= 4
    users = liked.any(axis=1)

    def mean(scores):
        last = np.where(seen, scores.min() - 1, scores)
        return ndcg_score(liked[users], last[users], k=10)

    return mean


def test_stated_rankings_are_those_of_the_files(planted, world, floors, rows, ndcg):
    popularity = np.bincount(rows["train"][1], minlength=planted.N_FILMS) * np.ones((planted.N_USERS, 1))
    assert floors["popularity_ranking"] == pytest.approx(ndcg(popularity), abs=1e-4)
    assert floors["chance_ranking"] == pytest.approx(ndcg(np.zeros(popularity.shape)), abs=1e-4)
    assert floors["oracle_ranking"] == pytest.approx(ndcg(planted.chance_to_be_liked(world)), abs=1e-4)
    # Neither what is watched nor what is liked tells all.
    for part in (world.log_weights, world.means, world.means - world.means.mean(axis=0)):
        assert ndcg(part) < floors["oracle_ranking"]


def test_chances_agree_with_monte_carlo(planted, world):
    """Users choose film after film by the weights, rate them and put 15 % into the test, 1,500 times."""
    rng, users = np.random.default_rng(7), np.arange(0, planted.N_USERS, 30)
    activity = np.bincount(world.user)[users, None]
    in_test, unseen = np.zeros((2, len(users), planted.N_FILMS))
    for _ in range(1500):
        # Of a race of exponential clocks the first n are n draws without replacement, in proportion to the weights.
        times = rng.exponential(np.exp(-world.log_weights[users]))
        rated = times.argsort(axis=1).argsort(axis=1) < activity
        test = rated & (rng.random(rated.shape) < 0.15)
        unseen += ~rated | test
        in_test += test & (world.means[users] + planted.SIGMA * rng.standard_normal(rated.shape) >= 3.5)
    expected = planted.chance_to_be_liked(world)[users]
    low, high = np.quantile(expected, [0, 0.5, 0.75, 0.9, 0.97])[:, None], np.inf
    for at, below in zip(low[:, 0], [*low[1:, 0], high], strict=True):
        group = (expected >= at) & (expected < below)
        assert in_test[group].sum() / unseen[group].sum() == pytest.approx(
            np.average(expected[group], weights=unseen[group]), rel=0.04
        )


def test_what_users_watch_can_be_learned(planted, floors, rows, ndcg):
    """A linear denoising autoencoder in closed form (Steck, 2020) closes two thirds of the way to the best ranking."""
    user, film, stars = rows["train"]
    histories = np.zeros((planted.N_USERS, planted.N_FILMS))
    histories[user, film] = (stars / 5) ** 2
    gram = histories.T @ histories
    inverse = np.linalg.inv(gram + np.diag(100 + 3 * gram.diagonal()))
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    reached = ndcg(histories @ weights)
    assert f"reaches {reached:.3f}" in (DATA / "README.md").read_text()
    way = floors["oracle_ranking"] - floors["popularity_ranking"]
    assert reached - floors["popularity_ranking"] > way * 2 / 3


def test_times_are_independent_of_the_choice(planted, world):
    """Nobody watches the best liked or the most popular first, so every split is equally hard."""
    order = np.lexsort((world.timestamp, world.user))
    user = world.user[order]
    place = np.arange(len(user)) - np.searchsorted(user, user)
    early = place < np.bincount(user)[user] / 2
    for values in (world.means, world.log_weights):
        of_rows = values[user, world.film[order]]
        assert of_rows[early].mean() == pytest.approx(of_rows[~early].mean(), abs=0.03)


def test_readme_states_the_floors(floors):
    text = (DATA / "README.md").read_text()
    for value in floors.values():
        assert f"{value:.4f}" in text
