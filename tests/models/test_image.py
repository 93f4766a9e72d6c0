import colorsys

import keras
import numpy as np
import pytest

from kmodels.errors import ConfigurationError
from kmodels.models import image

RNG = np.random.default_rng(0)


def model_of(tensor):
    return keras.Model(keras.utils.get_source_inputs(tensor)[0], tensor)


def changed(layers, pictures):
    """What layers make in training of pictures of values 0 to 1."""
    x = pictures
    for layer in layers:
        x = layer(x, training=True)
    return keras.ops.convert_to_numpy(x)


def only(**settings):
    """The layers for one kind of change."""
    none = {"flip": False, "brightness": 0, "contrast": 0, "saturation": 0, "rotation": 0, "translation": 0}
    return image.image_augmentation(**none | settings)


@pytest.mark.parametrize(
    ("mean", "std"), [(0.4393, 0.2663), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (0.4, (0.2, 0.3, 0.4))]
)
def test_raw_pictures_are_scaled_and_normalised(mean, std):
    pictures = RNG.integers(0, 256, (2, 5, 4, 3)).astype("uint8")
    model = model_of(image.image_input((5, 4, 3), mean=mean, std=std, augmentation=image.image_augmentation()))
    assert (model.inputs[0].name, model.inputs[0].dtype, model.output.dtype) == ("image", "uint8", "float32")
    expected = (pictures / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(pictures)), expected, atol=1e-5)


def test_changes_happen_in_training_alone_and_differ_between_pictures_and_calls():
    picture = RNG.integers(0, 256, (1, 16, 16, 3)).astype("uint8")
    pictures = np.repeat(picture, 6, axis=0)
    model = model_of(image.image_input((16, 16, 3), mean=0, std=1, augmentation=image.image_augmentation()))
    calls = [keras.ops.convert_to_numpy(model(pictures, training=True)) for _ in range(2)]
    views = np.concatenate(calls).reshape(12, -1)
    distances = np.abs(views[:, None] - views[None]).mean(axis=2)
    assert (distances[~np.eye(12, dtype=bool)] > 0.01).all()
    assert views.min() >= 0
    assert views.max() <= 1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(pictures)), pictures / 255, atol=1e-6)


def test_about_half_of_the_pictures_are_mirrored():
    pictures = RNG.uniform(size=(200, 2, 3, 3)).astype("float32")
    got = changed(only(flip=True), pictures)
    mirrored = (got == pictures[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (got == pictures).all(axis=(1, 2, 3))).all()
    assert 60 < mirrored.sum() < 140


def test_brightness_adds_up_to_the_given_number_to_either_side():
    pictures = np.full((300, 2, 2, 3), 0.5, "float32")
    added = changed(only(brightness=0.2), pictures) - 0.5
    assert np.ptp(added.reshape(300, -1), axis=1).max() < 1e-6  # the same for all values of a picture
    assert -0.2 <= added.min() < -0.18
    assert 0.18 < added.max() <= 0.2


def test_contrast_is_raised_and_lowered():
    pictures = np.tile(np.array([0.4, 0.6], "float32").reshape(1, 1, 2, 1), (300, 2, 1, 3))
    got = changed(only(contrast=0.2), pictures)
    factor = (got[:, :, 1] - got[:, :, 0]) / 0.2
    assert 0.79 < factor.min() < 0.82
    assert 1.18 < factor.max() < 1.21
    np.testing.assert_allclose(got.mean(axis=(1, 2, 3)), 0.5, atol=1e-6)


def test_saturation_is_raised_and_lowered_and_hue_and_value_stay():
    colour = (0.6, 0.3, 0.5)
    got = changed(only(saturation=0.2), np.tile(np.array(colour, "float32"), (300, 1, 1, 1)))[:, 0, 0]
    hue, saturation, value = np.array([colorsys.rgb_to_hsv(*map(float, rgb)) for rgb in got]).T
    before = colorsys.rgb_to_hsv(*colour)
    np.testing.assert_allclose(hue, before[0], atol=1e-4)
    np.testing.assert_allclose(value, before[2], atol=1e-4)
    factor = saturation / before[1]
    assert 0.79 < factor.min() < 0.82
    assert 1.18 < factor.max() < 1.21


def centres(pictures):
    """Where the light is, (rows, [row, column])."""
    weight = pictures[..., 0] / pictures[..., 0].sum(axis=(1, 2), keepdims=True)
    return np.stack([(weight * grid).sum(axis=(1, 2)) for grid in np.indices(pictures.shape[1:3])], axis=1)


def test_pictures_are_turned_up_to_the_given_angle_about_their_middle():
    pictures = np.zeros((60, 41, 41, 1), "float32")
    pictures[:, 19:22, 36:39] = 1  # three wide, 17 right of the middle
    down, right = (centres(changed(only(rotation=10), pictures)) - 20).T
    angle = np.degrees(np.arctan2(down, right))
    assert -10.1 < angle.min() < -7
    assert 7 < angle.max() < 10.1
    np.testing.assert_allclose(np.hypot(down, right), 17, atol=0.1)


def test_pictures_are_shifted_up_to_the_given_share():
    pictures = np.zeros((60, 40, 20, 1), "float32")
    pictures[:, 18:22, 8:12] = 1
    shift = centres(changed(only(translation=0.1), pictures)) - [19.5, 9.5]
    for axis, largest in enumerate((4, 2)):  # a tenth of 40 rows and of 20 columns
        assert -largest - 1e-3 < shift[:, axis].min() < -0.75 * largest
        assert 0.75 * largest < shift[:, axis].max() < largest + 1e-3


def test_what_comes_from_outside_is_black():
    assert changed(only(translation=0.5), np.ones((20, 8, 8, 1), "float32")).min() == 0


def test_the_small_networks_features_are_the_strongest_answers_anywhere():
    """A shape moved by eight pixels, the step of its last map, gives the same features."""
    model = image.compact_backbone(image.image_input((64, 64, 3), mean=0.0001, std=1.0))
    pictures = np.zeros((2, 64, 64, 3), "uint8")
    pictures[0, 24:34, 24:34] = pictures[1, 32:42, 24:34] = 200  # so that no answer is cut off by the edges
    first, second = np.asarray(model.predict({"image": pictures}, verbose=0))
    assert first.shape == (96,)
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)
    assert first.std() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"std": 0}, "std above 0. Received: mean=0.5, std=0"),
        ({"mean": (0.1, 0.2)}, r"mean and std must be one number or 3, .* Received: mean=\(0.1, 0.2\)"),
    ],
)
def test_a_wrong_normalisation_is_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        image.image_input((8, 8, 3), **arguments)


@pytest.mark.parametrize(
    ("what", "value"),
    [("brightness", -0.1), ("contrast", 1.1), ("saturation", 2), ("rotation", 181), ("translation", 1.5)],
)
def test_a_change_out_of_range_is_named(what, value):
    with pytest.raises(ConfigurationError, match=f"Received: {what}={value}"):
        image.image_augmentation(**{what: value})
