import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from kmodels.errors import ConfigurationError
from kmodels.models import scratch_network as network
from kmodels.models.scratch_network import Layer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "linear"])
@pytest.mark.parametrize("hidden", [[5], [6, 4], []])
def test_gradients_agree_with_central_differences(activation, hidden):
    layers = network.initialize([3, *hidden, 2], [activation] * len(hidden) + ["linear"], seed=1)
    layers = [layer._replace(bias=RNG.normal(size=layer.bias.shape)) for layer in layers]

    def error(changed, x):
        return network.mean_squared_error(network.forward(changed, x)[-1], Y)[0]

    results = network.forward(layers, X)
    gradients, by_input = network.backward(layers, results, network.mean_squared_error(results[-1], Y)[1])
    for i, layer in enumerate(layers):
        for field in ("weights", "bias"):
            value = getattr(layer, field)

            def moved(place, by, i=i, layer=layer, field=field, value=value):
                other = value.copy()
                other[place] += by
                return error([*layers[:i], layer._replace(**{field: other}), *layers[i + 1 :]], X)

            close(getattr(gradients[i], field), differences(moved, value.shape), f"{field} of layer {i}")

    def moved_input(place, by):
        other = X.copy()
        other[place] += by
        return error(layers, other)

    close(by_input, differences(moved_input, X.shape), "input")


def differences(error, shape, step=1e-5):
    return np.array([(error(at, step) - error(at, -step)) / (2 * step) for at in np.ndindex(shape)]).reshape(shape)


def close(found, expected, what):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max(), err_msg=what)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", lambda z: z if z > 0 else 0.0),
        ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
        ("tanh", lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))),
        ("linear", lambda z: z),
    ],
)
def test_the_activations_are_what_they_are_called(name, function):
    z = np.array([[-3.0, -0.5, 0.0, 0.5, 3.0]])
    one = [Layer(np.eye(5), np.zeros(5), name)]
    np.testing.assert_allclose(network.forward(one, z)[-1][0], [function(value) for value in z[0]], rtol=1e-12)


def test_the_sigmoid_of_huge_numbers_does_not_overflow():
    one = [Layer(np.eye(2), np.zeros(2), "sigmoid")]
    with np.errstate(all="raise", under="ignore"):
        assert network.forward(one, np.array([[-1e4, 1e4]]))[-1].tolist() == [[0.0, 1.0]]


def test_initial_weights_have_the_variances_of_the_papers():
    rng = np.random.default_rng(0)
    assert network.xavier(rng, 300, 100).var() == pytest.approx(2 / 400, rel=0.03)
    assert network.he(rng, 300, 100).var() == pytest.approx(2 / 300, rel=0.03)


def test_relu_layers_start_by_he_and_others_by_xavier():
    relu, line = network.initialize([200, 100, 100], ["relu", "linear"])
    assert relu.weights.var() == pytest.approx(2 / 200, rel=0.05)
    assert line.weights.var() == pytest.approx(2 / 200, rel=0.05)
    assert np.abs(line.weights).max() <= np.sqrt(6 / 200)  # uniform, so bounded; a normal is not
    assert np.abs(relu.weights).max() > np.sqrt(6 / 200)


def test_a_signal_keeps_its_size_through_many_relu_layers():
    layers = network.initialize([256] * 11, ["relu"] * 10)
    last = network.forward(layers, np.random.default_rng(1).normal(size=(200, 256)))[-1]
    assert 0.2 < np.mean(last**2) < 5  # by Xavier it would be 1000 times smaller


def test_one_linear_layer_finds_the_least_squares_solution():
    target = X @ np.array([[1.0, 0.0], [-2.0, 0.5], [0.0, 3.0]]) + [0.3, -0.7] + 0.1 * Y
    fitted, errors = network.initialize([3, 2], ["linear"]), []
    for _ in range(3000):
        results = network.forward(fitted, X)
        error, by_output = network.mean_squared_error(results[-1], target)
        fitted = network.descend(fitted, network.backward(fitted, results, by_output)[0], 0.1)
        errors.append(error)
    expected = LinearRegression().fit(X, target)
    np.testing.assert_allclose(fitted[0].weights, expected.coef_.T, atol=1e-8)
    np.testing.assert_allclose(fitted[0].bias, expected.intercept_, atol=1e-8)
    assert np.diff(errors).max() < 1e-12  # all rows at once, small steps: downhill each time


@pytest.mark.parametrize(
    ("sizes", "activations", "message"),
    [
        ([3, 2], [], "one activation fewer than sizes"),
        ([3], [], "two sizes"),
        ([3, 0], ["relu"], "at least 1"),
        ([3, 2], ["swish"], "Received: swish"),
    ],
)
def test_wrong_settings_are_named(sizes, activations, message):
    with pytest.raises(ConfigurationError, match=message):
        network.initialize(sizes, activations)
