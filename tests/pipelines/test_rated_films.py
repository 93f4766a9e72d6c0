import numpy as np
import pytest

from kmodels import models
from kmodels.datasets import movielens
from kmodels.pipelines import RatedFilms
from kmodels.preprocessing import splits


@pytest.fixture(scope="module")
def data():
    return movielens.load("sample")


@pytest.fixture(scope="module")
def films(data):
    split = splits.random_per_user(data.ratings["user_id"], data.ratings["item_id"], seed=0)
    return RatedFilms.of(data, split, lambda table: models.neumf(table.n_users, table.n_items))


def test_training_batches_hold_each_row_once_and_targets_are_fifths(films):
    train, validation = films.fitting(batch_size=100, seed=3)
    target = np.concatenate([train[i][1] for i in range(len(train))])
    assert len(target) == len(films.split.train) // 100 * 100
    assert set(np.unique(target * 5).round(5)) == {1, 2, 3, 4, 5}
    found = np.concatenate([validation[i][1] for i in range(len(validation))])
    np.testing.assert_allclose(found * 5, films.stars[films.split.validation], rtol=1e-6)


def test_inputs_are_those_of_the_rows(films, data):
    rows = films.split.test[[5, 0, 9]]
    inputs, _ = films.batches(rows)[0]
    assert set(inputs) == {"user_id", "item_id"}
    known = films.table.encoders["user_id"]
    np.testing.assert_array_equal(inputs["user_id"], known.transform(data.ratings["user_id"].iloc[rows]))


def test_the_mean_is_that_of_the_training_rows(films, data):
    train = data.ratings["rating"].iloc[films.split.train]
    assert films.mean == pytest.approx(train.mean() / 5, rel=1e-6)


def test_predictions_come_back_as_stars_within_the_scale(films):
    np.testing.assert_allclose(films.in_stars(np.array([-1.0, 0.05, 0.8, 1.7])), [0.5, 0.5, 4.0, 5.0])
