"""What depends on the device: which one computes, and what each optimisation does on a GPU."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kmodels import backend, training
from kmodels.pipelines import Batches
from tests.training.interrupting import InterruptAt

BACKEND = keras.backend.backend()


def table_model():
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2(0.1), name="a")(x)
    model = keras.Model({"x": x}, keras.layers.Dense(1, name="b")(keras.layers.Dropout(0.0, name="dropped")(hidden)))
    return training.initialize(model, seed=0)


def fitted(folder, **options):
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(256, 3)).astype("float32"), rng.normal(size=256)
    train, rest = (Batches({"x": x}, target, batch_size=size) for size in (4, 64))
    model = table_model()
    training.compile_model(model, keras.optimizers.Adam(0.01, epsilon=1e-3))
    history = training.fit(model, train, rest, epochs=2, folder=folder, **options)
    return model, history["val_loss"].to_numpy(), training.predict(model, rest)


# --- on any machine


@pytest.mark.one_backend("jax")
def test_without_visible_devices_a_processor_computes():
    hidden = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    code = "from kmodels import backend; print(backend.device())"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | hidden, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "cpu", done.stderr


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's compiler options")
def test_settings_for_processors_are_not_used_elsewhere(monkeypatch):
    monkeypatch.setattr(backend.on_jax, "device", lambda: "gpu")
    model = table_model()
    model.compile("adam", "mse")
    backend.scan_train_steps(model, 1000)
    backend.compile_evaluation(model)
    assert model.steps_per_execution == 1
    assert not {"make_train_function", "make_test_function", "make_predict_function"} & set(vars(model))


# --- on a GPU


@pytest.mark.gpu
def test_weights_lie_on_the_gpu_and_train_as_keras_trains_them(monkeypatch, tmp_path):
    """Adam, recorded steps and penalties, compared with `KMODELS_STOCK=1`."""
    model, losses, predicted = fitted(tmp_path / "usual")
    value = model.get_layer("a").kernel.value
    where = {"jax": lambda: str(value.device), "torch": lambda: str(value.device), "tensorflow": lambda: value.device}
    assert any(each in where[BACKEND]().lower() for each in ("cuda", "gpu"))
    monkeypatch.setenv("KMODELS_STOCK", "1")
    _, own_losses, own_predicted = fitted(tmp_path / "stock")
    np.testing.assert_allclose(losses, own_losses, rtol=1e-4)
    np.testing.assert_allclose(predicted, own_predicted, rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_pictures_train_on_the_gpu_as_keras_trains_them(monkeypatch, conv_net, some_pictures):
    """Channels last, the order of kernels and normalisation."""
    results = []
    for stock in ("0", "1"):
        monkeypatch.setenv("KMODELS_STOCK", stock)
        model = conv_net()
        training.compile_model(model, keras.optimizers.Adam(0.01, epsilon=1e-3))
        losses = [float(model.train_on_batch(*some_pictures(rows, seed=rows))[0]) for rows in (6, 4, 6)]
        results.append((losses, model.predict_on_batch(some_pictures(7)[0])))
    (losses, predicted), (own_losses, own_predicted) = results
    np.testing.assert_allclose(losses, own_losses, rtol=1e-3)
    np.testing.assert_allclose(predicted, own_predicted, rtol=0, atol=1e-3 * np.abs(own_predicted).max())


@pytest.mark.gpu
def test_in_bfloat16_the_gpu_computes_the_same_but_for_rounding(conv_net, some_pictures):
    model = conv_net()
    pictures = some_pictures(8)[0]
    said = model.predict_on_batch(pictures)
    rounded = training.in_precision(model, "mixed_bfloat16").predict_on_batch(pictures)
    np.testing.assert_allclose(rounded, said, rtol=0, atol=0.05 * np.abs(said).max())


@pytest.mark.gpu
def test_dropout_on_the_gpu_goes_on_where_it_was():
    layer = keras.layers.Dropout(0.5, name="dropped")
    backend.seed_dropout(3)
    state, random = [v.numpy() for v in layer.variables], backend.random_state()
    masks = []
    for _ in range(2):
        for variable, value in zip(layer.variables, state, strict=True):
            variable.assign(value)
        backend.set_random_state(random)
        masks.append(keras.ops.convert_to_numpy(layer(np.ones((4, 50), "float32"), training=True)))
    np.testing.assert_array_equal(*masks)
    assert (masks[0] == 0).any()


@pytest.mark.gpu
def test_a_run_on_the_gpu_goes_on_inside_an_epoch(tmp_path):
    _, losses, predicted = fitted(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "broken", callbacks=[InterruptAt(1, 32)], save_every=16)
    _, found, said = fitted(tmp_path / "broken", save_every=16, resume=True)
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    np.testing.assert_allclose(said, predicted, rtol=0, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(BACKEND != "jax", reason="only JAX says how much it holds")
def test_a_process_does_not_take_all_memory_of_the_gpu():
    """By the environment that `conftest.py` sets, so that the workers of the tests share one."""
    import jax

    stats = jax.devices()[0].memory_stats()
    assert stats["pool_bytes"] < stats["bytes_limit"] / 2
