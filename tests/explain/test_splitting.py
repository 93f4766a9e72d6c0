"""A cut model computes what it computed whole, wherever the layer stands."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from kmodels.errors import ConfigurationError
from kmodels.explain.splitting import split_at_layer

RNG = np.random.default_rng(0)
PICTURES = RNG.random((3, 8, 8, 3)).astype("float32")
AGES = RNG.normal(size=(3, 2)).astype("float32")


def randomised(model):
    """Every weight from NumPy, statistics of batch normalisation included, the same on every backend."""
    rng = np.random.default_rng(1)
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(rng.uniform(0.2, 1.0, variable.shape).astype("float32") - 0.5 * ("kernel" in variable.path))
    return model


def image_model():
    """A block with a way around it, so that what is behind `inner_conv` also needs what is before."""
    picture = keras.Input((8, 8, 3), name="picture")
    x = layers.RandomFlip("horizontal", name="flip")(layers.Rescaling(2.0, name="scale")(picture))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    y = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, padding="same", name="inner_conv")(x))
    y = layers.Activation("relu", name="out")(x + y)
    return keras.Model(picture, layers.GlobalAveragePooling2D(name="pool")(y), name="image")


def fusion_model(image=None):
    inputs = {"picture": keras.Input((8, 8, 3), name="picture"), "ages": keras.Input((2,), name="ages")}
    x = (image or image_model())(layers.ZeroPadding2D(0, name="same")(inputs["picture"]))
    x = layers.Concatenate(name="both")([x, layers.Dense(3, activation="tanh", name="side")(inputs["ages"])])
    return randomised(keras.Model(inputs, layers.Dense(2, name="logits")(layers.Dropout(0.5)(x)), name="fusion"))


ROWS = {"picture": PICTURES, "ages": AGES}


@pytest.mark.parametrize(
    ("layer", "shape", "needed"),
    [
        (None, (3, 8, 8, 4), {"ages"}),
        ("out", (3, 8, 8, 4), {"ages"}),
        ("inner_conv", (3, 8, 8, 4), {"picture", "ages"}),
        ("stem", (3, 8, 8, 4), {"ages"}),
        ("image", (3, 4), {"ages"}),
        ("pool", (3, 4), {"ages"}),
        ("side", (3, 3), {"picture"}),
        ("both", (3, 7), set()),
    ],
)
def test_both_halves_make_the_whole(layer, shape, needed):
    model = fusion_model()
    before, after = split_at_layer(model, layer)
    activation = before.predict_on_batch(ROWS)
    assert activation.shape == shape
    assert set(after.input) == {"cut", *needed}
    got = after.predict_on_batch({"cut": activation, **{name: ROWS[name] for name in needed}})
    np.testing.assert_allclose(got, model.predict_on_batch(ROWS), rtol=0, atol=1e-5)


def test_the_default_is_the_last_map():
    before, _ = split_at_layer(fusion_model())
    expected, _ = split_at_layer(fusion_model(), "out")
    np.testing.assert_array_equal(before.predict_on_batch(ROWS), expected.predict_on_batch(ROWS))
    # A map of a single place, as of pooling with its axes kept, tells no place.
    picture = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.MaxPooling2D(name="last")(picture))
    before, _ = split_at_layer(keras.Model(picture, layers.Flatten()(layers.Conv2D(2, 1)(x))))
    assert before.output.shape == (None, 2, 2, 3)


def test_the_default_is_not_within_a_block_that_a_shortcut_leads_past():
    x = picture = keras.Input((4, 4, 3), name="picture")
    x = layers.Conv2D(2, 1, name="whole")(x)
    inner = layers.Conv2D(2, 2, strides=2, padding="same", name="inner")(x)
    inner = layers.Conv2D(2, 2, strides=2, padding="same", name="small")(inner)
    joined = layers.Add()([inner, layers.Conv2D(2, 1, strides=4, name="shortcut")(x)])
    before, after = split_at_layer(keras.Model(picture, layers.Flatten()(joined)))
    assert before.output.shape == (None, 4, 4, 2)
    assert sorted(after.input) == ["cut"]


def test_a_sequential_inside_a_model_inside_a_model():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, name="deep"), layers.Conv2D(2, 3)], name="s")
    picture = keras.Input((8, 8, 3), name="anything")
    middle = keras.Model(picture, layers.GlobalMaxPooling2D()(inner(layers.Rescaling(0.5)(picture))), name="middle")
    model = fusion_model(middle)
    before, after = split_at_layer(model, "deep")
    activation = before.predict_on_batch(ROWS)
    assert activation.shape == (3, 6, 6, 2)
    got = after.predict_on_batch({"cut": activation, "ages": AGES})
    np.testing.assert_allclose(got, model.predict_on_batch(ROWS), rtol=0, atol=1e-5)


def test_weights_are_shared_and_the_model_stays_as_it_is():
    model = fusion_model()
    expected = model.predict_on_batch(ROWS)
    # Where each tensor of the graph comes from: a model whose inputs come from elsewhere can no longer be saved.
    tensors = [tensor for part in (model, model.get_layer("image")) for tensor in [*part.inputs, *part.outputs]]
    origins = [tuple(tensor._keras_history) for tensor in tensors]
    _, after = split_at_layer(model, "inner_conv")
    assert {id(variable) for variable in after.variables} <= {id(variable) for variable in model.variables}
    assert [tuple(tensor._keras_history) for tensor in tensors] == origins
    np.testing.assert_array_equal(model.predict_on_batch(ROWS), expected)
    # Cut once more, it is cut as before.
    _, other = split_at_layer(model, "inner_conv")
    assert set(other.input) == set(after.input)


def refused(build, layer=None):
    model = build()
    with pytest.raises(ConfigurationError) as error:
        split_at_layer(model, layer)
    return str(error.value)


def test_models_that_cannot_be_cut_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    def twice():
        x = keras.Input((4, 4, 3))
        conv = layers.Conv2D(3, 1, name="conv")
        return keras.Model(x, layers.Flatten()(conv(conv(x))))

    def two_outputs():
        x = keras.Input((4, 4, 3))
        return keras.Model(x, [layers.Flatten()(x), layers.GlobalAveragePooling2D()(x)])

    def same_names():
        x = keras.Input((4, 4, 3))
        inner = keras.Model(x, layers.Conv2D(3, 1, name="conv")(x))
        y = keras.Input((4, 4, 3))
        return keras.Model(y, layers.Flatten()(layers.Conv2D(3, 1, name="conv")(inner(y))))

    assert "Functional" in refused(Own)
    assert "used 2 times" in refused(twice, "conv")
    assert "one output" in refused(two_outputs)
    assert "2 layers of the model are named 'conv'" in refused(same_names, "conv")
    assert "no layer whose output is" in refused(lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    message = refused(fusion_model, "conv9")
    assert "'conv9'" in message
    assert "stem, norm, inner_conv" in message or "stem, inner_conv, norm" in message
    x = keras.Input((4, 4, 3), name="cut")
    assert "'cut'" in refused(lambda: keras.Model(x, layers.Flatten()(layers.Conv2D(3, 1)(x))))
