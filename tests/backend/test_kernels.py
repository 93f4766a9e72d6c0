"""What runs on a backend's own kernels, against formulas and Keras's own steps."""

import keras
import numpy as np
import pytest

from kmodels import backend, training
from tests.reference import adam


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
@pytest.mark.parametrize("laid_out", ["alike", "differently"])
def test_fused_adam_is_the_formula_whatever_lies_how_in_memory(kind, laid_out, backend_name):
    """Five steps with a large epsilon and a falling rate; AdamW shrinks the weights before each."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype("float32") for shape in ((3, 2, 4, 5), (7,))]
    variables = [keras.Variable(value) for value in values]
    rate = keras.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)
    optimizer = getattr(keras.optimizers, kind)(rate, beta_1=0.8, beta_2=0.95, epsilon=0.01)
    optimizer.build(variables)
    backend.fuse_adam(optimizer)
    if laid_out == "differently" and backend_name == "torch":
        kernel = variables[0].value
        kernel.data = kernel.data.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)
    weights, state = dict(enumerate(values)), None
    for number in range(5):
        learning_rate = 0.1 / (1 + 0.5 * number)
        grads = {i: rng.normal(size=value.shape).astype("float32") for i, value in weights.items()}
        optimizer.apply([keras.ops.convert_to_tensor(grad) for grad in grads.values()], variables)
        if kind == "AdamW":
            weights = {i: value * (1 - 0.004 * learning_rate) for i, value in weights.items()}
        settings = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.01}
        weights, state = adam.step(weights, grads, state, learning_rate=learning_rate, **settings)
    for i, variable in enumerate(variables):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), weights[i], rtol=0, atol=2e-6)


REPLACED = {"torch": "_parallel_update_step", "tensorflow": "update_step"}


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Nadam", "AMSGrad"])
def test_only_adam_without_amsgrad_is_replaced(kind, backend_name):
    optimizer = keras.optimizers.Adam(amsgrad=True) if kind == "AMSGrad" else getattr(keras.optimizers, kind)()
    backend.fuse_adam(optimizer)
    replaced = {"_parallel_update_step", "update_step"} & set(vars(optimizer))
    expected = kind.startswith("Adam") and backend_name in REPLACED
    assert replaced == ({REPLACED[backend_name]} if expected else set())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has such gradients")
def test_gradients_of_a_few_rows_keep_kerass_steps():
    import tensorflow as tf

    results = []
    for fused in (False, True):
        table = keras.Variable(np.ones((5, 2), "float32"))
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build([table])
        if fused:
            backend.fuse_adam(optimizer)
        for _ in range(2):
            optimizer.apply([tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 3]), tf.constant([5, 2]))], [table])
        results.append(keras.ops.convert_to_numpy(table))
    np.testing.assert_array_equal(*results)
    assert (results[1][[0, 2, 4]] == 1).all()
    assert (results[1][[1, 3]] < 0.9).all()


def test_dropout_in_training_drops_its_share_and_makes_up_for_it():
    """On ones, dropped with probability 0.3, the squared distance to 1 is 0.3 / 0.7 on average, that of the mean 0."""
    x = keras.Input((64,), name="x")
    dropped = keras.layers.Dropout(0.3, name="dropped")(x)
    model = keras.Model({"x": x}, keras.layers.Dense(64, use_bias=False, name="same")(dropped))
    training.initialize(model, seed=0)
    model.get_layer("same").set_weights([np.eye(64, dtype="float32")])
    mean = keras.metrics.MeanMetricWrapper(lambda target, said: keras.ops.mean(said, axis=-1), name="mean")
    training.compile_model(model, keras.optimizers.SGD(0.0), metrics=[mean])
    backend.seed_dropout(0)
    ones = np.ones((2048, 64), "float32")
    losses, means = zip(*(model.train_on_batch({"x": ones}, ones) for _ in range(4)), strict=True)
    np.testing.assert_allclose(losses, 0.3 / 0.7, atol=0.008)  # 2.8 standard errors of 131,072 draws: 0.0025
    np.testing.assert_allclose(means, 1.0, atol=0.008)  # 0.0018
    assert len(set(losses)) == 4


def direct(layer, x, **kwargs):
    return keras.ops.convert_to_numpy(layer(x, **kwargs))


def with_dropout(rate, **kwargs):
    layer = keras.layers.Dropout(rate, name="dropped", **kwargs)
    model = keras.Model(x := keras.Input((None,), name="x"), layer(x))
    training.initialize(model, seed=0)
    backend.fuse_dropout(model)
    backend.seed_dropout(0)
    return layer


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_each_element_is_dropped_alone_and_with_the_rate_given(rate):
    """An odd number of elements, so that the last word of random bits is cut; neighbours share such a word."""
    dropped = direct(with_dropout(rate), np.ones((333, 1001), "float32"), training=True) == 0
    error = 4 * np.sqrt(rate * (1 - rate) / dropped.size)
    np.testing.assert_allclose(dropped.mean(), rate, atol=error)
    for distance in (1, 2, 3):
        correlation = np.corrcoef(dropped[:, :-distance].ravel(), dropped[:, distance:].ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(dropped.size)


def test_what_stays_is_scaled_so_that_the_mean_stays():
    found = direct(with_dropout(0.3), np.full((50, 40), 2.0, "float32"), training=True)
    np.testing.assert_allclose(np.unique(found), [0, 2 / 0.7], rtol=1e-4)


def test_outside_training_nothing_is_dropped():
    x = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(direct(with_dropout(0.5), x, training=False), x)


def test_unusual_layers_keep_kerass_way():
    for layer, expected in (
        (with_dropout(0.5), True),
        (with_dropout(0.5, seed=1), False),
        (with_dropout(0.5, noise_shape=(None, 1)), False),
        (with_dropout(0.0), False),
        (with_dropout(1.0), False),
    ):
        assert ("call" in vars(layer)) == expected


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ],
)
def test_threefry_gives_the_known_answers_of_random123(key, counter, expected):
    """Its `kat_vectors`, threefry2x32 with 13 rounds; on plain NumPy, so on every backend."""
    with np.errstate(over="ignore"):
        found = backend.dropout._threefry(np.array(key, "uint32"), *np.array(counter, "uint32"))
    assert tuple(map(int, found)) == expected


@pytest.mark.parametrize("frozen", [False, True])
def test_pictures_train_as_with_kerass_own_steps(frozen, conv_net, some_pictures):
    """Loss, predictions, weights and moving statistics after five steps of Adam."""
    results = []
    for quick in (True, False):
        model = conv_net()
        model.get_layer("bn").trainable = not frozen
        if quick:
            backend.fuse_normalization(model)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        if quick:
            backend.reorder_kernels(model)
        losses = [model.train_on_batch(*some_pictures(rows, seed=rows)) for rows in (6, 4, 6, 8, 5)]
        results.append((losses, model.predict(some_pictures(7)[0], verbose=0), model.get_weights()))
    (losses, said, weights), (own_losses, own_said, own_weights) = results
    np.testing.assert_allclose(losses, own_losses, rtol=1e-4)
    np.testing.assert_allclose(said, own_said, rtol=0, atol=1e-4 * np.abs(own_said).max())
    for weight, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(weight, own, rtol=0, atol=1e-4 * max(1, np.abs(own).max()))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)])
def test_normalisation_and_its_moving_statistics_are_those_of_the_formula(shape):
    """Rows, sequences and pictures."""
    x = keras.Input(shape, name="x")
    model = keras.Model(x, keras.layers.BatchNormalization(epsilon=0.01, momentum=0.8, name="bn")(x))
    gamma, beta, mean, variance = np.array([[1.0, 2, 3], [0, 1, -1], [0.5, 0, 0], [1, 4, 9]], "float32")
    model.set_weights([gamma, beta, mean, variance])
    backend.fuse_normalization(model)
    rows = np.random.default_rng(0).normal(2, 3, (5, *shape)).astype("float32")
    quiet = keras.ops.convert_to_numpy(model(rows, training=False))
    np.testing.assert_allclose(quiet, (rows - mean) / np.sqrt(variance + 0.01) * gamma + beta, rtol=1e-5, atol=1e-6)
    found, spread = rows.reshape(-1, 3).mean(0), rows.reshape(-1, 3).var(0)  # the biased variance
    trained = keras.ops.convert_to_numpy(model(rows, training=True))
    np.testing.assert_allclose(trained, (rows - found) / np.sqrt(spread + 0.01) * gamma + beta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[2], 0.8 * mean + 0.2 * found, rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[3], 0.8 * variance + 0.2 * spread, rtol=1e-5)


def test_a_masked_or_unusual_normalisation_keeps_kerass_steps(backend_name):
    usual, other = (keras.layers.BatchNormalization(axis=axis, name=f"bn{axis}") for axis in (-1, 1))
    x = keras.Input((4, 3))
    model = keras.Model(x, other(usual(x)))
    backend.fuse_normalization(model)
    assert ("call" in vars(usual)) == (backend_name != "jax")
    assert "call" not in vars(other)
    rows = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[True, True, False, False]] * 2)
    rows[:, 2:] = 1e6  # what is masked must not count
    usual(rows, training=True, mask=mask)
    np.testing.assert_allclose(usual.get_weights()[2], 0.01 * rows[:, :2].mean((0, 1)), atol=1e-5)


def penalised(penalty):
    x = keras.Input((3,), name="x")
    layer = keras.layers.Dense(4, kernel_regularizer=penalty, bias_regularizer=penalty, bias_initializer="ones")
    model = keras.Model(x, layer(x))
    training.initialize(model, seed=0)
    backend.fuse_penalties(model)
    return model, layer


def test_a_penalty_and_its_gradient_are_those_of_the_formula():
    """One step of SGD at rate 1 on inputs of zeros and a target that the model gives: w becomes w - 2 · 0.1 · w."""
    model, layer = penalised(keras.regularizers.L2(0.1))
    kernel, bias = layer.get_weights()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    loss = model.train_on_batch(np.zeros((5, 3), "float32"), np.tile(bias, (5, 1)))
    np.testing.assert_allclose(loss, 0.1 * ((kernel**2).sum() + (bias**2).sum()), rtol=1e-5)
    for weight, old in zip(layer.get_weights(), (kernel, bias), strict=True):
        np.testing.assert_allclose(weight, 0.8 * old, rtol=1e-5)


@pytest.mark.parametrize(
    ("penalty", "fused"),
    [(keras.regularizers.L2(0.1), True), (keras.regularizers.L1L2(0.1, 0.1), False), (None, False)],
)
def test_only_variables_with_an_l2_penalty_are_changed_and_the_model_is_saved_as_it_was(
    penalty, fused, backend_name, tmp_path
):
    model, layer = penalised(penalty)
    assert (layer.kernel.regularizer is not penalty) == (fused and backend_name == "tensorflow")
    training.save(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[1]
    assert type(loaded.kernel_regularizer) is type(penalty)
    assert loaded.get_config()["kernel_regularizer"] == layer.get_config()["kernel_regularizer"]
