"""Models that rank a catalogue: sizes and arithmetic by NumPy, and a planted taste that popularity does not know."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from scipy import sparse

from kmodels import models, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation.ranking import catalogue_ranking
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.models.two_tower import towers
from kmodels.pipelines import Batches, NegativeSampling, item_sequences, next_item_batches
from tests.reference import sasrec

USERS, ITEMS, TASTES = 121, 41, 4  # row 0 of each is the unknown


def planted(seed=0):
    """Training and test pairs (user, item): 8 and 2 of each user, nine in ten of the user's taste."""
    rng = np.random.default_rng(seed)
    popularity = rng.dirichlet(np.full(ITEMS - 1, 2.0))
    users, items = [], []
    for user in range(1, USERS):
        chance = popularity * np.where(np.arange(ITEMS - 1) % TASTES == user % TASTES, 1, 1 / 27)
        users.append(np.full(10, user))
        items.append(1 + rng.choice(ITEMS - 1, 10, replace=False, p=chance / chance.sum()))
    users, items = np.stack(users), np.stack(items)
    return (users[:, :8].ravel(), items[:, :8].ravel()), (users[:, 8:].ravel(), items[:, 8:].ravel())


TRAIN, TEST = planted()
HISTORIES = sparse.csr_array((np.ones(len(TRAIN[0]), "float32"), TRAIN), shape=(USERS, ITEMS))


def ndcg(score):
    table = catalogue_ranking(score, np.arange(1, USERS), *TEST, *TRAIN, ITEMS, k=5)
    return table["catalogue_ndcg_at_5"].mean()


POPULARITY = ndcg(lambda users: np.tile(HISTORIES.sum(axis=0), (len(users), 1)))


def by_history(model):
    return lambda users: model.predict_on_batch({"history": HISTORIES[users].toarray()})


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


# --- EASE


def test_ease_is_one_matrix_that_starts_at_zero():
    model = models.ease(6)
    assert model.count_params() == 6 * 6
    history, weights = np.eye(6, dtype="float32")[:3] * 0.5, np.arange(36, dtype="float32").reshape(6, 6)
    assert not outputs(model, {"history": history}).any()
    model.get_layer("scores").set_weights([weights])
    np.testing.assert_allclose(outputs(model, {"history": history}), history @ weights, rtol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_fitted_ease_ranks_better_than_popularity(dropout):
    model = training.fit_ease(models.ease(ITEMS), HISTORIES, l2=5.0, dropout=dropout)
    assert ndcg(by_history(model)) > POPULARITY + 0.1


def test_ease_refuses_histories_of_another_catalogue():
    with pytest.raises(DataError, match=r"expected \(n_users, 5\); received \(121, 41\)"):
        training.fit_ease(models.ease(5), HISTORIES, l2=1.0)


# --- autoencoder


@pytest.mark.parametrize("hidden", [(), (3,), (4, 2)])
def test_an_autoencoder_is_dense_layers_on_the_normalised_history(hidden):
    model = training.initialize(models.item_autoencoder(6, hidden=hidden), seed=1)
    widths = [6, *hidden, 6]
    assert parameters(model) == sum(a * b + b for a, b in pairwise(widths))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:  # biases start at zeros
        weight.assign(rng.normal(size=weight.shape))
    history = np.vstack([rng.random((3, 6)) * (rng.random((3, 6)) < 0.5), np.zeros(6)]).astype("float32")
    x = history / np.maximum(np.linalg.norm(history, axis=1, keepdims=True), 1e-12)
    *inner, last = [layer.get_weights() for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for kernel, bias in inner:
        x = np.tanh(x @ kernel + bias)
    np.testing.assert_allclose(outputs(model, {"history": history}), x @ last[0] + last[1], rtol=1e-5, atol=1e-6)


def test_a_trained_autoencoder_ranks_better_than_popularity(tmp_path):
    model = training.initialize(models.item_autoencoder(ITEMS, hidden=(16,)))
    batches = Batches({"history": HISTORIES[1:]}, HISTORIES[1:], batch_size=30, shuffle=True)
    training.compile_model(model, keras.optimizers.Adam(0.02), loss="multinomial", metrics=())
    log = training.fit(model, batches, None, epochs=40, folder=tmp_path, progress=False)
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]
    assert ndcg(by_history(model)) > POPULARITY + 0.1


# --- SASRec

SEQUENCES = np.array([[0, 0, 3, 1, 3], [2, 4, 4, 1, 5], [0, 0, 0, 0, 0]], "int32")


def some_sasrec(**settings):
    """A model with weights that all take part, and these by Keras's paths."""
    model = training.initialize(models.sasrec(6, 5, **{"dim": 4, "dropout": 0.0} | settings), seed=2)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(1 if "gamma" in weight.path else 0, 0.4, weight.shape))
    return model, {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights}


