import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.features import Bag, Categorical, MultiHot, Numeric
from kmodels.models.embedding import Embedded

USER, PRODUCT = Categorical("user_id", 6), Categorical("product_id", 5)
EVERY_KIND = [Numeric("age"), Numeric("size", 2), Categorical("job", 4), MultiHot("tags", 3), Bag("history", 5, 2)]
RNG = np.random.default_rng(0)


def rows(model, n=32):
    sizes = {"user_id": 6, "product_id": 5, "job": 4, "history": 5}
    return {
        tensor.name: RNG.integers(0, sizes[tensor.name], (n, *tensor.shape[1:])).astype("int32")
        if tensor.name in sizes
        else RNG.normal(size=(n, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    }


def predict(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


def test_the_prediction_is_the_sum_of_its_terms():
    """A user, a product and a category, without an MLP, by hand."""
    model = models.embedding_regressor(
        [Categorical("job", 4)], embeddings=[Embedded(USER), Embedded(PRODUCT)], dim=2, hidden=(), mean=0.5
    )
    training.initialize(model, 1)
    for name in ("linear_job", "user_id_bias", "product_id_bias"):  # they start at 0
        shape = model.get_layer(name).get_weights()[0].shape
        model.get_layer(name).set_weights([RNG.normal(size=shape)])
    table = {layer.name: layer.get_weights() for layer in model.layers}
    inputs = rows(model)
    kernel, bias = table["output"]
    for i, found in enumerate(predict(model, inputs)[:, 0]):
        job, user, product = (inputs[name][i] for name in ("job", "user_id", "product_id"))
        numbers = table["linear_job"][0][job] + table["user_id_bias"][0][user] + table["product_id_bias"][0][product]
        v = table["vector_job"][0][job]
        u, p = table["user_id_embedding"][0][user], table["product_id_embedding"][0][product]
        last = np.concatenate([v, u, p, u * v, p * (v + u)])
        assert found == pytest.approx((numbers + last @ kernel + bias)[0], abs=1e-6)


def test_it_starts_at_the_mean_but_for_what_small_vectors_add():
    model = models.embedding_regressor(EVERY_KIND, embeddings=[Embedded(USER)], mean=9.0, stddev=0.0, hidden=())
    silent = rows(model)
    for name in ("age", "size", "tags", "history_weights"):
        silent[name] *= 0
    np.testing.assert_allclose(predict(model, silent), 9.0, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "ids"),
    [
        (EVERY_KIND, (USER, PRODUCT)),
        (EVERY_KIND, ()),
        (EVERY_KIND[:2], (USER,)),
        ([Categorical("job", 4)], ()),
        ([], (USER, PRODUCT)),
    ],
)
def test_any_mix_of_features_and_ids_gives_every_weight_a_gradient(features, ids):
    embeddings = [Embedded(one, l2=1e-6, dropout=0.1, max_norm=2.0) for one in ids]
    model = models.embedding_classifier(features, 3, embeddings=embeddings, dim=4, hidden=(8,), l2=1e-6)
    assert type(model) is keras.src.models.functional.Functional
    assert not model.compiled
    assert all(type(layer).__module__.startswith("keras.src.layers") for layer in model.layers)
    training.initialize(model, 0)
    wanted = {name for f in features for name in ([f.name, f.weights_name] if isinstance(f, Bag) else [f.name])}
    assert {tensor.name for tensor in model.inputs} == wanted | {one.name for one in ids}
    before = model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
    model.train_on_batch(rows(model, 64), RNG.integers(0, 3, 64).astype("int32"))
    for old, new, weight in zip(before, model.get_weights(), model.weights, strict=True):
        if weight.trainable:
            assert np.abs(old - new).max() > 1e-7, weight.path


def test_the_classifier_gives_logits_for_each_class():
    model = models.embedding_classifier([Numeric("age")], 4, embeddings=[Embedded(USER)])
    logits = predict(model, rows(model, 5))
    assert (logits.shape, logits.dtype) == ((5, 4), np.float32)
    assert model.get_layer("user_id_bias").output.shape == (None, 4)
    # Not probabilities: nothing squeezes them.
    assert not np.allclose(logits.sum(axis=1), 1)


def test_max_norm_holds_after_every_step_and_only_for_its_own_table():
    embeddings = [Embedded(USER, max_norm=0.1), Embedded(PRODUCT)]
    model = models.embedding_regressor([], embeddings=embeddings, dim=3, stddev=1.0)
    training.initialize(model, 0)
    training.compile_model(model, keras.optimizers.Adam(0.05))
    for _ in range(3):
        model.train_on_batch(rows(model), RNG.normal(size=32).astype("float32"))
    norms = {
        name: np.linalg.norm(model.get_layer(f"{name}_embedding").get_weights()[0], axis=1)
        for name in ("user_id", "product_id")
    }
    assert norms["user_id"].max() <= 0.1 + 1e-6
    assert norms["product_id"].min() > 0.1


def test_dropout_on_an_id_acts_in_training_alone():
    model = models.embedding_regressor([], embeddings=[Embedded(USER, dropout=0.5)], stddev=1.0)
    training.initialize(model, 0)
    inputs = {"user_id": np.full(64, 2, "int32")}
    assert np.ptp(predict(model, inputs)) < 1e-6
    assert np.ptp(keras.ops.convert_to_numpy(model(inputs, training=True))) > 1e-3


def test_biases_with_their_penalty_are_shrunken_means_of_a_mixed_model():
    """Ridge's closed form: a user with n of N rows and a mean m above the constant gets m · n / (n + N · l2)."""
    user = np.repeat([1, 2, 3, 4, 5], [1, 2, 4, 8, 16]).astype("int32")
    target = RNG.normal(size=31) + np.array([0, 2, -1, 3, 1, -2])[user]
    penalty = 0.1
    # Vectors held at nought, so that the biases are all there is.
    model = models.embedding_regressor(
        [], embeddings=[Embedded(USER, l2=1e3, bias_l2=penalty)], dim=1, hidden=(), stddev=0.0
    )
    training.initialize(model, 0)
    training.compile_model(model, keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 600)))
    for _ in range(600):
        model.train_on_batch({"user_id": user}, target.astype("float32"))
    constant = model.get_layer("output").get_weights()[1][0]
    found = model.get_layer("user_id_bias").get_weights()[0][:, 0]
    for each in range(1, 6):
        mine = target[user == each]
        assert found[each] == pytest.approx((mine - constant).sum() / (len(mine) + 31 * penalty), abs=2e-3)
    assert found[0] == 0  # nobody's row stays where it was


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.embedding_regressor([]), "needs a feature or an id"),
        (lambda: models.embedding_regressor([USER], dim=0), "dim must be at least 1. Received: dim=0"),
        (lambda: models.embedding_regressor([USER], hidden=(8, 0)), "hidden must be at least 1"),
        (lambda: models.embedding_regressor([USER], dropout=1.0), "dropout must be at least 0 and below 1"),
        (lambda: models.embedding_regressor([USER], embeddings=[Embedded(USER)]), "Received twice: 'user_id'"),
        (lambda: models.embedding_classifier([USER], 1), "at least 2 classes. Received: classes=1"),
        (lambda: Embedded(USER, l2=-1), "l2 of 'user_id' must be at least 0. Received: l2=-1"),
        (lambda: Embedded(USER, bias_l2=-1), "bias_l2 of 'user_id'"),
        (lambda: Embedded(USER, dropout=1), "dropout of 'user_id' must be at least 0 and below 1"),
        (lambda: Embedded(USER, max_norm=0), "max_norm of 'user_id' must be None or above 0"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
