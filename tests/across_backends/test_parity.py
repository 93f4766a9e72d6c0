"""On every backend the same weights give the NumPy reference's predictions, loss, gradients and training steps."""

import keras
import numpy as np
import pytest

from kmodels import training
from tests.reference import adam
from tests.reference.neumf import loss_and_gradients

TOLERANCE = 1e-5
# Before batch normalisation, which takes the batch's mean away, a bias has no effect on the loss, and neither has that
# of a linear side projection. The published network has them all the same; their gradients are rounding noise.
DEAD = {"mlp_1/bias", "mlp_2/bias", "user_side_numeric/bias", "item_side_genres/bias"}


def dead(names):
    return DEAD if any("_bn" in name for name in names) else set()


def test_forward_pass_and_loss_are_those_of_the_reference(network, batch, named_weights):
    model, reference = network
    inputs, target = batch(model)
    expected, loss, _ = loss_and_gradients(named_weights(model), inputs, target, **reference)
    predicted = keras.ops.convert_to_numpy(model(inputs, training=True))[:, 0]
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    training.compile_model(model, keras.optimizers.SGD(0.0))
    assert model.train_on_batch(inputs, target, return_dict=True)["loss"] == pytest.approx(loss, rel=TOLERANCE)


def test_gradients_are_those_of_the_reference(network, batch, named_weights):
    model, reference = network
    inputs, target = batch(model)
    before = named_weights(model)
    _, _, gradients = loss_and_gradients(before, inputs, target, **reference)
    # One step of plain gradient descent at rate 1 moves each weight by its gradient.
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.train_on_batch(inputs, target)
    for name, after in named_weights(model).items():
        moved = before[name].astype(np.float64) - after
        if name in dead(gradients):
            assert np.abs(moved).max() < 1e-6, name
            continue
        largest = max(np.abs(gradients[name]).max(), np.abs(before[name]).max())
        np.testing.assert_allclose(moved, gradients[name], rtol=0, atol=TOLERANCE * largest, err_msg=name)


def test_every_weight_receives_a_gradient(network, batch, named_weights):
    model, reference = network
    inputs, target = batch(model)
    _, _, gradients = loss_and_gradients(named_weights(model), inputs, target, **reference)
    assert set(gradients) == set(named_weights(model))
    for name, gradient in gradients.items():
        assert (np.abs(gradient).max() > 1e-9) == (name not in dead(gradients)), name


def test_weights_after_five_adam_steps_are_those_of_a_dense_adam(network, batch, named_weights):
    # Ids repeat in the batch: squaring the parts of a sparse gradient before they are summed, as Keras's optimisers
    # do on TensorFlow where an Embedding has no regulariser, is off by a thousand times the tolerance.
    model, reference = network
    weights = {name: value.astype(np.float64) for name, value in named_weights(model).items()}
    training.compile_model(model, keras.optimizers.Adam(1e-2))
    state, lowest = None, {name: np.full(weight.shape, np.inf) for name, weight in weights.items()}
    for seed in range(5):
        inputs, target = batch(model, seed)
        _, _, gradients = loss_and_gradients(weights, inputs, target, **reference)
        weights, state = adam.step(weights, gradients, state, learning_rate=1e-2)
        model.train_on_batch(inputs, target)
        for name, gradient in gradients.items():
            lowest[name] = np.minimum(lowest[name], np.abs(gradient) / np.abs(gradient).max())
    for name, value in named_weights(model).items():
        # Adam divides a gradient by its own size: where one came close to nought among the others of its weight, a
        # step is float32's rounding as much as the gradient. That is all of a dead bias, and a few numbers elsewhere.
        clear = lowest[name] > 1e-4
        if name not in dead(weights):
            known = clear[1:] if "history" in name else clear  # row 0, the unknown, is in no history
            assert known.mean() > 0.95, name
            np.testing.assert_allclose(value[clear], weights[name][clear], rtol=0, atol=TOLERANCE, err_msg=name)
