"""Initial weights, compiling, predicting and saving."""

import contextlib
import math
import zlib

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.models.cnn import augment, cnn
from kmodels.pipelines import Batches
from kmodels.training.weights import CompiledModels

UNIFORM = {"class_name": "VarianceScaling", "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"}}


def generator(path: str, seed: int = 7) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(path.encode())))


def truncated(path: str, shape: tuple, fan: int, scale: float) -> np.ndarray:
    rng = generator(path)
    draws = rng.normal(size=shape)
    while (np.abs(draws) > 2).any():
        outside = np.abs(draws) > 2
        draws[outside] = rng.normal(size=outside.sum())
    return draws * math.sqrt(scale / fan) / 0.87962566103423978


KINDS = {
    "glorot_uniform": lambda: generator("top/kernel").uniform(-math.sqrt(6 / 24), math.sqrt(6 / 24), (20, 4)),
    "glorot_normal": lambda: truncated("top/kernel", (20, 4), 12, 1),
    "he_normal": lambda: truncated("top/kernel", (20, 4), 20, 2),
    "he_uniform": lambda: generator("top/kernel").uniform(-math.sqrt(6 / 20), math.sqrt(6 / 20), (20, 4)),
    "lecun_normal": lambda: truncated("top/kernel", (20, 4), 20, 1),
    "random_normal": lambda: generator("top/kernel").normal(0, 0.05, (20, 4)),
    "random_uniform": lambda: generator("top/kernel").uniform(-0.05, 0.05, (20, 4)),
    "zeros": lambda: np.zeros((20, 4)),
    "ones": lambda: np.ones((20, 4)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_are_numpys_draws_to_the_bit(kind):
    bias = keras.initializers.Constant(0.7)
    layer = keras.layers.Dense(4, kernel_initializer=kind, bias_initializer=bias, name="top")
    model = keras.Sequential([keras.Input((20,)), layer])
    training.initialize(model, 7)
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, KINDS[kind]().astype("float32"))
    np.testing.assert_array_equal(bias, np.full(4, 0.7, "float32"))


def test_a_number_written_down():
    """The same on every backend, machine and version: runs of different years can be compared."""
    model = models.neumf(3, 4, dim=2)
    training.initialize(model, 0)
    assert model.get_layer("user_embedding").get_weights()[0][0].tolist() == [
        -0.047178883105516434,
        -0.042568646371364594,
    ]


def test_a_convolutions_fan_counts_its_window():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, name="conv")])
    training.initialize(model, 7)
    limit = math.sqrt(6 / (9 * 3 + 9 * 5))
    expected = generator("conv/kernel").uniform(-limit, limit, (3, 3, 3, 5)).astype("float32")
    np.testing.assert_array_equal(model.get_weights()[0], expected)


def test_truncated_draws_have_the_deviation_asked_for():
    model = keras.Sequential([keras.Input((400,)), keras.layers.Dense(300, kernel_initializer="he_normal")])
    training.initialize(model, 0)
    kernel = model.get_weights()[0]
    assert kernel.std() == pytest.approx(math.sqrt(2 / 400), rel=0.01)
    assert np.abs(kernel).max() <= 2 * math.sqrt(2 / 400) / 0.8796


def test_tables_of_equal_shape_differ_and_the_seed_matters():
    model = models.neumf(5, 5, dim=3)
    training.initialize(model, 0)
    user, item = (model.get_layer(f"{name}_embedding").get_weights()[0] for name in ("user", "item"))
    assert (user != item).all()
    training.initialize(model, 1)
    assert (model.get_layer("user_embedding").get_weights()[0] != user).all()


def test_another_layer_leaves_the_weights_of_the_first_as_they_were():
    small, large = models.neumf(5, 6, hidden=(8,)), models.neumf(5, 6, hidden=(8, 4), product=True, biases=True)
    for model in (small, large):
        training.initialize(model, 2)
    np.testing.assert_array_equal(*(m.get_layer("user_embedding").get_weights()[0] for m in (small, large)))


def test_the_random_state_of_dropout_is_set():
    states = []
    for _ in range(2):
        model = models.neumf(5, 6, hidden=(8,), dropout=0.5)
        training.initialize(model, 2)
        found = [v for v in model.variables if v.name == "seed_generator_state"]
        states.append([keras.ops.convert_to_numpy(v).tolist() for v in found])
    assert states[0] == states[1]


def test_an_initialiser_it_cannot_draw_is_refused():
    layer = keras.layers.Dense(2, kernel_initializer="orthogonal")
    with pytest.raises(ConfigurationError, match=r"Received: <.*Orthogonal"):
        training.initialize(keras.Sequential([keras.Input((2,)), layer]), 0)


