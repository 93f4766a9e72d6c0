"""The bundled films: made again byte for byte, with the floors that data/README.md states."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from kmodels.datasets import movies

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLE = DATA / "movies-sample"


@pytest.fixture(scope="module")
def planted():
    spec = importlib.util.spec_from_file_location("planted_movies", DATA / "planted_movies.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def world(planted):
    return planted.plant(seed=2022)


@pytest.fixture(scope="module")
def stated():
    return json.loads((SAMPLE / "floors.json").read_text())


@pytest.fixture(scope="module")
def probability(planted, world):
    return planted.observed_probability(world, draws=300)


def test_making_the_sample_again_gives_the_same_bytes(planted, tmp_path):
    planted.write(tmp_path, with_floors=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tmdb_5000_credits.csv", "tmdb_5000_movies.csv"]
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (SAMPLE / file.name).read_bytes(), file.name


def test_the_files_hold_the_planted_films(planted, world):
    data = movies.load("sample")
    # The file's order is another one; budgets tell the films apart.
    order = np.argsort(np.rint(10**world.log_budget), kind="stable")
    ours = np.argsort(data.table["budget"].to_numpy(), kind="stable")
    budgets = data.table["budget"].to_numpy()[ours]
    np.testing.assert_array_equal(budgets, np.rint(10**world.log_budget)[order])
    alone = np.concatenate([[True], budgets[1:] != budgets[:-1]]) & np.concatenate(
        [budgets[1:] != budgets[:-1], [True]]
    )
    assert alone.sum() > 3500
    profit = movies.target(data)[ours][alone]
    np.testing.assert_array_equal(profit, world.profitable[order][alone])
    runtime = data.table["runtime"].to_numpy()[ours][alone]
    np.testing.assert_array_equal(np.isnan(runtime), world.missing["runtime"][order][alone])


def test_bayes_figures_are_those_of_many_draws(probability, planted, stated):
    rng = np.random.default_rng(1)
    auc, right = [], []
    for _ in range(20):
        profit = rng.random(len(probability)) < probability
        auc.append(roc_auc_score(profit, probability))
        right.append(((probability > 0.5) == profit).mean())
    # 20 draws of 4,400 films: standard errors of about .0018 and .0013.
    assert np.mean(auc) == pytest.approx(stated["bayes_auc"], abs=0.006)
    assert np.mean(right) == pytest.approx(stated["bayes_accuracy"], abs=0.005)


def test_expected_auc_by_hand(planted):
    # Pairs (gain, loss): of three films all six ordered pairs, weighted by p_i (1 - p_j); the tie counts half.
    score, p = np.array([0.2, 0.7, 0.7]), np.array([0.5, 0.9, 0.4])
    value = total = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                weight = p[i] * (1 - p[j])
                total += weight
                value += weight * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
    assert planted.expected_auc(score, p) == pytest.approx(value / total)
    outcome = np.array([0, 1, 1, 0, 1.0])
    scores = np.array([0.1, 0.4, 0.35, 0.8, 0.8])
    assert planted.expected_auc(scores, outcome) == pytest.approx(roc_auc_score(outcome, scores))


def test_what_the_file_does_not_tell_is_averaged_over(planted, world, probability):
    gaps = world.missing["runtime"] | world.missing["genres"] | world.missing["director"]
    np.testing.assert_array_equal(probability[~gaps], world.probability[~gaps])
    assert 0.07 < gaps.mean() < 0.12
    only_director = np.flatnonzero(world.missing["director"] & ~world.missing["runtime"] & ~world.missing["genres"])
    i = only_director[0]
    logit = np.log(world.probability[i] / (1 - world.probability[i])) - world.director_effect[world.director[i]]
    exact = (world.director_share * expit(logit + world.director_effect)).sum()
    assert probability[i] == pytest.approx(exact, abs=0.02)


def test_floors_are_in_order_and_near_the_draw(world, stated):
    assert stated["majority_accuracy"] == pytest.approx(
        max(world.profitable.mean(), 1 - world.profitable.mean()), abs=1e-4
    )
    assert stated["majority_accuracy"] < stated["learnable_accuracy"] < stated["bayes_accuracy"]
    assert stated["learnable_auc"] < stated["bayes_auc"]
    # The draw is a typical one: the rule scores on it what it scores on average.
    assert stated["oracle_auc"] == pytest.approx(stated["bayes_auc"], abs=0.005)
    assert stated["oracle_accuracy"] == pytest.approx(stated["bayes_accuracy"], abs=0.005)


def test_columns_of_after_release_give_the_profit_away():
    data = movies.load("sample")
    rated = data.table["rating"].notna()
    profit = movies.target(data)[rated]
    assert roc_auc_score(profit, data.table["rating"][rated]) > 0.65


def test_readme_states_the_floors(stated):
    text = (DATA / "README.md").read_text()
    for value in stated.values():
        assert f"{value:.4f}" in text
