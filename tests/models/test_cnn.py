from functools import cache

import keras
import numpy as np
import pytest

from kmodels.errors import ConfigurationError
from kmodels.models import augment, cnn, mirrored, presets

RNG = np.random.default_rng(0)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@cache
def variant(name: str) -> keras.Model:
    return cnn(**presets.CNN[name])


def by_hand(kernels: list[tuple[int, int]], features: int, hidden: tuple[int, ...] = ()) -> int:
    """Convolutions of (kernel size, filters), each with a scale and a shift per filter; then dense layers."""
    total, channels = 0, 1
    for size, filters in kernels:
        total += size * size * channels * filters + 2 * filters
        channels = filters
    for units in (*hidden, 10):
        total += features * units + units
        features = units
    return total


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("narrow", by_hand([(3, 8), (3, 20)], 7 * 7 * 20)),
        ("base", by_hand([(3, 32), (3, 64)], 7 * 7 * 64)),
        ("large_kernel", by_hand([(5, 32), (5, 64)], 7 * 7 * 64)),
        ("deep", by_hand([(3, 32), (3, 32), (3, 48), (3, 48), (3, 56), (3, 56)], 56)),
        ("residual", by_hand([(3, 48), (3, 48), (3, 80), (3, 80), (3, 96), (3, 96)], 96)),
        ("wide", by_hand([(3, 64), (3, 128)], 7 * 7 * 128, hidden=(128,))),
    ],
)
def test_parameters_of_the_variants(name, expected):
    model = variant(name)
    assert trainable(model) == expected
    assert model.name == f"fashion_{name}"


def test_presets_go_from_the_smallest_to_the_largest():
    sizes = [trainable(variant(name)) for name in presets.CNN]
    assert sizes == sorted(sizes)
    assert 10_000 < sizes[0] < 15_000
    assert 800_000 < sizes[-1] < 1_000_000
    assert trainable(variant("residual")) < 300_000
    assert trainable(variant("deep")) < 100_000


def test_models_are_plain_keras_and_take_bytes():
    model = cnn(**presets.CNN["narrow"], augmentation=augment())
    assert type(model) is keras.src.models.functional.Functional
    assert not model.compiled
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in model.inputs] == [
        ("image", "uint8", (None, 28, 28, 1))
    ]
    for layer in model.layers:
        assert type(layer).__module__.startswith("keras.src.layers"), layer
        assert not isinstance(layer, keras.layers.Lambda)
        if isinstance(layer, keras.layers.Conv2D):
            assert not layer.use_bias


