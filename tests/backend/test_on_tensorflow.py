import keras
import numpy as np
import pytest

from kmodels import backend, training


def penalised(penalty):
    x = keras.Input((3,), name="x")
    layer = keras.layers.Dense(4, kernel_regularizer=penalty, bias_regularizer=penalty, bias_initializer="ones")
    model = keras.Model(x, layer(x))
    training.initialize(model, seed=0)
    backend.fuse_penalties(model)
    return model, layer


def test_a_penalty_and_its_gradient_are_those_of_the_formula():
    """One step of SGD at rate 1 on inputs of zeros and a target that the model gives: w becomes w - 2 · 0.1 · w."""
    model, layer = penalised(keras.regularizers.L2(0.1))
    kernel, bias = layer.get_weights()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    loss = model.train_on_batch(np.zeros((5, 3), "float32"), np.tile(bias, (5, 1)))
    np.testing.assert_allclose(loss, 0.1 * ((kernel**2).sum() + (bias**2).sum()), rtol=1e-5)
    for weight, old in zip(layer.get_weights(), (kernel, bias), strict=True):
        np.testing.assert_allclose(weight, 0.8 * old, rtol=1e-5)


@pytest.mark.parametrize(
    ("penalty", "fused"),
    [(keras.regularizers.L2(0.1), True), (keras.regularizers.L1L2(0.1, 0.1), False), (None, False)],
)
def test_only_variables_with_an_l2_penalty_are_changed_and_the_model_is_saved_as_it_was(
    penalty, fused, backend_name, tmp_path
):
    model, layer = penalised(penalty)
    assert (layer.kernel.regularizer is not penalty) == (fused and backend_name == "tensorflow")
    training.save(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[1]
    assert type(loaded.kernel_regularizer) is type(penalty)
    assert loaded.get_config()["kernel_regularizer"] == layer.get_config()["kernel_regularizer"]
