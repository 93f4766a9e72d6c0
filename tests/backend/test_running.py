import gc
import importlib.util
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
        backend.seed_dropout(seed)
        masks.append(keras.ops.convert_to_numpy(layer(np.ones((4, 50), "float32"), training=True)))
    if backend_name == "torch":
        np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[1] != masks[2]).any()


def test_without_tensorflow_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(backend.running.importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigurationError, match="install it"):
        backend.tensorflow()


@pytest.mark.one_backend("torch")
def test_kmodels_does_not_import_tensorflow_on_other_backends(backend_name):
    """It takes seconds and hundreds of MB, and need not be installed."""
    if backend_name == "tensorflow":
        pytest.skip("it is the backend")
    code = (
        "import sys, keras, numpy as np\n"
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
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
@pytest.mark.one_backend("jax")
def test_keras_finds_tensorflow_again_after_it_was_kept_from_it():
    code = (
        "import keras, sys; from kmodels import backend\n"
        "with backend.without_tensorflow(): keras.layers.Dense(1).get_config()\n"
        "assert keras.layers.IntegerLookup(vocabulary=[3])([3]) == 1\n"
        "with backend.without_tensorflow(): pass\n"
        "assert keras.layers.Hashing(2)([3]) < 2 and 'tensorflow' in sys.modules\n"
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


def test_a_forgotten_model_leaves_nothing_behind():
    def graphs():
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    def trained():
        model = embedding_regressor([], embeddings=[Embedded(Categorical("user", 5), l2=1e-4)], dim=2, hidden=(4,))
        training.compile_model(model, keras.optimizers.Adam())
        model.fit({"user": np.arange(4, dtype="int32")}, np.ones(4, "float32"), verbose=0)
        return weakref.ref(model)

    backend.clear_session()
    before = graphs()
    model = trained()
    backend.clear_session()
    assert graphs() == before  # only TensorFlow has any
    assert model() is None
