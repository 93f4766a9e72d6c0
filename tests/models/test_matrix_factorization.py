from itertools import pairwise

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.models.matrix_factorization import priors


def count(n_users, n_items, dim, hidden):
    """By hand: vectors, biases, h and c, then each layer of the MLP, and g."""
    total = (n_users + n_items) * (dim + 1) + dim + 1
    widths = [3 * dim, *hidden]
    total += sum(a * b + b for a, b in pairwise(widths))
    return total + (hidden[-1] if hidden else 0)


@pytest.mark.parametrize(
    ("name", "dim", "hidden", "activation"),
    [
        ("a_small", 8, (16,), "relu"),
        ("b_medium", 16, (32, 16), "relu"),
        ("c_wide", 32, (64, 32), "tanh"),
    ],
)
def test_the_variants_have_the_reference_sizes(name, dim, hidden, activation):
    model = models.matrix_factorization(5001, 2001, **models.presets.MATRIX_FACTORIZATION[name])
    assert model.name == f"mf_{name}"
    assert model.count_params() == count(5001, 2001, dim, hidden)
    assert model.get_layer("user_embedding").output.shape == (None, dim)
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    assert [layer.activation.__name__ for layer in found] == [activation] * len(hidden)
    assert tuple(model.get_layer(f"mlp_{i}").units for i in range(1, len(hidden) + 1)) == hidden


def test_without_an_mlp_it_is_biases_and_a_plain_product():
    model = models.matrix_factorization(3, 4, dim=2, mean=3.5)
    training.initialize(model, 0)
    p, q = np.arange(6.0).reshape(3, 2), np.arange(8.0).reshape(4, 2) / 4
    for name, table in (("user_embedding", p), ("item_embedding", q)):
        model.get_layer(name).set_weights([table])
    model.get_layer("item_bias").set_weights([np.array([[0], [0.25], [0], [0]])])
    inputs = {"user_id": np.array([1, 2], "int32"), "item_id": np.array([3, 1], "int32")}
    found = keras.ops.convert_to_numpy(model(inputs))[:, 0]
    np.testing.assert_allclose(found, [3.5 + p[1] @ q[3], 3.5 + p[2] @ q[1] + 0.25], rtol=1e-6)


def test_penalties_reach_their_own_weights():
    def losses(**penalty):
        model = models.matrix_factorization(3, 4, **models.presets.MATRIX_FACTORIZATION["a_small"], **penalty)
        training.initialize(model, 0)
        model.get_layer("user_bias").set_weights([np.ones((3, 1))])
        return model, float(sum(keras.ops.convert_to_numpy(loss) for loss in model.losses))

    model, found = losses(l2=1.0)
    tables = [model.get_layer(name).get_weights()[0] for name in ("user_embedding", "item_embedding")]
    assert found == pytest.approx(sum((table**2).sum() for table in tables), rel=1e-5)
    assert losses(bias_l2=1.0)[1] == pytest.approx(3.0)
    model, found = losses(kernel_l2=1.0)
    assert found == pytest.approx((model.get_layer("mlp_1").get_weights()[0] ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_users": 0}, "n_users must be at least 1. Received: n_users=0"),
        ({"dim": 0}, "dim must be at least 1"),
        ({"hidden": (4, 0)}, "hidden must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        models.matrix_factorization(**({"n_users": 3, "n_items": 4} | arguments))


def test_priors_follow_rows_and_variance():
    ratings = np.random.default_rng(0).normal(3, 0.7, 1200)
    variance = np.mean((ratings - ratings.mean()) ** 2)
    found = priors(ratings, l2_rows=20, bias_rows=4, kernel_l2=0.01)
    expected = {"l2": 20 * variance / 1200, "bias_l2": 4 * variance / 1200, "kernel_l2": 0.01 * variance}
    assert found == pytest.approx({"mean": ratings.mean(), **expected})
