import keras
import numpy as np
import pytest

from kmodels import training
from kmodels.errors import ConfigurationError
from kmodels.models.cnn import Stage, augment, cnn
from kmodels.pipelines import Batches


def test_compile_model_sets_loss_metric_and_steps(backend_name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(1e-3)
    training.compile_model(model, optimizer, metrics=("rmse", "mae"))
    assert model.optimizer is optimizer
    assert model.loss == "mse"
    assert model.steps_per_execution == (16 if backend_name == "tensorflow" else 1)
    logs = model.evaluate(np.zeros((4, 3)), np.full(4, 3.0), verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": 9.0, "rmse": 3.0, "mae": 3.0})


def test_rmse_leaves_the_penalty_out():
    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1.0))(x))
    model.set_weights([np.array([[2.0]]), np.zeros(1)])
    training.compile_model(model, keras.optimizers.SGD(0.0))
    logs = model.evaluate(np.zeros((4, 1)), np.full(4, 3.0), verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": 9.0 + 4.0, "rmse": 3.0})


def small_cnn():
    stages = Stage(8, depth=2, shortcut=True), Stage(8)
    return cnn((12, 12, 1), 3, stages=stages, augmentation=augment(12), dropout=0.1)


def test_a_model_in_bfloat16_computes_the_same_but_for_rounding():
    model = small_cnn()
    training.initialize(model, 1)
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), dtype="uint8")
    exact = model.predict({"image": images}, verbose=0)
    mixed = training.in_precision(model, "mixed_bfloat16")
    assert [weight.dtype for weight in mixed.weights] == ["float32"] * len(model.weights)
    assert mixed.get_layer("stage_1_1_conv").compute_dtype == "bfloat16"
    rounded = mixed.predict({"image": images}, verbose=0)
    assert rounded.dtype == np.float32
    scale = np.abs(exact).max()
    assert 1e-5 * scale < np.abs(rounded - exact).max() < 0.05 * scale  # bfloat16 has 8 bits, each layer rounds
    back = training.in_precision(mixed, "float32").predict({"image": images}, verbose=0)
    np.testing.assert_allclose(back, exact, rtol=0, atol=1e-6 * scale)


def test_a_model_in_bfloat16_learns_and_is_kept_in_float32(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    images = rng.integers(0, 100, (240, 12, 12, 1)).astype("uint8")
    for place in range(3):  # a bright bar, whose height says the class
        images[labels == place, 4 * place : 4 * place + 3] = 250
    model = training.in_precision(cnn((12, 12, 1), 3, stages=[Stage(8)], flatten=True), "mixed_bfloat16")
    training.initialize(model, 0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(0.01), loss=loss, metrics=())
    train = Batches({"image": images}, labels, batch_size=24, shuffle=True)
    training.fit(model, train, Batches({"image": images}, labels), epochs=4, folder=tmp_path)
    exact = training.in_precision(model, "float32")
    assert model.compiled
    assert not exact.compiled
    training.save(exact, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("stage_1_1_conv").compute_dtype == "float32"
    said = loaded.predict({"image": images}, verbose=0).argmax(axis=1)
    assert (said == labels).mean() > 0.97


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigurationError, match=r"float32, mixed_bfloat16.*Received: 'float8'"):
        training.in_precision(small_cnn(), "float8")
