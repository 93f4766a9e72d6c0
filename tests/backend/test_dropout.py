import keras
import numpy as np
import pytest

from kmodels import backend, training


def test_dropout_in_training_drops_its_share_and_makes_up_for_it():
    """On ones, dropped with probability 0.3, the squared distance to 1 is 0.3 / 0.7 on average, that of the mean 0."""
    x = keras.Input((64,), name="x")
    dropped = keras.layers.Dropout(0.3, name="dropped")(x)
    model = keras.Model({"x": x}, keras.layers.Dense(64, use_bias=False, name="same")(dropped))
    training.initialize(model, seed=0)
    model.get_layer("same").set_weights([np.eye(64, dtype="float32")])
    mean = keras.metrics.MeanMetricWrapper(lambda target, said: keras.ops.mean(said, axis=-1), name="mean")
    training.compile_model(model, keras.optimizers.SGD(0.0), metrics=[mean])
    backend.seed_dropout(0)
    ones = np.ones((2048, 64), "float32")
    losses, means = zip(*(model.train_on_batch({"x": ones}, ones) for _ in range(4)), strict=True)
    np.testing.assert_allclose(losses, 0.3 / 0.7, atol=0.008)  # 2.8 standard errors of 131,072 draws: 0.0025
    np.testing.assert_allclose(means, 1.0, atol=0.008)  # 0.0018
    assert len(set(losses)) == 4


def direct(layer, x, **kwargs):
    return keras.ops.convert_to_numpy(layer(x, **kwargs))


def with_dropout(rate, **kwargs):
    layer = keras.layers.Dropout(rate, name="dropped", **kwargs)
    model = keras.Model(x := keras.Input((None,), name="x"), layer(x))
    training.initialize(model, seed=0)
    backend.fuse_dropout(model)
    backend.seed_dropout(0)
    return layer


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_each_element_is_dropped_alone_and_with_the_rate_given(rate):
    """An odd number of elements, so that the last word of random bits is cut; neighbours share such a word."""
    dropped = direct(with_dropout(rate), np.ones((333, 1001), "float32"), training=True) == 0
    error = 4 * np.sqrt(rate * (1 - rate) / dropped.size)
    np.testing.assert_allclose(dropped.mean(), rate, atol=error)
    for distance in (1, 2, 3):
        correlation = np.corrcoef(dropped[:, :-distance].ravel(), dropped[:, distance:].ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(dropped.size)


def test_what_stays_is_scaled_so_that_the_mean_stays():
    found = direct(with_dropout(0.3), np.full((50, 40), 2.0, "float32"), training=True)
    np.testing.assert_allclose(np.unique(found), [0, 2 / 0.7], rtol=1e-4)


def test_outside_training_nothing_is_dropped():
    x = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(direct(with_dropout(0.5), x, training=False), x)


def test_unusual_layers_keep_kerass_way():
    for layer, expected in (
        (with_dropout(0.5), True),
        (with_dropout(0.5, seed=1), False),
        (with_dropout(0.5, noise_shape=(None, 1)), False),
        (with_dropout(0.0), False),
        (with_dropout(1.0), False),
    ):
        assert ("call" in vars(layer)) == expected


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ],
)
def test_threefry_gives_the_known_answers_of_random123(key, counter, expected):
    """Its `kat_vectors`, threefry2x32 with 13 rounds; on plain NumPy, so on every backend."""
    with np.errstate(over="ignore"):
        found = backend.dropout._threefry(np.array(key, "uint32"), *np.array(counter, "uint32"))
    assert tuple(map(int, found)) == expected
