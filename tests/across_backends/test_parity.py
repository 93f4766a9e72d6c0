"""On every backend the same weights give the NumPy reference's predictions, loss, gradients and training steps."""

import keras
import numpy as np
import pytest

from kmodels import training
from kmodels.reference import adam
from kmodels.reference.neumf import loss_and_gradients

TOLERANCE = 1e-5


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
        largest = max(np.abs(gradients[name]).max(), np.abs(before[name]).max())
        np.testing.assert_allclose(moved, gradients[name], rtol=0, atol=TOLERANCE * largest, err_msg=name)


def test_every_weight_receives_a_gradient(network, batch, named_weights):
    model, reference = network
    inputs, target = batch(model)
    _, _, gradients = loss_and_gradients(named_weights(model), inputs, target, **reference)
    assert set(gradients) == set(named_weights(model))
    # Before batch normalisation a bias has no effect on the loss: the reference network has them all the same.
    dead = {"mlp_1/bias", "mlp_2/bias"} if any("_bn" in name for name in gradients) else set()
    for name, gradient in gradients.items():
        assert (np.abs(gradient).max() > 1e-9) == (name not in dead), name


def test_weights_after_five_adam_steps_are_those_of_a_dense_adam(network, batch, named_weights):
    # Ids repeat in the batch: squaring the parts of a sparse gradient before they are summed, as Keras's optimisers
    # do on TensorFlow where an Embedding has no regulariser, is off by a thousand times the tolerance.
    model, reference = network
    weights = {name: value.astype(np.float64) for name, value in named_weights(model).items()}
    training.compile_model(model, keras.optimizers.Adam(1e-2))
    state = None
    for seed in range(5):
        inputs, target = batch(model, seed)
        _, _, gradients = loss_and_gradients(weights, inputs, target, **reference)
        weights, state = adam.step(weights, gradients, state, learning_rate=1e-2)
        model.train_on_batch(inputs, target)
    for name, value in named_weights(model).items():
        if any("_bn" in other for other in weights) and name in ("mlp_1/bias", "mlp_2/bias"):
            continue  # a dead weight: Adam makes steps of its rounding noise, see the test above
        np.testing.assert_allclose(value, weights[name], rtol=0, atol=TOLERANCE, err_msg=name)
