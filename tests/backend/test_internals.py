"""The private APIs of the libraries: whether they are there, and what happens where they are not."""

import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from kmodels import backend, training
from kmodels.backend import internals
from kmodels.errors import ConfigurationError
from kmodels.pipelines import Batches

BACKEND = keras.backend.backend()


def small_model(*layers):
    x = keras.Input((3,), name="x")
    y = keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2(0.1), name="a")(x)
    for layer in layers:
        y = layer(y)
    model = keras.Model({"x": x}, keras.layers.Dense(1, name="b")(y))
    return training.initialize(model, seed=0)


def trained(folder, *layers):
    """Fits 64 batches, with the warnings of kmodels, one for each text."""
    rng = np.random.default_rng(0)
    batches = Batches({"x": rng.normal(size=(256, 3)).astype("float32")}, rng.normal(size=256), batch_size=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        model = small_model(*layers)
        training.compile_model(model, keras.optimizers.Adam(0.01, epsilon=1e-3))
        training.fit(model, batches, None, epochs=1, folder=folder)
    return model, sorted({str(each.message) for each in caught if "kmodels" in str(each.message)})


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("usual"))


def sample_objects():
    model = small_model()
    model.compile("adam", "mse")
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    return {"model": model, "optimizer": optimizer, "tensor": model.output, "operation": model.layers[-1]}


@pytest.mark.parametrize("use", sorted(set(internals.NEEDS) - {"searches"}))
def test_the_installed_libraries_have_what_is_used(use):
    assert internals.find_missing(use, **sample_objects()) is None


# --- absent


TRAINING = {
    "jax": ["several steps in a call"],
    "tensorflow": ["moments of Adam", "one-pass Adam", "one-pass penalties"],
    "torch": ["channels-last pictures", "moments of Adam", "one-pass Adam", "recorded steps"],
}


@pytest.mark.parametrize("use", TRAINING[BACKEND])
def test_where_an_api_is_missing_keras_trains_and_one_line_says_so(use, usual, monkeypatch, tmp_path):
    monkeypatch.setitem(internals.NEEDS, use, {"": ("keras.Model.of_another_version",)})
    model, said = trained(tmp_path)
    assert len(said) == 1
    assert use in said[0]
    assert f"keras {keras.version()} has no keras.Model.of_another_version" in said[0]
    assert "\n" not in said[0]
    assert not usual[1]
    for found, expected in zip(model.get_weights(), usual[0].get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


CHANGED = {
    "jax": (keras.Model, "_make_function", "make_train_function"),
    "tensorflow": (keras.optimizers.Adam, "update_step", "update_step"),
    "torch": (keras.Model, "_compute_loss", "train_step"),
}


def test_a_function_with_another_parameter_is_not_replaced(usual, monkeypatch, tmp_path):
    """As when Keras 3.16 gave `_make_function` the parameter `out_shardings`."""
    owner, changed, replaced = CHANGED[BACKEND]
    stock = getattr(owner, changed)

    def of_another_version(self, *args, out_shardings=None, **kwargs):
        return stock(self, *args, **kwargs)

    monkeypatch.setattr(owner, changed, of_another_version)
    model, said = trained(tmp_path)
    assert said
    assert f"{changed}(args, out_shardings, kwargs), not (" in said[0]
    assert replaced not in {**vars(model), **vars(model.optimizer)}
    for found, expected in zip(model.get_weights(), usual[0].get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="torch's kernels")
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("torch", "_fused_adam_"),
        ("torch", "_foreach_norm"),
        ("torch", "native_batch_norm"),
        ("torch.fx.experimental.proxy_tensor", "make_fx"),
    ],
)
def test_a_kernel_that_is_gone_is_not_called(owner, name, monkeypatch, tmp_path):
    monkeypatch.delattr(f"{owner}.{name}")
    model, said = trained(tmp_path, keras.layers.BatchNormalization())
    assert len(said) == 1
    assert f"has no {owner}.{name}" in said[0]
    assert int(model.optimizer.iterations) == 64


