import contextlib
import math
import zlib

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError

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


def test_models_built_without_initializers_are_as_any_once_initialized():
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
    models = training.CompiledModels()
    first = models.get("a", build)
    once = trained(first)
    assert models.get("b", build) is not first
    assert models.get("a", build) is first
    np.testing.assert_array_equal(trained(first), once)
    np.testing.assert_array_equal(trained(build()), once)
