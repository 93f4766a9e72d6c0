import keras
import numpy as np
import pytest

from kmodels import backend, training

# --- the recorded step


def small_model(penalty=None, **dropout):
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, activation="relu", kernel_regularizer=penalty, name="a")(x)
    hidden = keras.layers.Dropout(0.0, **dropout)(hidden)
    top = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.0), name="b")
    model = keras.Model({"x": x}, top(hidden))
    training.initialize(model, seed=0)
    return model


def table(rows, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(rows, 3)).astype("float32")}, rng.normal(size=rows).astype("float32")


def test_only_torch_and_only_models_without_seeds_in_python_are_recorded(backend_name):
    for dropout, expected in (({}, backend_name == "torch"), ({"seed": 1}, False), ({"noise_shape": (None, 1)}, False)):
        model = small_model(**dropout)
        model.compile("sgd", "mse")
        backend.quicken_training(model)
        assert ("train_step" in vars(model)) == expected


@pytest.mark.parametrize("penalty", [None, keras.regularizers.L2(0.3), keras.regularizers.L1(0.3)])
@pytest.mark.parametrize("metric", ["mae", keras.metrics.R2Score])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_recorded_step_is_kerass_own_for_every_shape_of_batch(weighted, metric, penalty):
    """Loss, metrics over the steps so far, and weights; also a metric that is no mean, and penalties."""
    results = []
    for quick in (True, False):
        model = small_model(penalty)
        metrics = [metric if isinstance(metric, str) else metric()]
        model.compile(keras.optimizers.Adam(0.05), "mse", metrics=metrics)
        if quick:
            backend.quicken_training(model)
        logs = []
        for step, rows in enumerate((8, 5, 8, 8, 5)):
            inputs, target = table(rows, seed=step)
            target = target[:, None]
            weight = np.linspace(0, 1, rows).astype("float32") if weighted else None
            logs.append(model.train_on_batch(inputs, target, sample_weight=weight))
        results.append((np.array(logs), model.get_weights()))
    (logs, weights), (own_logs, own_weights) = results
    np.testing.assert_allclose(logs, own_logs, rtol=1e-5)
    for weight, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(weight, own, rtol=0, atol=1e-6)


def test_a_penalty_moves_a_weight_that_the_loss_does_not():
    """One step of SGD at rate 1 on inputs of zeros: the kernel becomes w - 2 · 0.1 · w, and keeps its penalty."""
    model = small_model(keras.regularizers.L2(0.1))
    kernel = model.get_layer("a").get_weights()[0]
    model.compile(keras.optimizers.SGD(1.0), "mse")
    backend.quicken_training(model)
    loss = model.train_on_batch({"x": np.zeros((5, 3), "float32")}, np.zeros(5, "float32"))
    np.testing.assert_allclose(loss, 0.1 * (kernel**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("a").get_weights()[0], 0.8 * kernel, rtol=1e-5)
    assert model.get_layer("a").kernel.regularizer.l2 == pytest.approx(0.1)


def test_a_layer_frozen_after_some_steps_stays_as_it_is():
    model = small_model()
    model.compile("sgd", "mse")
    backend.quicken_training(model)
    model.train_on_batch(*table(8))
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(*table(8, seed=1))
    moved = [bool((new != old).any()) for new, old in zip(model.get_weights(), before, strict=True)]
    assert moved == [False, False, True, True]


# --- dropout


def test_dropout_in_training_drops_its_share_and_makes_up_for_it():
    """On ones, dropped with probability 0.3, the squared distance to 1 is 0.3 / 0.7 on average, that of the mean 0."""
    x = keras.Input((64,), name="x")
    dropped = keras.layers.Dropout(0.3, name="dropped")(x)
    model = keras.Model({"x": x}, keras.layers.Dense(64, use_bias=False, name="same")(dropped))
    training.initialize(model, seed=0)
    model.get_layer("same").set_weights([np.eye(64, dtype="float32")])
    mean = keras.metrics.MeanMetricWrapper(lambda target, said: keras.ops.mean(said, axis=-1), name="mean")
    training.compile_model(model, keras.optimizers.SGD(0.0), metrics=[mean])
    backend.seed_masks(0)
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
    backend.shorten_masks(model)
    backend.seed_masks(0)
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


def test_unusual_layers_keep_kerass_way(backend_name):
    for layer, expected in (
        (with_dropout(0.5), backend_name == "torch"),
        (with_dropout(0.5, seed=1), False),
        (with_dropout(0.5, noise_shape=(None, 1)), False),
        (with_dropout(0.0), False),
        (with_dropout(1.0), False),
    ):
        assert ("call" in vars(layer)) == expected


# --- pictures


def conv_net(seed=0):
    x = keras.Input((9, 9, 3), name="x")
    y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
    y = keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="bn")(y)
    y = keras.layers.MaxPooling2D(2, name="pool")(keras.layers.ReLU()(y))
    y = keras.layers.Conv2D(5, 3, strides=2, use_bias=False, name="second")(y)
    y = keras.layers.BatchNormalization(scale=False, center=False, name="bare")(y)
    model = keras.Model(x, keras.layers.Dense(1, name="top")(keras.layers.Flatten()(y)))
    training.initialize(model, seed)
    return model