@pytest.mark.parametrize(("length", "dim", "blocks"), [(5, 4, 2), (7, 6, 1)])
def test_sasrec_has_the_size_of_its_formula(length, dim, blocks):
    a_block = 4 * (dim**2 + dim) + 2 * (dim**2 + dim) + 2 * 2 * dim
    expected = (11 + length) * dim + blocks * a_block + 2 * dim
    assert parameters(models.sasrec(11, length, dim=dim, blocks=blocks)) == expected


# Keras computes attention in another way where it has no dropout.
@pytest.mark.parametrize(("heads", "blocks", "dropout"), [(1, 1, 0.5), (2, 2, 0.0)])
def test_sasrec_is_the_network_of_the_reference(heads, blocks, dropout):
    model, weights = some_sasrec(heads=heads, blocks=blocks, dropout=dropout)
    found = outputs(model, {"sequence": SEQUENCES})
    assert np.isfinite(found).all()
    for row, sequence in zip(found, SEQUENCES, strict=True):
        expected = sasrec.logits(weights, sequence, blocks=blocks)
        np.testing.assert_allclose(row[sequence > 0], expected[sequence > 0], rtol=1e-4, atol=1e-5)


def test_sasrec_learns_by_the_gradient_of_the_reference():
    model, weights = some_sasrec(blocks=1)
    batch = next_item_batches(np.hstack([SEQUENCES, [[5], [4], [0]]]).astype("int32"))[0]
    training.compile_model(model, keras.optimizers.SGD(1.0), loss="log_loss", metrics=())
    found = model.train_on_batch(*batch)
    inputs, target, known = batch
    arguments = inputs["sequence"], target, known
    assert float(found) == pytest.approx(sasrec.loss(weights, *arguments, blocks=1), rel=1e-5)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        moved = weights[weight.path] - keras.ops.convert_to_numpy(weight)
        for at in zip(*(rng.integers(0, size, 3) for size in weight.shape), strict=True):
            changed = {name: value.astype(np.float64) for name, value in weights.items()}
            ends = []
            for step in (1e-5, -2e-5):
                changed[weight.path][at] += step
                ends.append(sasrec.loss(changed, *arguments, blocks=1))
            assert moved[at] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=2e-5), (weight.path, at)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_sasrec_does_not_look_ahead(dropout):
    model, _ = some_sasrec(dropout=dropout)
    later = SEQUENCES.copy()
    later[:, 3:] = [[5, 2], [0, 1], [1, 4]]
    before, after = (outputs(model, {"sequence": each}) for each in (SEQUENCES, later))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(axis=2).all()


def test_sasrec_does_not_look_at_padding():
    model, _ = some_sasrec()
    before = outputs(model, {"sequence": SEQUENCES})
    for name, row in (("items", 0), ("positions", 0), ("positions", 1)):
        table = model.get_layer(name).get_weights()[0]
        table[row, 0] += 3
        model.get_layer(name).set_weights([table])
    after = outputs(model, {"sequence": SEQUENCES})
    np.testing.assert_array_equal(before[0, 2:, 1:], after[0, 2:, 1:])
    assert (np.abs(before[0, :2, 1:] - after[0, :2, 1:]) > 1e-3).all()


