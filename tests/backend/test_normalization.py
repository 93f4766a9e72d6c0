import keras
import numpy as np
import pytest

from kmodels import backend


@pytest.mark.parametrize("frozen", [False, True])
def test_pictures_train_as_with_kerass_own_steps(frozen, conv_net, some_pictures):
    """Loss, predictions, weights and moving statistics after five steps of Adam."""
    results = []
    for quick in (True, False):
        model = conv_net()
        model.get_layer("bn").trainable = not frozen
        if quick:
            backend.fuse_normalization(model)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        if quick:
            backend.reorder_kernels(model)
        losses = [model.train_on_batch(*some_pictures(rows, seed=rows)) for rows in (6, 4, 6, 8, 5)]
        results.append((losses, model.predict(some_pictures(7)[0], verbose=0), model.get_weights()))
    (losses, said, weights), (own_losses, own_said, own_weights) = results
    np.testing.assert_allclose(losses, own_losses, rtol=1e-4)
    np.testing.assert_allclose(said, own_said, rtol=0, atol=1e-4 * np.abs(own_said).max())
    for weight, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(weight, own, rtol=0, atol=1e-4 * max(1, np.abs(own).max()))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)])
def test_normalisation_and_its_moving_statistics_are_those_of_the_formula(shape):
    """Rows, sequences and pictures."""
    x = keras.Input(shape, name="x")
    model = keras.Model(x, keras.layers.BatchNormalization(epsilon=0.01, momentum=0.8, name="bn")(x))
    gamma, beta, mean, variance = np.array([[1.0, 2, 3], [0, 1, -1], [0.5, 0, 0], [1, 4, 9]], "float32")
    model.set_weights([gamma, beta, mean, variance])
    backend.fuse_normalization(model)
    rows = np.random.default_rng(0).normal(2, 3, (5, *shape)).astype("float32")
    quiet = keras.ops.convert_to_numpy(model(rows, training=False))
    np.testing.assert_allclose(quiet, (rows - mean) / np.sqrt(variance + 0.01) * gamma + beta, rtol=1e-5, atol=1e-6)
    found, spread = rows.reshape(-1, 3).mean(0), rows.reshape(-1, 3).var(0)  # the biased variance
    trained = keras.ops.convert_to_numpy(model(rows, training=True))
    np.testing.assert_allclose(trained, (rows - found) / np.sqrt(spread + 0.01) * gamma + beta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[2], 0.8 * mean + 0.2 * found, rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[3], 0.8 * variance + 0.2 * spread, rtol=1e-5)


def test_a_masked_or_unusual_normalisation_keeps_kerass_steps(backend_name):
    usual, other = (keras.layers.BatchNormalization(axis=axis, name=f"bn{axis}") for axis in (-1, 1))
    x = keras.Input((4, 3))
    model = keras.Model(x, other(usual(x)))
    backend.fuse_normalization(model)
    assert ("call" in vars(usual)) == (backend_name != "jax")
    assert "call" not in vars(other)
    rows = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[True, True, False, False]] * 2)
    rows[:, 2:] = 1e6  # what is masked must not count
    usual(rows, training=True, mask=mask)
    np.testing.assert_allclose(usual.get_weights()[2], 0.01 * rows[:, :2].mean((0, 1)), atol=1e-5)
