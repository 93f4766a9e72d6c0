"""Heat maps against their closed form in NumPy, and the survey of a model that reads one pixel and one column."""

from __future__ import annotations

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers

from kmodels import explain
from kmodels.errors import ConfigurationError, DataError
from kmodels.explain.survey import survey

RNG = np.random.default_rng(0)
PICTURES = RNG.random((5, 6, 7, 3)).astype("float32")
AGES = RNG.normal(size=(5, 2)).astype("float32")
# Convolutions of one place are matrix products, which NumPy can follow and differentiate in a line each.
STEM, BLOCK = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 6))
STEM_BIAS, BLOCK_BIAS = RNG.normal(size=4), RNG.normal(size=6)
GATE, LOGITS = RNG.normal(size=(2, 6)), RNG.normal(size=(6, 3))


def gated(nested):
    """The logits of a picture whose channels are weighted by metadata, so that its map depends on both inputs."""
    picture, ages = keras.Input((6, 7, 3), name="picture"), keras.Input((2,), name="ages")
    stem, block = layers.Conv2D(4, 1, activation="relu", name="stem"), layers.Conv2D(6, 1, activation="relu", name="b")
    inside = keras.Input((6, 7, 3), name="inside")
    features = layers.GlobalAveragePooling2D(name="pool")
    if nested:
        image = keras.Model(inside, features(block(stem(inside))), name="image")(picture)
    else:
        image = features(block(stem(picture)))
    gate = layers.Dense(6, use_bias=False, name="gate")(ages)
    x = layers.Dropout(0.5)(layers.Multiply()([image, gate]))
    model = keras.Model({"picture": picture, "ages": ages}, layers.Dense(3, use_bias=False, name="logits")(x))
    stem.set_weights([STEM[None, None], STEM_BIAS])
    block.set_weights([BLOCK[None, None], BLOCK_BIAS])
    model.get_layer("gate").set_weights([GATE])
    model.get_layer("logits").set_weights([LOGITS])
    return model


def by_hand(layer, classes=None):
    first = np.maximum(PICTURES @ STEM + STEM_BIAS, 0)
    second = np.maximum(first @ BLOCK + BLOCK_BIAS, 0)
    gate = AGES @ GATE
    logits = (second.mean(axis=(1, 2)) * gate) @ LOGITS
    classes = logits.argmax(axis=1) if classes is None else np.broadcast_to(classes, 5)
    per_channel = (gate * LOGITS[:, classes].T)[:, None, None, :] / (6 * 7)
    activation, gradient = second, np.broadcast_to(per_channel, second.shape)
    if layer == "stem":
        activation, gradient = first, (gradient * (second > 0)) @ BLOCK.T
    heat = np.maximum((activation * gradient.mean(axis=(1, 2), keepdims=True)).sum(axis=-1), 0)
    highest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(highest > 0, highest, 1)


ROWS = {"picture": PICTURES, "ages": AGES}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("layer", "classes"), [(None, None), ("b", 1), ("stem", None), ("stem", [0, 1, 2, 1, 0])])
def test_maps_are_those_of_the_closed_form(nested, layer, classes):
    maps = explain.grad_cam(gated(nested), ROWS, layer=layer, class_index=classes)
    expected = by_hand(layer, classes)
    assert maps.shape == (5, 6, 7)
    assert maps.dtype == np.float32
    assert expected.max() == 1
    np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-4)


def test_rows_do_not_depend_on_their_batch_nor_on_the_form_of_the_inputs():
    model = gated(nested=True)
    whole = explain.grad_cam(model, ROWS)
    np.testing.assert_allclose(explain.grad_cam(model, ROWS | {"other": np.zeros(2)}, batch_size=2), whole, atol=1e-5)
    in_order = [ROWS[tensor.name] for tensor in model.inputs]
    np.testing.assert_allclose(explain.grad_cam(model, in_order), whole, atol=1e-5)


def test_batch_normalisation_and_augmentation_are_those_of_inference():
    model = keras.Sequential(
        [
            keras.Input((6, 7, 3)),
            layers.RandomTranslation(0.3, 0.3),
            layers.BatchNormalization(epsilon=0.0, name="norm"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, use_bias=False, name="logits"),
        ]
    )
    mean, variance, kernel = np.array([0.1, 0.2, 0.3]), np.array([1.0, 4.0, 0.25]), RNG.normal(size=(3, 2))
    model.get_layer("norm").set_weights([np.ones(3), np.zeros(3), mean, variance])
    model.get_layer("logits").set_weights([kernel])
    heat = np.maximum(((PICTURES - mean) / np.sqrt(variance)) @ kernel[:, 1], 0)
    maps = explain.grad_cam(model, PICTURES, layer="norm", class_index=1)
    np.testing.assert_allclose(maps, heat / heat.max(axis=(1, 2), keepdims=True), rtol=0, atol=1e-4)


