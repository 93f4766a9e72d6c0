import keras
import numpy as np
import pytest

from kmodels import backend, training
from kmodels.pipelines import Batches


@pytest.fixture
def on_cpu_by_jax(backend_name):
    return backend_name == "jax" and backend.device() == "cpu"


def many_batches(steps):
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(8 * steps, 3)).astype("float32"), rng.normal(size=8 * steps).astype("float32")
    return Batches({"x": x}, target, batch_size=8)


def test_several_steps_in_one_call_end_as_one_by_one(on_cpu_by_jax):
    """70 batches: four calls of 16 and six steps; twice, with dropout's state and the metrics of an epoch."""
    results = []
    for several in (True, False):
        model = dropped_model()
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        model.evaluate(many_batches(70), verbose=0)  # what was made for single steps must not be used for several
        if several:
            backend.scan_train_steps(model, batches=70)
        assert (model.steps_per_execution == 16) == (several and on_cpu_by_jax)
        backend.seed_dropout(0)
        seen: dict[int, float] = {}
        record = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs, seen=seen: seen.update({step: float(logs["loss"])})
        )
        history = model.fit(
            many_batches(70),
            validation_data=many_batches(3),
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[record],
        )
        results.append((history.history, model.predict(many_batches(20), verbose=0), seen))
    (logs, said, seen), (own_logs, own_said, own_seen) = results
    assert len(seen) == (5 if on_cpu_by_jax else 70)
    for step, loss in seen.items():
        assert loss == pytest.approx(own_seen[min(step, 69)], rel=1e-5)  # Keras counts the last call as 16 steps, too
    for name, values in logs.items():
        np.testing.assert_allclose(values, own_logs[name], rtol=1e-5)
    np.testing.assert_allclose(said, own_said, rtol=0, atol=1e-5)


def dropped_model():
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dropout(0.2, name="dropped")(keras.layers.Dense(4, activation="relu", name="a")(x))
    model = keras.Model({"x": x}, keras.layers.Dense(1, name="b")(hidden))
    training.initialize(model, seed=0)
    return model


def test_long_steps_and_short_epochs_are_taken_one_by_one():
    picture = keras.Input((4, 4, 1))
    convolved = keras.Model(picture, keras.layers.Conv2D(2, 3)(picture))
    for model, batches in ((convolved, 1000), (dropped_model(), 63)):
        model.compile("sgd", "mse")
        backend.scan_train_steps(model, batches)
        assert model.steps_per_execution == 1


def test_batches_of_unequal_or_large_shape_are_not_stacked(backend_name, monkeypatch):
    """Their steps are single ones within the call: the result is the same."""
    monkeypatch.setattr(backend.on_jax, "_LARGE_CALL", 16 * 8 * (3 + 1) * 4 - 1)
    stacked = []
    monkeypatch.setattr(backend.on_jax.np, "stack", lambda arrays: stacked.append(arrays))
    model = dropped_model()
    model.compile("sgd", "mse")
    backend.scan_train_steps(model, batches=64)
    model.fit(many_batches(64), shuffle=False, verbose=0)
    assert not stacked
    assert int(model.optimizer.iterations) == 64


def test_validation_and_prediction_compiled_sooner_say_what_kerass_do(on_cpu_by_jax):
    """Also for the rows that do not fill a last batch, and where steps are taken 16 at a time."""
    x = np.random.default_rng(0).normal(size=(515, 3)).astype("float32")
    rows = Batches({"x": x}, x[:, 0] - x[:, 1], batch_size=8)
    found = []
    for sooner in (False, True):
        model = dropped_model()
        model.compile("adam", "mse", metrics=["mae"])
        model.evaluate(rows, verbose=0)  # what was made before must not be used any longer
        if sooner:
            backend.scan_train_steps(model, batches=70)
            backend.compile_evaluation(model)
        assert ("make_predict_function" in vars(model)) == (sooner and on_cpu_by_jax)
        logs = model.evaluate(rows, verbose=0, return_dict=True)
        said = model.predict(rows, verbose=0), model.predict_on_batch({"x": x[:5]})
        found.append((logs, *said, model.evaluate(rows, verbose=0, return_dict=True)))
    (logs, said, few, again), (own_logs, own_said, own_few, _) = found
    assert logs == pytest.approx(own_logs, rel=1e-5)
    assert again == pytest.approx(logs, rel=1e-6)
    np.testing.assert_allclose(said, own_said, rtol=0, atol=1e-6)
    np.testing.assert_allclose(few, own_few, rtol=0, atol=1e-6)
    assert said.shape == (515, 1)


def test_settings_that_the_compiler_does_not_know_are_left_out(on_cpu_by_jax):
    if not on_cpu_by_jax:
        return
    for options in (backend.on_jax._SMALL_NETWORKS, backend.on_jax._FEW_CALLS):
        assert backend.on_jax._known(options) == dict(options)
    assert backend.on_jax._known((("xla_of_another_release", 1),)) is None