def test_a_plain_stage_against_numpy():
    """Scaling, two 3 × 3 convolutions with normalisation and ReLU, a shortcut, pooling, average, logits."""
    model = cnn((4, 4, 1), 2, stages=[{"filters": 2, "depth": 2, "shortcut": True}])
    model.set_weights([RNG.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    image = RNG.integers(0, 256, (4, 4, 1))

    def convolved(x, name):
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        kernel = weights[f"{name}_conv"][0]
        out = np.array([[np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) for j in range(4)] for i in range(4)])
        scale, shift, mean, variance = weights[f"{name}_bn"]
        return scale * (out - mean) / np.sqrt(variance + 1e-5) + shift

    first = np.maximum(convolved(image / 255, "stage_1_1"), 0)
    both = np.maximum(first + convolved(first, "stage_1_2"), 0)
    pooled = both.reshape(2, 2, 2, 2, 2).max(axis=(1, 3)).mean(axis=(0, 1))
    expected = pooled @ weights["logits"][0] + weights["logits"][1]
    found = keras.ops.convert_to_numpy(model({"image": image[None].astype("uint8")}))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_mirrored_model_averages_a_picture_and_its_mirror_image(tmp_path):
    model = cnn(**presets.CNN["narrow"])
    both = mirrored(model)
    pictures = RNG.integers(0, 256, (6, 28, 28, 1), dtype="uint8")
    plain, other = (model.predict({"image": some}, verbose=0) for some in (pictures, pictures[:, :, ::-1]))
    expected = (plain + other) / 2
    np.testing.assert_allclose(both.predict({"image": pictures}, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(plain - other).max() > 1e-3
    assert (both.name, both.count_params()) == ("fashion_narrow_mirrored", model.count_params())
    both.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict({"image": pictures}, verbose=0), (plain + other) / 2, rtol=1e-5, atol=1e-6
    )


@pytest.fixture(scope="module")
def augmented():
    """64 times one picture, its left and right different, after the augmentation; and the model of it."""
    image = keras.Input((28, 28, 1), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    for layer in augment(28, shift=2, erase=0.5):
        x = layer(x)
    model = keras.Model(image, x)
    picture = np.zeros((28, 28, 1), "uint8")
    picture[8:20, 6:10], picture[8:20, 10:22] = 102, 255
    pictures = np.repeat(picture[None], 64, axis=0)
    return model, pictures, keras.ops.convert_to_numpy(model(pictures, training=True))


def test_augmentation_leaves_pictures_alone_outside_training(augmented):
    model, pictures, _ = augmented
    found = keras.ops.convert_to_numpy(model(pictures[:2], training=False))
    np.testing.assert_allclose(found, pictures[:2] / 255, atol=1e-6)


def test_augmentation_mirrors_moves_by_whole_pixels_and_erases(augmented):
    _, pictures, changed = augmented
    assert changed.min() >= 0
    assert changed.max() <= 1
    picture = pictures[0, :, :, 0] / np.float32(255)
    possible = {}
    for flipped in (False, True):
        base = picture[:, ::-1] if flipped else picture
        for down in range(-2, 3):
            for right in range(-2, 3):
                possible[np.roll(base, (down, right), (0, 1)).round(4).tobytes()] = (flipped, down, right)
    seen = [possible.get(image[:, :, 0].round(4).tobytes()) for image in changed]
    whole = [found for found in seen if found is not None]
    # Half of 64 are erased somewhere: of a binomial of 64 and a half, 12 to 52 is certain.
    assert 12 <= len(whole) <= 52
    assert {flipped for flipped, _, _ in whole} == {False, True}
    assert len({(down, right) for _, down, right in whole}) > 5
    assert {abs(down) for _, down, _ in whole} | {abs(right) for _, _, right in whole} == {0, 1, 2}


def test_every_parameter_receives_a_gradient():
    model = cnn(
        (8, 8, 1),
        3,
        stages=[{"filters": 3, "depth": 3, "shortcut": True}, {"filters": 4, "kernel": 5, "pool": 1}],
        hidden=(5,),
    )
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    images = RNG.integers(0, 256, (32, 8, 8, 1)).astype("uint8")
    model.train_on_batch({"image": images}, RNG.integers(0, 3, 32).astype("int32"))
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(keras.ops.convert_to_numpy(weight) - old).max() > 1e-7, weight.path


def test_a_model_rebuilt_from_its_configuration_predicts_the_same():
    model = cnn(**presets.CNN["narrow"], augmentation=augment())
    loaded = keras.Model.from_config(model.get_config())
    loaded.set_weights(model.get_weights())
    images = {"image": RNG.integers(0, 256, (2, 28, 28, 1)).astype("uint8")}
    # Called with no word on training, Keras's random layers would change the pictures.
    found, expected = (keras.ops.convert_to_numpy(each(images, training=False)) for each in (loaded, model))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert loaded.get_layer("erase").factor == (0.5, 0.5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cnn((8, 8, 1), 2, stages=[{"filters": 0}]), "filters must be at least 1. Received: filters=0"),
        (lambda: cnn((8, 8, 1), 2, stages=[{"filters": 8, "pool": 0}]), "pool must be at least 1"),
        (
            lambda: cnn((8, 8, 1), 2, stages=[{"filters": 8, "shortcut": True}]),
            "a shortcut needs a depth of 2 or more. Received: depth=1",
        ),
        (lambda: cnn((28, 28, 1), 10, stages=[]), "1 stage at least.*0 stages"),
        (lambda: cnn((28, 28, 1), 1, stages=[{"filters": 8}]), "2 classes.*classes=1"),
        (lambda: cnn((28, 28, 1), 10, stages=[{"filters": 8}], dropout=1), "dropout must be"),
        (lambda: cnn((4, 4, 1), 10, stages=[{"filters": 8}] * 3), "stage 3 pools by 2 what is 1 × 1"),
        (lambda: augment(28, shift=28), "shift must be from 0 to size - 1"),
        (lambda: augment(28, erase=1.5), "erase from 0 to 1.*erase=1.5"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
