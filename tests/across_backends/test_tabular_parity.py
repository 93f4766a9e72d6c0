"""On every backend a network for tables has the NumPy reference's predictions, loss, gradients and Adam steps."""

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.features import Categorical, MultiHot, Numeric
from tests.reference import adam, tabular

TOLERANCE = 1e-5
STEPS, RATE = 5, 1e-2
CATEGORIES = {"city": 4, "job": 3}
FEATURES = [Numeric("numbers", 2), *(Categorical(name, size) for name, size in CATEGORIES.items()), MultiHot("tags", 2)]
EDGES = ([-1.0, -0.2, 0.5, 1.5], [0.0, 1.0])
PLAIN = {"edges": None, "frequencies": 0, "members": 1, "linear": False, "hidden": (5,), "dim": 2}
OPTIONS = {
    "plain": PLAIN,
    "piecewise linear": PLAIN | {"edges": EDGES},
    "periodic": PLAIN | {"frequencies": 2},
    "members": PLAIN | {"members": 3},
    "linear path": PLAIN | {"linear": True},
    "residual": PLAIN | {"hidden": (5, 5)},
    "all": {"edges": EDGES, "frequencies": 2, "members": 3, "linear": True, "hidden": (5, 5), "dim": 2},
}


@pytest.fixture(params=[(name, classes) for name in OPTIONS for classes in (0, 3)], ids=str)
def network(request):
    name, classes = request.param
    options = OPTIONS[name]
    if classes:
        model = models.tabular_classifier(FEATURES, classes, **options)
    else:
        model = models.tabular_regressor(FEATURES, **options)
    training.initialize(model, seed=1)
    rng = np.random.default_rng(2)
    for layer in model.layers:
        for weight in layer.trainable_weights:  # none at 0, where a reference that forgot it would go unseen
            value = keras.ops.convert_to_numpy(weight)
            weight.assign(value + rng.normal(0, 0.3, value.shape))
    return model, options | {"classes": classes, "categories": CATEGORIES}


def batch(classes, seed=0):
    rng = np.random.default_rng(seed)
    inputs = {"numbers": rng.normal(size=(24, 2)).astype("float32"), "tags": rng.random((24, 2)).astype("float32")}
    inputs |= {name: rng.integers(0, size, 24).astype("int32") for name, size in CATEGORIES.items()}
    target = rng.integers(0, classes, 24).astype("int32") if classes else rng.normal(size=24).astype("float32")
    return inputs, target


def named(model):
    pairs = [(layer, weight) for layer in model.layers for weight in layer.trainable_weights]
    found = {f"{layer.name}/{weight.name}": keras.ops.convert_to_numpy(weight) for layer, weight in pairs}
    if "mean/kernel" in found:  # a classifier without members has its last layer under this name
        found = {name.replace("mean/", "prediction/"): value for name, value in found.items()}
    return found


def compiled(model, optimizer, structure):
    return training.compile_by_member(model, optimizer, loss="log_loss" if structure["classes"] else "mse")


def test_predictions_and_loss(network):
    model, structure = network
    inputs, target = batch(structure["classes"])
    expected = tabular.pooled(named(model), inputs, **structure)
    found = keras.ops.convert_to_numpy(model(inputs))
    if structure["classes"]:
        found = tabular.log_softmax(found.astype(np.float64))
        expected = tabular.log_softmax(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    expected = tabular.loss(named(model), inputs, target, **structure)
    trained = compiled(model, keras.optimizers.SGD(0.0), structure)
    assert trained.train_on_batch(inputs, target, return_dict=True)["loss"] == pytest.approx(expected, rel=TOLERANCE)


def test_gradients(network):
    model, structure = network
    inputs, target = batch(structure["classes"])
    before = named(model)
    expected = tabular.gradients(
        {name: each.astype(np.float64) for name, each in before.items()}, inputs, target, **structure
    )
    compiled(model, keras.optimizers.SGD(1.0), structure).train_on_batch(inputs, target)
    assert set(expected) == set(before)
    for name, after in named(model).items():
        moved = before[name].astype(np.float64) - after
        largest = max(np.abs(expected[name]).max(), np.abs(before[name]).max())
        assert np.abs(expected[name]).max() > 1e-7, name
        np.testing.assert_allclose(moved, expected[name], rtol=0, atol=TOLERANCE * largest, err_msg=name)


def test_five_adam_steps(network):
    model, structure = network
    weights, state = {name: each.astype(np.float64) for name, each in named(model).items()}, None
    trained = compiled(model, keras.optimizers.Adam(RATE), structure)
    small = {name: np.full(each.shape, np.inf) for name, each in weights.items()}
    for seed in range(STEPS):
        inputs, target = batch(structure["classes"], seed)
        slopes = tabular.gradients(weights, inputs, target, **structure)
        for name, each in slopes.items():
            small[name] = np.minimum(small[name], np.abs(each) / np.abs(each).max())
        weights, state = adam.step(weights, slopes, state, learning_rate=RATE)
        trained.train_on_batch(inputs, target)
    for name, found in named(model).items():
        # Adam divides by the gradient's size: where that is rounding noise, so is the step.
        sure, largest = small[name] > 1e-3, max(np.abs(weights[name]).max(), STEPS * RATE)
        error = np.abs(found - weights[name])[sure]
        assert error.max(initial=0) <= TOLERANCE * largest, name
        assert sure.any(), name