def test_blocks_start_with_different_weights():
    model = training.initialize(models.sasrec(6, 5, dim=4))
    weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights}
    for part in ("query", "key", "value", "attention_output"):
        assert (weights[f"attention_1/{part}/kernel"] != weights[f"attention_2/{part}/kernel"]).all()
    assert (weights["attention_1/query/kernel"] != weights["attention_1/key/kernel"]).all()
    first = [keras.ops.convert_to_numpy(v) for v in model.variables if v.name == "seed_generator_state"]
    again = training.initialize(models.sasrec(6, 5, dim=4))
    second = [keras.ops.convert_to_numpy(v) for v in again.variables if v.name == "seed_generator_state"]
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(np.reshape(first, (-1, 2)), axis=0)) == len(first)


def test_a_trained_sasrec_finds_what_comes_next(tmp_path):
    # Each item is followed by the one with the next number, but for one time in five.
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(1, USERS), 12), []
    for _ in range(1, USERS):
        items.append(rng.integers(1, ITEMS))
        for _ in range(11):
            items.append(items[-1] % (ITEMS - 1) + 1 if rng.random() < 0.8 else rng.integers(1, ITEMS))
    sequences = item_sequences(users, np.array(items), np.tile(np.arange(12), USERS - 1), n_users=USERS, length=12)
    model = training.initialize(models.sasrec(ITEMS, 10, dim=16, blocks=1, dropout=0.1))
    training.compile_model(model, keras.optimizers.Adam(0.02), loss="log_loss", metrics=())
    training.fit(
        model, next_item_batches(sequences[:, :-1], batch_size=30), None, epochs=12, folder=tmp_path, progress=False
    )
    scores = model.predict_on_batch({"sequence": sequences[1:, 1:-1]})[:, -1]
    assert (scores.argmax(axis=1) == sequences[1:, -1]).mean() > 0.6


# --- two towers


@pytest.mark.parametrize("hidden", [(), (5, 4)])
def test_two_towers_multiply_their_vectors_less_the_log_frequency(hidden):
    features = {
        "user_features": [Numeric("age"), MultiHot("user_history", 3)],
        "item_features": [Categorical("kind", 4)],
    }
    model = training.initialize(models.two_tower(7, 6, **features, dim=2, hidden=hidden, stddev=0.5), seed=1)
    of_mlp = sum(a * b + b for a, b in pairwise([2, *hidden, 2])) if hidden else 0
    assert parameters(model) == (7 + 6) * 2 + (1 * 2 + 2 + 3 * 2) + 4 * 2 + 2 * of_mlp
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:  # biases start at zeros
        weight.assign(rng.normal(size=weight.shape))
    inputs = {
        "user_id": np.array([1, 6, 0, 6], "int32"),
        "item_id": np.array([5, 5, 2, 0], "int32"),
        "age": rng.normal(size=(4, 1)).astype("float32"),
        "user_history": rng.random((4, 3)).astype("float32"),
        "kind": np.array([0, 3, 2, 1], "int32"),
        "item_log_frequency": rng.normal(size=(4, 1)).astype("float32"),
    }
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    kernel, bias = weights["user_side_numeric"]
    user = weights["user_embedding"][0][inputs["user_id"]] + inputs["age"] @ kernel + bias
    user += inputs["user_history"] @ weights["user_side_user_history"][0]
    item = weights["item_embedding"][0][inputs["item_id"]] + weights["item_side_kind"][0][inputs["kind"]]
    vectors = []
    for side, x in (("user", user), ("item", item)):
        for i in range(1, len(hidden) + 1):
            kernel, bias = weights[f"{side}_mlp_{i}"]
            x = np.maximum(x @ kernel + bias, 0)
        vectors.append(x @ weights[f"{side}_output"][0] + weights[f"{side}_output"][1] if hidden else x)
    expected = vectors[0] @ vectors[1].T - inputs["item_log_frequency"].T
    np.testing.assert_allclose(outputs(model, inputs), expected, rtol=1e-4, atol=1e-5)
    for tower, vector in zip(towers(model), vectors, strict=True):
        np.testing.assert_allclose(
            outputs(tower, {tensor.name: inputs[tensor.name] for tensor in tower.inputs}), vector, rtol=1e-4, atol=1e-5
        )


