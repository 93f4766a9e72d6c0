import keras
import numpy as np
import pytest

from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.models import dense_classifier, presets

RNG = np.random.default_rng(0)


def by_hand(inputs: int, widths: tuple[int, ...], batch_norm: bool = False) -> int:
    total = 0
    for units in (*widths, 2):
        total += inputs * units + units
        inputs = units
    return total + (2 * sum(widths) if batch_norm else 0)


NUMBERS = [Numeric("numbers", 26)]


def preset(name: str, features=NUMBERS, **changed) -> keras.Model:
    return dense_classifier(features, 2, **presets.DENSE[name] | changed)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("batchnorm", by_hand(26, (64, 128, 128, 64, 64), batch_norm=True)),
        ("dropout", by_hand(26, (128, 256, 256, 128, 128))),
        ("l2", by_hand(26, (32, 64))),
        ("wide_and_deep", by_hand(26, (64,)) - 2 + by_hand(2 * 26, ())),
    ],
)
def test_parameters_of_the_presets(name, expected):
    model = preset(name)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == expected
    assert model.name == f"profit_{name}"
    assert model.output_shape == (None, 2)


def kinds(model: keras.Model) -> list:
    """What stands between the input and the logits, in order."""
    found = []
    for layer in model.layers:
        match layer:
            case keras.layers.Dense():
                found.append(layer.units)
            case keras.layers.Activation():
                found.append(layer.activation.__name__)
            case keras.layers.BatchNormalization():
                found.append("bn")
            case keras.layers.Dropout():
                found.append(layer.rate)
    return found


def test_batchnorm_is_the_reference_network_layer_by_layer():
    assert kinds(preset("batchnorm")) == [
        part for units in (64, 128, 128, 64, 64) for part in (units, "relu", "bn")
    ] + [2]


def test_dropout_is_the_reference_network_layer_by_layer():
    leaky = [part for units in (128, 256, 256) for part in (units, "leaky_relu", 0.2)]
    assert kinds(preset("dropout")) == [*leaky, 128, "tanh", 0.2, 128, "tanh", 2]


def test_l2_is_the_reference_network_layer_by_layer():
    model = preset("l2", l2=0.5)
    assert kinds(model) == [32, "relu", 64, "relu", 2]
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    penalty = sum(0.5 * float(np.square(keras.ops.convert_to_numpy(kernel)).sum()) for kernel in kernels[:2])
    assert sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses) == pytest.approx(penalty, rel=1e-5)


def test_any_features_are_joined_in_their_order():
    features = [Numeric("numbers", 2), MultiHot("genres", 3), MultiHot("missing", 1)]
    model = dense_classifier(features, 3, hidden=())
    assert {tensor.name for tensor in model.inputs} == {"numbers", "genres", "missing"}
    kernel, bias = RNG.normal(size=(6, 3)), RNG.normal(size=3)
    model.get_layer("deep").set_weights([kernel, bias])
    inputs = {f.name: RNG.normal(size=(4, f.size)).astype("float32") for f in features}
    expected = np.hstack(list(inputs.values())) @ kernel + bias
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(inputs)), expected, rtol=1e-4, atol=1e-5)


def test_wide_and_deep_is_the_sum_of_both():
    model = dense_classifier([Numeric("x", 3)], 2, hidden=[4], activation="tanh", linear=True)
    model.set_weights([RNG.normal(size=weight.shape) for weight in model.get_weights()])
    layers = {name: model.get_layer(name).get_weights() for name in ("hidden_1", "deep", "wide")}
    x = RNG.normal(size=(5, 3)).astype("float32")
    expected = np.tanh(x @ layers["hidden_1"][0] + layers["hidden_1"][1]) @ layers["deep"][0]
    expected = expected + x @ layers["wide"][0] + layers["wide"][1]
    assert len(layers["deep"]) == 1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model({"x": x})), expected, rtol=1e-4, atol=1e-5)


def test_squares_of_numbers_alone_go_into_the_linear_part():
    features = [Numeric("x", 3), MultiHot("genres", 2)]
    model = dense_classifier(features, 2, hidden=[4], linear=True, squares=True)
    model.get_layer("deep").set_weights([np.zeros((4, 2))])
    kernel, bias = RNG.normal(size=(8, 2)), RNG.normal(size=2)
    model.get_layer("wide").set_weights([kernel, bias])
    x, genres = (RNG.normal(size=(5, size)).astype("float32") for size in (3, 2))
    expected = np.hstack([x, genres, x**2]) @ kernel + bias
    found = keras.ops.convert_to_numpy(model({"x": x, "genres": genres}))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["batchnorm", "dropout", "wide_and_deep"])
def test_every_parameter_receives_a_gradient(name):
    model = preset(name, [Numeric("x", 5)])
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    x = RNG.normal(size=(64, 5)).astype("float32")
    model.train_on_batch({"x": x}, RNG.integers(0, 2, 64).astype("int32"))
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(keras.ops.convert_to_numpy(weight) - old).max() > 1e-8, weight.path


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dense_classifier([], 2, hidden=()), "1 feature and 2 classes at least. Received: 0 features"),
        (lambda: dense_classifier([Numeric("x")], 1, hidden=()), "classes=1"),
        (lambda: dense_classifier([Categorical("id", 5)], 2, hidden=()), "Numeric and MultiHot.*'id'"),
        (lambda: dense_classifier([Numeric("x"), MultiHot("x", 2)], 2, hidden=()), "Received twice: 'x'"),
        (lambda: dense_classifier([Numeric("x")], 2, hidden=[0]), "units of 1 or more.*units=0"),
        (lambda: dense_classifier([Numeric("x")], 2, hidden=[8], dropout=1.0), "below 1.*dropout=1.0"),
        (lambda: dense_classifier([Numeric("x")], 2, hidden=[{"units": 8, "l2": -0.1}]), "l2 of 0 or more"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