def test_models_built_without_initializers_are_as_any_once_initialized(monkeypatch):
    monkeypatch.delenv("KMODELS_STOCK", raising=False)
    built = []
    for cheaply in (False, True):
        with training.skip_initializers() if cheaply else contextlib.nullcontext():
            model = models.neumf(7, 9, batch_norm=True, stddev=1.0, initializer=UNIFORM)
            if cheaply:
                assert not model.get_layer("mlp_1").get_weights()[0].any()
                assert (model.get_layer("mlp_1_bn").get_weights()[0] == 1).all()
        training.initialize(model, 3)
        built.append(model.get_weights())
    for drawn, skipped in zip(*built, strict=True):
        np.testing.assert_array_equal(drawn, skipped)


def test_outside_skip_initializers_keras_draws_again():
    with pytest.raises(ZeroDivisionError), training.skip_initializers():
        1 / 0  # noqa: B018
    assert keras.layers.Dense(3)(np.ones((1, 2), "float32")).shape == (1, 3)
    assert keras.ops.convert_to_numpy(keras.initializers.GlorotUniform()((3, 2))).all()


def test_a_compiled_model_starts_anew_each_time():
    """Trained twice, a model that was compiled once ends with the same weights as two that were compiled."""

    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        return model

    def trained(model):
        training.initialize(model, 0)
        model.fit(x, x[:, :2], epochs=3, batch_size=4, shuffle=False, verbose=0)
        return model.get_weights()[0]

    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    models = CompiledModels()
    first = models.get("a", build)
    once = trained(first)
    assert models.get("b", build) is not first
    assert models.get("a", build) is first
    np.testing.assert_array_equal(trained(first), once)
    np.testing.assert_array_equal(trained(build()), once)


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
    stages = {"filters": 8, "depth": 2, "shortcut": True}, {"filters": 8}
    return cnn((12, 12, 1), 3, stages=stages, augmentation=augment(12), dropout=0.1)


def test_the_multinomial_loss_has_the_gradient_of_weights_that_do_not_sum_to_one():
    # On TensorFlow, that of keras.losses.CategoricalCrossentropy is another.
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, use_bias=False)])
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(5, 3)).astype("float32"), rng.integers(0, 3, (5, 4)).astype("float32")
    kernel = rng.normal(size=(3, 4))
    model.set_weights([kernel])
    training.compile_model(model, keras.optimizers.SGD(1.0), loss="multinomial", metrics=())
    loss = model.train_on_batch(x, target)
    softmax = np.exp(x @ kernel) / np.exp(x @ kernel).sum(axis=1, keepdims=True)
    assert float(loss) == pytest.approx(-(target * np.log(softmax)).sum() / 5, rel=1e-5)
    gradient = x.T @ (target.sum(axis=1, keepdims=True) * softmax - target) / 5
    np.testing.assert_allclose(kernel - model.get_weights()[0], gradient, atol=1e-5)


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
    model = training.in_precision(cnn((12, 12, 1), 3, stages=[{"filters": 8}], flatten=True), "mixed_bfloat16")
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


def test_predict_gives_one_number_a_row_in_the_datas_order():
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
    model.set_weights([np.array([[2.0]]), np.array([1.0])])
    values = np.arange(7, dtype="float32")[:, None]
    predicted = training.predict(model, Batches({"x": values}, np.zeros(7), batch_size=3))
    assert predicted.shape == (7,)
    np.testing.assert_allclose(predicted, 2 * values[:, 0] + 1)


@pytest.mark.parametrize(("rows", "size"), [(7, 3), (6, 3), (2, 2)])
def test_predict_shows_the_model_batches_of_one_size(rows, size, monkeypatch):
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
    seen = []
    monkeypatch.setattr(model, "predict_on_batch", lambda inputs: seen.append(len(inputs["x"])) or inputs["x"])
    values = np.arange(rows, dtype="float32")[:, None]
    np.testing.assert_array_equal(training.predict(model, Batches({"x": values}, batch_size=3)), values[:, 0])
    assert set(seen) == {size}


def test_predict_keeps_several_numbers_a_row():
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(2)(x))
    assert training.predict(model, Batches({"x": np.zeros((3, 1), "float32")})).shape == (3, 2)


def test_predict_refuses_shuffled_batches():
    model = models.neumf(3, 4)
    batches = Batches({"user_id": np.zeros(3, "int32"), "item_id": np.zeros(3, "int32")}, shuffle=True)
    with pytest.raises(ConfigurationError, match="shuffle=True"):
        training.predict(model, batches)


def test_a_saved_model_has_no_optimiser_and_replaces_an_earlier_file(tmp_path):
    model = models.neumf(3, 4)
    training.compile_model(model, keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / "model.keras"
    path.write_text("an earlier one")
    training.save(model, path)
    loaded = keras.saving.load_model(path)
    assert not loaded.compiled
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