def test_the_softmax_over_a_batch_estimates_the_one_over_all_items():
    """With all items in a batch as often as they are observed, the loss is that of a softmax over the catalogue."""
    model = training.initialize(models.two_tower(4, 4, dim=2, stddev=1.0))
    users, items = np.array([1, 1, 2, 3, 3, 2], "int32"), np.array([1, 3, 2, 1, 2, 1], "int32")
    share = np.bincount(items)[items] / len(items)
    inputs = {"user_id": users, "item_id": items, "item_log_frequency": np.log(share, dtype="float32")[:, None]}
    training.compile_model(model, keras.optimizers.SGD(0.0), loss="log_loss", metrics=())
    found = model.train_on_batch(inputs, np.arange(6)) - np.log(6)
    scores = model.get_layer("user_embedding").get_weights()[0] @ model.get_layer("item_embedding").get_weights()[0].T
    over_all = np.log(np.exp(scores[users, 1:]).sum(axis=1)) - scores[users, items]
    assert float(found) == pytest.approx((over_all + np.log(share)).mean(), rel=1e-4)


def test_trained_towers_rank_better_than_popularity(tmp_path):
    users, items = TRAIN
    share = np.bincount(items)[items] / len(items)
    inputs = {"user_id": users.astype("int32"), "item_id": items.astype("int32")}
    inputs["item_log_frequency"] = np.log(share, dtype="float32")[:, None]
    batches = Batches(inputs, lambda rows: np.arange(len(rows)), batch_size=64, shuffle=True, drop_remainder=True)
    model = training.initialize(models.two_tower(USERS, ITEMS, dim=8, l2=1e-3))
    training.compile_model(model, keras.optimizers.Adam(0.01), loss="log_loss", metrics=())
    training.fit(model, batches, None, epochs=15, folder=tmp_path, progress=False)
    user, item = towers(model)
    items = training.predict(item, Batches({"item_id": np.arange(ITEMS, dtype="int32")}))
    scores = training.predict(user, Batches({"user_id": np.arange(USERS, dtype="int32")})) @ items.T
    assert ndcg(lambda users: scores[users]) > POPULARITY + 0.1


# --- NeuMF on sampled negatives


def test_the_published_neumf_ranks_better_than_popularity(tmp_path):
    pairs = NegativeSampling(*TRAIN, HISTORIES, negatives=4)
    batches = Batches({}, pairs.target, parts=[pairs], batch_size=256, shuffle=True)
    model = training.initialize(models.neumf(USERS, ITEMS, **models.presets.NEUMF["published"]))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(0.01), loss=loss, metrics=())
    training.fit(model, batches, None, epochs=8, folder=tmp_path, progress=False)
    inputs = {"user_id": np.repeat(np.arange(USERS), ITEMS), "item_id": np.tile(np.arange(ITEMS), USERS)}
    inputs = {name: ids.astype("int32") for name, ids in inputs.items()}
    scores = training.predict(model, Batches(inputs)).reshape(USERS, ITEMS)
    assert ndcg(lambda users: scores[users]) > POPULARITY + 0.1


# --- all


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.ease(0), "n_items must be at least 1. Received"),
        (lambda: models.item_autoencoder(5, hidden=(4, 0)), "hidden must be at least 1"),
        (lambda: models.item_autoencoder(5, dropout=1.0), "dropout must be at least 0 and below 1"),
        (lambda: models.sasrec(5, 0), "length must be at least 1"),
        (lambda: models.sasrec(5, 4, dropout=-0.1), "dropout must be at least 0 and below 1"),
        (lambda: models.two_tower(5, 4, hidden=(3, 0)), "hidden must be at least 1"),
        (lambda: models.two_tower(5, 4, dropout=1), "dropout must be at least 0 and below 1"),
        (lambda: models.two_tower(5, 4, item_features=[Numeric("item_id")]), "Received twice: 'item_id'"),
        (lambda: models.sasrec(5, 4, dim=9), "dim must be a multiple of heads. Received: dim=9, heads=2"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
