"""A model that reads one pixel and one column: the survey says so."""

import importlib.util

import keras
import numpy as np
import pytest

from kmodels.explain.survey import survey

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
