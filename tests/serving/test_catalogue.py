"""Scores and vectors by the model itself, and the time of a prediction by a clock of its own."""

import keras
import numpy as np
import pytest

from kmodels import models, serving, training
from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, History, MultiHot, Numeric
from kmodels.pipelines import Batches, Histories
from kmodels.pipelines.histories import history_table
from kmodels.serving import catalogue, catalogue_scores
from kmodels.serving.latency import latency_ms
from tests.reference.histories import as_inputs, everything

USERS, ITEMS = 5, 7
RNG = np.random.default_rng(0)
OF_USERS = {
    "user_id": np.arange(USERS, dtype="int32"),
    "job": RNG.integers(0, 3, USERS).astype("int32"),
    "session": RNG.normal(size=(USERS, 3)).astype("float32"),
}
OF_ITEMS = {
    "item_id": np.arange(ITEMS, dtype="int32"),
    "genres": RNG.normal(size=(ITEMS, 4)).astype("float32"),
}
ENHANCED = {
    "user_features": [Numeric("gender"), Numeric("age"), Numeric("occupation")],
    "item_features": [MultiHot("genres", 4)],
}
NAMES = {"gender": USERS, "age": USERS, "occupation": USERS}


def histories(owners, members, n_owners, size):
    """A part that makes the histories of all owners."""
    table = history_table(owners, members, RNG.normal(size=len(owners)), n_owners=n_owners, n_members=size)
    name = "user_history" if n_owners == USERS else "item_history"
    return Histories(History(name, size, n_owners), table, np.arange(n_owners))


PAIRS = np.nonzero(RNG.random((USERS, ITEMS)) < 0.6)
HISTORIES = [histories(*PAIRS, USERS, ITEMS), histories(*PAIRS[::-1], ITEMS, USERS)]


def batches_of(model, rows, **options):
    """Batches of all users or all items with the inputs that this model has."""
    wanted = {tensor.name for tensor in model.inputs}
    own = [
        part for part in HISTORIES if part.feature.name in wanted and len(part.owners) == len(next(iter(rows.values())))
    ]
    return Batches({name: values for name, values in rows.items() if name in wanted}, parts=own, **options)


def build(name):
    if name == "enhanced":
        return models.neumf(USERS, ITEMS, **ENHANCED, **models.presets.NEUMF["enhanced"])
    if name == "plain":
        return models.neumf(USERS, ITEMS, dim=3, hidden=(), product=True, biases=True)
    features = {"user_features": [Categorical("job", 3)], "item_features": [MultiHot("genres", 4)]}
    if name == "session":
        features["context_features"] = [Numeric("session", 3)]
    return models.neumf(USERS, ITEMS, **features, **models.presets.NEUMF[name])


@pytest.mark.parametrize("name", ["history", "session", "enhanced", "plain"])
@pytest.mark.parametrize("block", [1, 10, 262_144])
def test_the_scores_are_the_models_own_for_every_pair(name, block):
    model = build(name)
    training.initialize(model, 1)
    if name == "session":
        model.get_layer("user_context_numeric").set_weights([np.array([[0.5], [-2.0], [1.0]]), np.array([0.25])])
    more = {name: RNG.normal(size=(n, 1)).astype("float32") for name, n in NAMES.items()}
    users, items = batches_of(model, OF_USERS | more, batch_size=2), batches_of(model, OF_ITEMS, batch_size=3)
    asked = np.array([3, 0, 3, 4])
    scores = catalogue_scores(model, users, items, block=block)(asked)
    of_users, of_items = everything(users), everything(items)
    assert (scores.shape, scores.dtype) == ((4, ITEMS), np.float32)
    for i, user in enumerate(asked):
        pairs = {name: np.repeat(values[[user]], ITEMS, axis=0) for name, values in of_users.items()} | of_items
        np.testing.assert_allclose(scores[i], keras.ops.convert_to_numpy(model(as_inputs(pairs)))[:, 0], atol=1e-5)


def test_no_user_gives_no_score():
    score = catalogue_scores(
        build("plain"), Batches({"user_id": OF_USERS["user_id"]}), Batches({"item_id": OF_ITEMS["item_id"]})
    )
    assert score(np.array([], int)).shape == (0, ITEMS)