def some_pictures(rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3, 2, (rows, 9, 9, 3)).astype("float32"), rng.normal(size=(rows, 1)).astype("float32")


@pytest.mark.parametrize("frozen", [False, True])
def test_pictures_train_as_with_kerass_own_steps(frozen):
    """Loss, predictions, weights and moving statistics after five steps of Adam."""
    results = []
    for quick in (True, False):
        model = conv_net()
        model.get_layer("bn").trainable = not frozen
        if quick:
            backend.fuse_normalization(model)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        if quick:
            backend.arrange_kernels(model)
        losses = [model.train_on_batch(*some_pictures(rows, seed=rows)) for rows in (6, 4, 6, 8, 5)]
        results.append((losses, model.predict(some_pictures(7)[0], verbose=0), model.get_weights()))
    (losses, said, weights), (own_losses, own_said, own_weights) = results
    np.testing.assert_allclose(losses, own_losses, rtol=1e-4)
    np.testing.assert_allclose(said, own_said, rtol=0, atol=1e-4 * np.abs(own_said).max())
    for weight, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(weight, own, rtol=0, atol=1e-4 * max(1, np.abs(own).max()))


def test_normalisation_and_its_moving_statistics_are_those_of_the_formula():
    x = keras.Input((2, 3), name="x")
    model = keras.Model(x, keras.layers.BatchNormalization(epsilon=0.01, momentum=0.8, name="bn")(x))
    gamma, beta, mean, variance = np.array([[1.0, 2, 3], [0, 1, -1], [0.5, 0, 0], [1, 4, 9]], "float32")
    model.set_weights([gamma, beta, mean, variance])
    backend.fuse_normalization(model)
    rows = np.random.default_rng(0).normal(2, 3, (5, 2, 3)).astype("float32")
    quiet = keras.ops.convert_to_numpy(model(rows, training=False))
    np.testing.assert_allclose(quiet, (rows - mean) / np.sqrt(variance + 0.01) * gamma + beta, rtol=1e-5, atol=1e-6)
    found, spread = rows.mean((0, 1)), rows.var((0, 1))  # the biased variance
    trained = keras.ops.convert_to_numpy(model(rows, training=True))
    np.testing.assert_allclose(trained, (rows - found) / np.sqrt(spread + 0.01) * gamma + beta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[2], 0.8 * mean + 0.2 * found, rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[3], 0.8 * variance + 0.2 * spread, rtol=1e-5)


def test_a_masked_or_unusual_normalisation_keeps_kerass_steps(backend_name):
    usual, other = (keras.layers.BatchNormalization(axis=axis, name=f"bn{axis}") for axis in (-1, 1))
    x = keras.Input((4, 3))
    model = keras.Model(x, other(usual(x)))
    backend.fuse_normalization(model)
    assert ("call" in vars(usual)) == (backend_name == "torch")
    assert "call" not in vars(other)
    rows = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[True, True, False, False]] * 2)
    rows[:, 2:] = 1e6  # what is masked must not count
    usual(rows, training=True, mask=mask)
    np.testing.assert_allclose(usual.get_weights()[2], 0.01 * rows[:, :2].mean((0, 1)), atol=1e-5)


def test_kernels_keep_their_values_and_lie_as_torch_reads_them(backend_name):
    model = conv_net()
    before = model.get_weights()
    model.compile("adam", "mse")
    backend.arrange_kernels(model)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    model.train_on_batch(*some_pictures(4))
    if backend_name == "torch":
        import torch

        kernel = model.get_layer("conv").kernel.value
        for tensor in (kernel, kernel.grad, model.optimizer._momentums[0].value):
            assert tensor.permute(3, 2, 0, 1).is_contiguous(memory_format=torch.channels_last)


def test_pictures_stay_channels_last_and_are_convolved_and_pooled_by_the_formula(backend_name):
    backend.keep_channels_last()
    model, (pictures, _) = conv_net(), some_pictures(2)
    kernel = model.get_layer("second").get_weights()[0]
    convolved = keras.ops.convert_to_numpy(keras.ops.conv(pictures[:, :, :, :1] * np.ones(4, "float32"), kernel, 2))
    windows = np.lib.stride_tricks.sliding_window_view(pictures[:, :, :, 0], (3, 3), axis=(1, 2))[:, ::2, ::2]
    np.testing.assert_allclose(convolved, np.einsum("nijhw,hwco->nijo", windows, kernel), rtol=1e-4, atol=1e-4)
    pooled = keras.layers.MaxPooling2D(3)(pictures)
    np.testing.assert_array_equal(pooled, pictures.reshape(2, 3, 3, 3, 3, 3).max((2, 4)))
    if backend_name == "torch":
        assert pooled.is_contiguous()
