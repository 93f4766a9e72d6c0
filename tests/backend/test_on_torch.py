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
        backend.trace_train_step(model)
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
            backend.trace_train_step(model)
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
    backend.trace_train_step(model)
    loss = model.train_on_batch({"x": np.zeros((5, 3), "float32")}, np.zeros(5, "float32"))
    np.testing.assert_allclose(loss, 0.1 * (kernel**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("a").get_weights()[0], 0.8 * kernel, rtol=1e-5)
    assert model.get_layer("a").kernel.regularizer.l2 == pytest.approx(0.1)


def test_two_dropouts_of_one_tensor_draw_masks_of_their_own():
    keras.utils.set_random_seed(0)
    x = keras.Input((64,), name="x")
    hidden = keras.layers.Dense(64, name="a")(x)
    dropped = [keras.layers.Dropout(0.5)(hidden) for _ in range(2)]
    model = keras.Model({"x": x}, keras.layers.Subtract()(dropped))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    backend.trace_train_step(model)
    rows = np.random.default_rng(0).normal(size=(16, 64)).astype("float32")
    loss = float(model.train_on_batch({"x": rows}, np.zeros_like(rows)))
    # Equal masks would leave nothing of the difference; of independent ones half differ, by twice the value.
    expected = 2 * float((keras.ops.convert_to_numpy(model.get_layer("a")(rows)) ** 2).mean())
    np.testing.assert_allclose(loss, expected, rtol=0.15)


def test_a_layer_frozen_after_some_steps_stays_as_it_is():
    model = small_model()
    model.compile("sgd", "mse")
    backend.trace_train_step(model)
    model.train_on_batch(*table(8))
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(*table(8, seed=1))
    moved = [bool((new != old).any()) for new, old in zip(model.get_weights(), before, strict=True)]
    assert moved == [False, False, True, True]


# --- pictures


def test_kernels_keep_their_values_and_lie_as_torch_reads_them(backend_name, conv_net, some_pictures):
    model = conv_net()
    before = model.get_weights()
    model.compile("adam", "mse")
    backend.reorder_kernels(model)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    model.train_on_batch(*some_pictures(4))
    if backend_name == "torch":
        import torch

        kernel = model.get_layer("conv").kernel.value
        for tensor in (kernel, kernel.grad, model.optimizer._momentums[0].value):
            assert tensor.permute(3, 2, 0, 1).is_contiguous(memory_format=torch.channels_last)


def test_pictures_stay_channels_last_and_are_convolved_and_pooled_by_the_formula(backend_name, conv_net, some_pictures):
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
