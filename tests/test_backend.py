import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest

from kmodels import backend, training
from kmodels.errors import ConfigurationError
from kmodels.features import Categorical
from kmodels.models.embedding import Embedded, embedding_regressor


def test_name_is_the_worker_s(backend_name):
    assert backend.name() == backend_name == keras.backend.backend()


def test_only_tensorflow_takes_several_steps_at_once(backend_name):
    assert (backend.steps_per_execution() > 1) == (backend_name == "tensorflow")


def test_seeded_masks_are_the_same_again(backend_name):
    layer = keras.layers.Dropout(0.5)
    masks = []
    for seed in (3, 3, 4):
        backend.seed_masks(seed)
        masks.append(keras.ops.convert_to_numpy(layer(np.ones((4, 50), "float32"), training=True)))
    if backend_name == "torch":
        np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[1] != masks[2]).any()


def test_without_tensorflow_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigurationError, match="install it"):
        backend.tensorflow()


def test_kmodels_does_not_import_tensorflow_on_other_backends(backend_name):
    """It takes seconds and hundreds of MB, and need not be installed."""
    if backend_name == "tensorflow":
        pytest.skip("it is the backend")
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import keras, numpy as np\n"
        "from kmodels import models, pipelines, serving, training\n"
        "from kmodels.evaluation import recommender\n"
        "ids = {'user_id': np.zeros(4, 'int32'), 'item_id': np.zeros(4, 'int32')}\n"
        "model = models.neumf(3, 4, dropout=0.1)\n"
        "training.initialize(model, 0)\n"
        "training.compile_model(model, keras.optimizers.Adam())\n"
        "batches = pipelines.Batches(ids, np.zeros(4), batch_size=2)\n"
        "import tempfile; from pathlib import Path; folder = Path(tempfile.mkdtemp())\n"
        "training.fit(model, batches, batches, epochs=2, folder=folder, callbacks=training.plateau_callbacks())\n"
        "training.save(model, folder / 'm.keras'); keras.saving.load_model(folder / 'm.keras')\n"
        "training.predict(model, batches)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_gradients_are_those_of_the_closed_form():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(3, 2)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="tanh", use_bias=False)])
    model.set_weights([weights])
    value, gradient = backend.gradients(lambda rows: keras.ops.sum(model(rows, training=False) ** 2), x)
    hidden = np.tanh(x @ weights)
    np.testing.assert_allclose(float(value), (hidden**2).sum(), rtol=1e-5)
    expected = (2 * hidden * (1 - hidden**2)) @ weights.T
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gradient), expected, rtol=0, atol=1e-5)


# --- the recorded step on torch


def small_model(**dropout):
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dropout(0.0, **dropout)(keras.layers.Dense(4, activation="relu", name="a")(x))
    model = keras.Model({"x": x}, keras.layers.Dense(1, name="b")(hidden))
    training.initialize(model, seed=0)
    return model


def table(rows, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(rows, 3)).astype("float32")}, rng.normal(size=rows).astype("float32")


def test_only_torch_and_only_models_without_seeds_in_python_are_recorded(backend_name):
    for dropout, expected in (({}, backend_name == "torch"), ({"seed": 1}, False), ({"noise_shape": (None, 1)}, False)):
        model = small_model(**dropout)
        model.compile("sgd", "mse")
        backend.quicken_training(model)
        assert ("train_step" in vars(model)) == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_the_recorded_step_is_kerass_own_for_every_shape_of_batch(weighted):
    results = []
    for quick in (True, False):
        model = small_model()
        model.compile(keras.optimizers.Adam(0.05), "mse", metrics=["mae"])
        if quick:
            backend.quicken_training(model)
        logs = []
        for step, rows in enumerate((8, 5, 8, 8, 5)):
            inputs, target = table(rows, seed=step)
            weight = np.linspace(0, 1, rows).astype("float32") if weighted else None
            logs.append(model.train_on_batch(inputs, target, sample_weight=weight))
        results.append((np.array(logs), model.get_weights()))
    (logs, weights), (own_logs, own_weights) = results
    np.testing.assert_allclose(logs, own_logs, rtol=1e-5)
    for weight, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(weight, own, rtol=0, atol=1e-6)


def test_a_forgotten_model_leaves_nothing_behind():
    def graphs():
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    def trained():
        model = embedding_regressor([], embeddings=[Embedded(Categorical("user", 5), l2=1e-4)], dim=2, hidden=(4,))
        training.compile_model(model, keras.optimizers.Adam())
        model.fit({"user": np.arange(4, dtype="int32")}, np.ones(4, "float32"), verbose=0)
        return weakref.ref(model)

    backend.forget_models()
    before = graphs()
    model = trained()
    backend.forget_models()
    assert graphs() == before  # only TensorFlow has any
    assert model() is None
