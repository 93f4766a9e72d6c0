"""A ranker's scores are the model's own for every user, whatever shape the model takes users in."""

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.pipelines import Ratings
from kmodels.preprocessing import splits
from kmodels.serving import ranker_scores
from tests.reference.histories import as_inputs, everything

RNG = np.random.default_rng(0)
USER, ITEM = np.nonzero(RNG.random((130, 12)) < 0.5)
TABLE = pd.DataFrame({"user_id": USER, "item_id": ITEM, "rating": RNG.integers(1, 6, len(USER)).astype(float)})
TABLE["timestamp"] = RNG.permutation(len(TABLE))


@pytest.fixture(scope="module")
def ratings():
    return Ratings.fit(TABLE, splits.random(len(TABLE), seed=0), scale=(1, 5))


def ranker(name, ratings):
    n_items = ratings.n_items
    if name == "ease":
        return training.fit_ease(models.ease(n_items), ratings.interactions(power=2), l2=3.0)
    if name == "deep":
        return training.initialize(models.item_autoencoder(n_items, hidden=(5, 4)))
    if name == "shallow":
        return training.initialize(models.item_autoencoder(n_items, hidden=()))
    if name == "sasrec":
        return training.initialize(models.sasrec(n_items, 4, dim=4))
    if name == "factorization":
        return training.initialize(models.matrix_factorization(ratings.n_users, n_items, dim=3))
    if name == "two_tower":
        features = ratings.features() | {"user_features": [ratings.histories()["user"]]}
        features.pop("context_features")
        return training.initialize(models.two_tower(ratings.n_users, n_items, **features, dim=3, hidden=(4,)))
    preset = models.presets.NEUMF["history"] | {"dim": 3, "hidden": (4,)}
    return training.initialize(models.neumf(ratings.n_users, n_items, **ratings.features(), **preset))


def inputs_of(model, ratings, user, known):
    """All pairs of a user, or the user's history, as the model takes them."""
    if model.name == "sasrec":
        own = TABLE[TABLE["user_id"] == ratings.encoders["user_id"].inverse(user)]
        last = ratings.encoders["item_id"].transform(own.sort_values("timestamp")["item_id"])[-4:]
        return {"sequence": np.r_[np.zeros(4 - len(last), int), last][None].astype("int32")}
    if len(model.inputs) == 1:
        return {"history": known[[user]].toarray()}
    of_user, of_items = everything(ratings.user_batches(model)), everything(ratings.item_batches(model))
    more = {"item_log_frequency": np.zeros((ratings.n_items, 1), "f4")} if model.name == "two_tower" else {}
    rows = {name: np.repeat(values[[user]], ratings.n_items, axis=0) for name, values in of_user.items()}
    return as_inputs(rows | of_items | more)


@pytest.mark.parametrize("name", ["ease", "deep", "shallow", "sasrec", "neumf", "factorization", "two_tower"])
def test_the_scores_are_the_models_own(name, ratings):
    model, asked = ranker(name, ratings), np.r_[3, 0, 3, 1 : ratings.n_users]
    known = ratings.interactions(np.argsort(TABLE["timestamp"].to_numpy()), power=2)
    found = ranker_scores(model, ratings, known)(asked)
    assert (found.shape, found.dtype) == ((len(asked), ratings.n_items), np.float32)
    for place in (0, 1, 2, 70, -1):
        predicted = keras.ops.convert_to_numpy(model(inputs_of(model, ratings, asked[place], known)))
        expected = {"sasrec": predicted[0, -1], "two_tower": predicted[0]}.get(name, predicted.ravel())
        np.testing.assert_allclose(found[place], expected, atol=1e-5)


def test_training_rows_are_known_where_nothing_else_is_said(ratings):
    model, ids = ranker("deep", ratings), np.arange(ratings.n_users)
    found, expected = ranker_scores(model, ratings), ranker_scores(model, ratings, ratings.interactions())
    np.testing.assert_array_equal(found(ids), expected(ids))
    assert ranker_scores(ranker("ease", ratings), ratings)(ids[:0]).shape == (0, ratings.n_items)


def inputs_and_layer(name, layer, dtype="float32"):
    x = keras.Input((3,), name=name, dtype=dtype)
    return keras.Model({name: x}, layer(x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: inputs_and_layer("price", keras.layers.Dense(1)), r"a ranker's inputs are .* Received: price"),
        (lambda: inputs_and_layer("history", keras.layers.Dense(3, "relu", name="x")), "linear Dense .* Received: x"),
        (lambda: inputs_and_layer("history", keras.layers.Softmax(name="x")), "linear Dense .* Received: x"),
        (lambda: inputs_and_layer("sequence", keras.layers.Embedding(13, 2), "int32"), "`norm` and `items`"),
        (lambda: models.ease(9), "the ranker scores 9 items, the ratings have 13"),
        (lambda: models.sasrec(9, 3, dim=4), "the ranker scores 9 items, the ratings have 13"),
    ],
)
def test_what_is_no_ranker_of_these_ratings_is_refused(ratings, build, message):
    with pytest.raises(ConfigurationError, match=message):
        ranker_scores(build(), ratings)
