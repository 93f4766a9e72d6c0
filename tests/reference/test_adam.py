import numpy as np

from tests.reference import adam


def test_first_step_moves_by_the_learning_rate_against_the_sign():
    weights, _ = adam.step({"w": np.array([1.0, 1.0])}, {"w": np.array([5.0, -0.2])}, learning_rate=0.1, epsilon=0.0)
    np.testing.assert_allclose(weights["w"], [0.9, 1.1], rtol=1e-12)


def test_two_steps_by_hand():
    state = None
    weights = {"w": np.array([0.0])}
    for gradient in (1.0, 3.0):
        weights, state = adam.step(weights, {"w": np.array([gradient])}, state, learning_rate=0.1, epsilon=0.0)
    # Means: .1 and .09 + .3 = .39; squares: .001 and .000999 + .009 = .009999; corrected by 1 - .81 and 1 - .998001.
    second = 0.1 * (0.39 / 0.19) / np.sqrt(0.009999 / 0.001999)
    np.testing.assert_allclose(weights["w"], [-0.1 - second], rtol=1e-12)


def test_a_row_without_gradient_keeps_moving_by_its_momentum():
    weights, state = adam.step({"t": np.zeros((2, 1))}, {"t": np.array([[1.0], [0.0]])})
    moved, _ = adam.step(weights, {"t": np.zeros((2, 1))}, state)
    assert moved["t"][0, 0] < weights["t"][0, 0]
    assert moved["t"][1, 0] == 0
