import keras
import numpy as np
import pytest

from kmodels import backend
from tests.reference import adam


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
@pytest.mark.parametrize("laid_out", ["alike", "differently"])
def test_fused_adam_is_the_formula_whatever_lies_how_in_memory(kind, laid_out, backend_name):
    """Five steps with a large epsilon and a falling rate; AdamW shrinks the weights before each."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype("float32") for shape in ((3, 2, 4, 5), (7,))]
    variables = [keras.Variable(value) for value in values]
    rate = keras.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)
    optimizer = getattr(keras.optimizers, kind)(rate, beta_1=0.8, beta_2=0.95, epsilon=0.01)
    optimizer.build(variables)
    backend.fuse_adam(optimizer)
    if laid_out == "differently" and backend_name == "torch":
        kernel = variables[0].value
        kernel.data = kernel.data.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)
    weights, state = dict(enumerate(values)), None
    for number in range(5):
        learning_rate = 0.1 / (1 + 0.5 * number)
        grads = {i: rng.normal(size=value.shape).astype("float32") for i, value in weights.items()}
        optimizer.apply([keras.ops.convert_to_tensor(grad) for grad in grads.values()], variables)
        if kind == "AdamW":
            weights = {i: value * (1 - 0.004 * learning_rate) for i, value in weights.items()}
        settings = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.01}
        weights, state = adam.step(weights, grads, state, learning_rate=learning_rate, **settings)
    for i, variable in enumerate(variables):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), weights[i], rtol=0, atol=2e-6)


REPLACED = {"torch": "_parallel_update_step", "tensorflow": "update_step"}


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Nadam", "AMSGrad"])
def test_only_adam_without_amsgrad_is_replaced(kind, backend_name):
    optimizer = keras.optimizers.Adam(amsgrad=True) if kind == "AMSGrad" else getattr(keras.optimizers, kind)()
    backend.fuse_adam(optimizer)
    replaced = {"_parallel_update_step", "update_step"} & set(vars(optimizer))
    expected = kind.startswith("Adam") and backend_name in REPLACED
    assert replaced == ({REPLACED[backend_name]} if expected else set())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has such gradients")
def test_gradients_of_a_few_rows_keep_kerass_steps():
    import tensorflow as tf

    results = []
    for fused in (False, True):
        table = keras.Variable(np.ones((5, 2), "float32"))
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build([table])
        if fused:
            backend.fuse_adam(optimizer)
        for _ in range(2):
            optimizer.apply([tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 3]), tf.constant([5, 2]))], [table])
        results.append(keras.ops.convert_to_numpy(table))
    np.testing.assert_array_equal(*results)
    assert (results[1][[0, 2, 4]] == 1).all()
    assert (results[1][[1, 3]] < 0.9).all()