@pytest.mark.skipif(BACKEND != "torch", reason="steps are recorded on torch")
def test_where_a_step_cannot_be_recorded_keras_takes_it(usual, monkeypatch, tmp_path):
    def fail(*_):
        raise NotImplementedError("an operation of another version")

    monkeypatch.setattr(backend.on_torch, "_replay", fail)
    model, said = trained(tmp_path)
    assert len(said) == 1
    assert "an operation of another version" in said[0]
    for found, expected in zip(model.get_weights(), usual[0].get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_layers_whose_call_has_changed_keep_it(monkeypatch):
    for kind in (keras.layers.Dropout, keras.layers.BatchNormalization):
        stock = kind.call
        monkeypatch.setattr(kind, "call", lambda self, inputs, stock=stock: stock(self, inputs))
    layers = [keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]
    model = small_model(*layers)
    with pytest.warns(UserWarning, match=r"Dropout\.call\(inputs, stock\), not \(inputs, training\)"):
        backend.fuse_dropout(model)
    if BACKEND != "jax":
        with pytest.warns(UserWarning, match="one-pass normalization"):
            backend.fuse_normalization(model)
    assert not any("call" in vars(layer) for layer in layers)


def test_what_nothing_stands_in_for_is_an_error(monkeypatch):
    monkeypatch.setitem(internals.NEEDS, "graphs", {"": ("tensor._of_another_version",)})
    with pytest.raises(ConfigurationError, match=r"graphs need a version .* keras \S+ has no tensor\._of_another"):
        backend.node_of(keras.Input((3,)))


# --- several devices


def test_without_private_apis_one_device_trains_and_several_processes_do_not(monkeypatch):
    from kmodels.backend.parallel.shared import are_possible

    assert are_possible(processes=2)
    for missing in (lambda: monkeypatch.setenv("KMODELS_STOCK", "1"), lambda: _miss(monkeypatch, "several devices")):
        with monkeypatch.context():
            missing()
            with pytest.warns(UserWarning, match="kmodels trains on one device instead of several"):
                assert not are_possible(processes=1)
            with pytest.raises(ConfigurationError, match="several processes cannot train together"):
                are_possible(processes=2)


def _miss(monkeypatch, use):
    monkeypatch.setenv("KMODELS_STOCK", "0")
    monkeypatch.setitem(internals.NEEDS, use, {"": ("keras.of_another_version",)})


# --- the switch


def test_the_switch_turns_uses_off_without_a_warning(monkeypatch):
    monkeypatch.setenv("KMODELS_STOCK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any(internals.is_usable(use, **sample_objects()) for use in internals.NEEDS)


@pytest.mark.first_backend
def test_the_documentation_lists_all_uses():
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    listed = re.findall(r"^\| `([^`|]+)` \| (?:Keras|TensorFlow|KerasTuner)", page, re.MULTILINE)
    assert set(listed) == set(internals.NEEDS)


@pytest.mark.first_backend
def test_the_switch_is_0_or_1(monkeypatch):
    monkeypatch.setenv("KMODELS_STOCK", "yes")
    with pytest.raises(ConfigurationError, match=r"KMODELS_STOCK must be 0 or 1\. Received: KMODELS_STOCK=yes"):
        internals.is_stock()


# --- public ways


def test_flat_layers_are_those_that_keras_tracks():
    """Layers in cells, wrappers, models inside models and layers; but for input layers, which have no weights."""
    layers = keras.layers
    x = keras.Input((2, 6))
    y = layers.MultiHeadAttention(2, 3)(x, x)
    y = layers.TimeDistributed(keras.Sequential([layers.Dense(4), layers.Dropout(0.1)]))(y)
    y = layers.RNN(layers.StackedRNNCells([layers.SimpleRNNCell(3), layers.SimpleRNNCell(2)]))(y)
    inner = keras.Input((2,))
    y = keras.Model(inner, layers.SpectralNormalization(layers.Dense(2))(layers.BatchNormalization()(inner)))(y)
    model = keras.Model(x, y)

    def names(found):
        return sorted(layer.name for layer in found if not isinstance(layer, layers.InputLayer))

    for layer in (model, *backend.flat_layers(model)):
        assert names(backend.flat_layers(layer)) == names(layer._flatten_layers(include_self=False))