def test_heat_lies_on_what_the_model_looks_for():
    """A detector of red: all heat is in the red square."""
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(1, 1), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    model.set_weights(
        [np.array([1.0, -1.0, -1.0]).reshape(1, 1, 3, 1), np.zeros(1), np.array([[-1.0, 1.0]]), np.zeros(2)]
    )
    picture = np.full((1, 16, 16, 3), 0.5, "float32")
    picture[0, 4:8, 10:15] = [1, 0, 0]
    heat = explain.grad_cam(model, picture, class_index=1)[0]
    assert heat[4:8, 10:15].sum() == heat.sum() > 0
    # Nothing speaks for the other class there; what is not red speaks for it a little, negatively: no heat at all.
    blank = explain.grad_cam(model, np.zeros((1, 16, 16, 3), "float32"))
    assert (blank == 0).all()


def test_what_does_not_fit_is_refused():
    model = gated(nested=False)
    for arguments, message in (
        ({"layer": "pool"}, r"'pool' with \(None, 6\)"),
        ({"class_index": 3}, "0 to 2. Received: 3"),
        ({"class_index": [0, 1]}, "5 rows"),
        ({"class_index": 0.5}, "integer"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"layer": "nowhere"}, "those with maps: stem, b"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            explain.grad_cam(model, ROWS, **arguments)
    with pytest.raises(ConfigurationError, match=r"Missing: \['ages'\]"):
        explain.grad_cam(model, {"picture": PICTURES})
    with pytest.raises(ConfigurationError, match="Received: 1 arrays"):
        explain.grad_cam(model, PICTURES)
    with pytest.raises(DataError, match="differ in length"):
        explain.grad_cam(model, {"picture": PICTURES, "ages": AGES[:2]})
    with pytest.raises(DataError, match="1 or more"):
        explain.grad_cam(model, {"picture": PICTURES[:0], "ages": AGES[:0]})


GROUPS = {"used": [0], "ignored": [1, 2]}


@pytest.fixture(scope="module")
def model():
    """Logits (0, brightness of the picture + 2 × column 0)."""
    image = keras.Input((4, 4, 3), name="image", dtype="uint8")
    metadata = keras.Input((3,), name="metadata")
    x = keras.layers.Conv2D(1, 1, use_bias=False, name="eye")(keras.layers.Rescaling(1 / 255)(image))
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), metadata])
    result = keras.Model({"image": image, "metadata": metadata}, keras.layers.Dense(2, use_bias=False)(joined))
    result.layers[-1].set_weights([np.array([[0, 4.0], [0, 2.0], [0, 0], [0, 0]], "float32")])
    result.get_layer("eye").set_weights([np.full((1, 1, 3, 1), 1 / 3, "float32")])
    return result


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return {
        "image": np.repeat(rng.integers(0, 256, (40, 1, 1, 1)), 48, axis=1).reshape(40, 4, 4, 3).astype("uint8"),
        "metadata": rng.normal(size=(40, 3)).astype("float32"),
    }


@pytest.fixture(scope="module")
def target(inputs):
    bright = inputs["image"][:, 0, 0, 0] / 255
    return (4 * bright + 2 * inputs["metadata"][:, 0] > 0).astype(int)


def test_what_the_model_reads_is_important_and_the_rest_is_not(model, inputs, target):
    found = survey(model, inputs, target, GROUPS, np.zeros((1, 3)), heat_maps=8, shap_rows=3)
    means = found.importance.set_index("group")["mean"]
    assert set(means.index) == {"picture", "used", "ignored"}
    assert means["picture"] > 0.02
    assert means["used"] > 0.1
    assert means["ignored"] == 0
    np.testing.assert_array_equal(found.pictures, inputs["image"][:8])
    assert found.heat.shape == (8, 4, 4)


@pytest.mark.skipif(importlib.util.find_spec("shap") is None, reason="shap is not installed")
def test_shap_values_are_those_of_a_linear_model(model, inputs, target):
    found = survey(model, inputs, target, GROUPS, np.zeros((1, 3)), heat_maps=2, shap_rows=3)
    assert found.groups == ["used", "ignored"]
    assert found.shap.shape == (3, 2, 2)
    np.testing.assert_allclose(found.shap[:, 0, 1], 2 * inputs["metadata"][:3, 0], rtol=1e-3)
    np.testing.assert_allclose(found.shap[:, 1], 0, atol=1e-3)


def test_without_the_package_there_are_no_shap_values(model, inputs, target, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "shap" else real(name, *rest))
    assert survey(model, inputs, target, GROUPS, np.zeros((1, 3)), heat_maps=2).shap is None