def inputs_of(model, seed=0):
    """All users and all items, as this model takes them."""
    rng, users, items = np.random.default_rng(seed), {}, {}
    for tensor in model.inputs:
        side, rows = (items, ITEMS) if tensor.name in ("item_id", "item_history", "genres") else (users, USERS)
        if tensor.name in ("user_id", "item_id"):
            side[tensor.name] = np.arange(rows, dtype="int32")
        elif tensor.dtype == "int32":
            side[tensor.name] = rng.integers(0, 3, rows).astype("int32")
        else:
            side[tensor.name] = rng.normal(size=(rows, tensor.shape[1])).astype("float32")
    return users, items


def vectors(model, users, items):
    """What a user, and an item, has become before the two meet; biases, if there are any, come after it."""
    cut = catalogue.cut(model, items)
    return {"user_id": cut.encode(users)[:, : cut.items.shape[1]], "item_id": cut.items}


def test_vectors_hold_histories_and_features():
    features = {"user_features": [Categorical("job", 3)], "item_features": [MultiHot("genres", 4)]}
    features["context_features"] = [Numeric("session", 3)]
    model = models.neumf(USERS, ITEMS, **features, **models.presets.NEUMF["session"])
    training.initialize(model, 1)
    batches = batches_of(model, OF_USERS, batch_size=2), batches_of(model, OF_ITEMS, batch_size=3)
    found, users, items = vectors(model, *batches), *map(everything, batches)
    weights = {f"{layer.name}/{w.name}": keras.ops.convert_to_numpy(w) for layer in model.layers for w in layer.weights}
    p = weights["user_embedding/embeddings"] + weights["user_side_job/embeddings"][users["job"]]
    tables = (np.split(weights[f"{side}_side_{side}_history/embeddings"], 2, axis=1) for side in ("user", "item"))
    of_items, of_users = map(np.concatenate, tables)
    p = p + users["user_history"] @ of_items
    q = weights["item_embedding/embeddings"] + items["genres"] @ weights["item_side_genres/kernel"]
    q = q + items["item_history"] @ of_users + weights["item_side_genres/bias"]
    np.testing.assert_allclose(found["user_id"], p, atol=1e-5)
    np.testing.assert_allclose(found["item_id"], q, atol=1e-5)


@pytest.mark.parametrize("name", ["enhanced", "plain"])
def test_vectors_without_such_inputs_are_the_tables_rows(name):
    if name == "enhanced":
        model = models.neumf(USERS, ITEMS, **ENHANCED, **models.presets.NEUMF["enhanced"])
    else:
        model = models.neumf(USERS, ITEMS, dim=3, hidden=(), product=True, biases=True)
    training.initialize(model, 1)
    users, items = inputs_of(model)
    found = vectors(model, Batches(users), Batches(items))
    for side in ("user", "item"):
        table = model.get_layer(f"{side}_embedding").get_weights()[0]
        np.testing.assert_allclose(found[f"{side}_id"], table, atol=1e-6)


class Clock:
    """Time that passes only where a prediction is made."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def timed(monkeypatch):
    """A model, what it was asked, and how long each of its predictions takes: the first one half a minute."""
    x = keras.Input((2,), name="x")
    model, clock, asked = keras.Model({"x": x}, keras.layers.Dense(1)(x)), Clock(), []
    monkeypatch.setattr(serving.latency, "time", clock)

    def predict(inputs):
        asked.append(inputs["x"].shape)
        clock.now += 30 if len(asked) == 1 else 0.002 if len(asked) % 2 else 0.004

    monkeypatch.setattr(model, "predict_on_batch", predict)
    return model, asked


def test_the_median_leaves_out_the_compiling(timed):
    model, asked = timed
    assert latency_ms(model, {"x": np.zeros((1, 2))}, repeats=5) == pytest.approx(4)
    assert asked == [(1, 2)] * 8


def test_a_wrong_number_is_refused(timed):
    with pytest.raises(ConfigurationError, match="repeats must be at least 1"):
        latency_ms(timed[0], {"x": np.zeros((1, 2))}, repeats=0)
