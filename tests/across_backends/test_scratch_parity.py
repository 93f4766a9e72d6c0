"""Networks of Keras with the weights of the networks from scratch compute the same, forwards and backwards."""

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.models import scratch_factorization as matrix_factorization
from kmodels.models import scratch_network as network

TOLERANCE = 1e-5
USERS, ITEMS, ROWS = 9, 7, 64
PENALTIES = {"l2": 3e-3, "bias_l2": 2e-3, "kernel_l2": 1e-3}
RNG = np.random.default_rng(0)
BATCH = {
    "user_id": RNG.integers(0, USERS, ROWS).astype("int32"),
    "item_id": RNG.integers(0, ITEMS, ROWS).astype("int32"),
}
RATING = RNG.uniform(1, 5, ROWS).astype("float32")
VARIANTS = {
    **models.presets.MATRIX_FACTORIZATION,
    "no MLP": {"dim": 4},
}


def stepped(model, inputs, target):
    """The loss, and each trainable weight's gradient: what plain gradient descent at rate 1 moves it by."""
    training.compile_model(model, keras.optimizers.SGD(1.0))
    before = [keras.ops.convert_to_numpy(weight).astype(np.float64) for weight in model.trainable_weights]
    loss = model.train_on_batch(inputs, target, return_dict=True)["loss"]
    after = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    return float(loss), [old - new for old, new in zip(before, after, strict=True)], before


def agree(found, expected, weight, name):
    # A float32 weight holds its step only to its own rounding.
    largest = max(np.abs(expected).max(), np.abs(weight).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * largest, err_msg=name)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "linear"])
def test_dense_networks_are_those_from_scratch(activation):
    layers = network.initialize([5, 8, 6, 2], [activation, activation, "linear"], seed=2)
    x, target = RNG.normal(size=(ROWS, 5)).astype("float32"), RNG.normal(size=(ROWS, 2)).astype("float32")
    model = keras.Sequential(
        [keras.Input((5,)), *(keras.layers.Dense(len(layer.bias), layer.activation) for layer in layers)]
    )
    model.set_weights([array for layer in layers for array in (layer.weights, layer.bias)])
    results = network.forward(layers, x.astype(np.float64))
    error, by_output = network.mean_squared_error(results[-1], target)
    gradients, _ = network.backward(layers, results, by_output)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(x)), results[-1], rtol=0, atol=TOLERANCE * np.abs(results[-1]).max()
    )
    loss, moved, before = stepped(model, x, target)
    assert loss == pytest.approx(error, rel=TOLERANCE)
    expected = [array for layer in gradients for array in (layer.weights, layer.bias)]
    for found, right, weight in zip(moved, expected, before, strict=True):
        agree(found, right, weight, activation)


@pytest.mark.parametrize("name", VARIANTS)
def test_matrix_factorisation_is_that_from_scratch(name):
    model = models.matrix_factorization(USERS, ITEMS, **VARIANTS[name], mean=3.0, stddev=0.5, **PENALTIES)
    training.initialize(model, seed=3)
    model.get_layer("user_bias").set_weights([RNG.normal(size=(USERS, 1))])
    factors = read(model, lambda layer, weight: layer.get_weights()[weight].astype(np.float64))
    ids = BATCH["user_id"], BATCH["item_id"]
    expected, gradient = matrix_factorization.loss_and_gradient(factors, *ids, RATING, **PENALTIES)
    predicted = matrix_factorization.predict(factors, *ids)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(BATCH))[:, 0], predicted, rtol=0, atol=TOLERANCE * np.abs(predicted).max()
    )
    loss, moved, before = stepped(model, BATCH, RATING)
    assert loss == pytest.approx(expected, rel=TOLERANCE)
    steps = {
        f"{layer.name}/{i}": (step, weight)
        for (layer, i), step, weight in zip(
            [(layer, i) for layer in model.layers for i in range(len(layer.trainable_weights))],
            moved,
            before,
            strict=True,
        )
    }
    found = read(model, lambda layer, weight: steps[f"{layer.name}/{weight}"][0])
    for field, of_keras, right, weight in (
        *((f, getattr(found, f), getattr(gradient, f), getattr(factors, f)) for f in gradient._fields[:4]),
        *(
            (f"{part} of layer {i}", getattr(one, part), getattr(other, part), getattr(layer, part))
            for i, (one, other, layer) in enumerate(
                zip(
                    [*found.mlp, found.output],
                    [*gradient.mlp, gradient.output],
                    [*factors.mlp, factors.output],
                    strict=True,
                )
            )
            for part in ("weights", "bias")
        ),
    ):
        agree(of_keras, right, weight, field)


def read(model, take):
    """What a Keras model holds, as the factors from scratch: `take` gives weight i of a layer."""
    names = [layer.name for layer in model.layers]
    mlp = [name for name in names if name.removeprefix("mlp_").isdigit()]
    activation = next((name.rsplit("_", 1)[1] for name in names if name.startswith("mlp_1_")), "linear")
    last = [take(model.get_layer(name), 0) for name in ("product_output", "output") if name in names]
    return matrix_factorization.Factors(
        **{
            field: take(model.get_layer(name), 0)
            for field, name in (
                ("user_vectors", "user_embedding"),
                ("item_vectors", "item_embedding"),
                ("user_bias", "user_bias"),
                ("item_bias", "item_bias"),
            )
        },
        mlp=[network.Layer(take(model.get_layer(name), 0), take(model.get_layer(name), 1), activation) for name in mlp],
        output=network.Layer(np.concatenate(last), take(model.get_layer("product_output"), 1), "linear"),
    )
